/** @file Which files of a model's repository make a checkpoint: config, weights in one format, tokenizer, licence. */

import { InputError } from '../../base/index.js';

/** Files beside the weights, taken where they are. Nothing below the root: other formats and older states lie there. */
const COMPANIONS = [
  'config.json',
  'generation_config.json',
  'preprocessor_config.json',
  'processor_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.json',
  'vocab.txt',
  'merges.txt',
  'chat_template.jinja',
  'chat_template.json',
  'README.md',
];
const LEGAL = /^(?:LICEN[CS]E|NOTICE)(?:\.(?:md|txt))?$/i;

interface WeightFormat {
  readonly single: string;
  readonly index: string;
  readonly shard: RegExp;
}

/** In the order in which transformers looks for them too. Never two formats: they hold the same weights. */
const FORMATS: readonly WeightFormat[] = [
  {
    single: 'model.safetensors',
    index: 'model.safetensors.index.json',
    shard: /^model-(\d{5})-of-(\d{5})\.safetensors$/,
  },
  {
    single: 'pytorch_model.bin',
    index: 'pytorch_model.bin.index.json',
    shard: /^pytorch_model-(\d{5})-of-(\d{5})\.bin$/,
  },
];

/**
 * The checkpoint's files among those of a repository, in their order.
 * @throws InputError naming what the repository lacks
 */
export function checkpointFiles(id: string, paths: readonly string[]): string[] {
  if (!paths.includes('config.json')) throw new InputError(`${id} has no config.json: it is no checkpoint`);
  const weights = weightFiles(id, paths);
  if (weights.length === 0) {
    const looked = FORMATS.map(({ single, index }) => `${single}, ${index}`).join(', ');
    const other = paths.filter((path) =>
      /\.(?:h5|msgpack|gguf|onnx|ot|pt|pth|bin|safetensors|ckpt)$/.test(path),
    );
    const held = other.length === 0 ? '' : `; it has ${other.slice(0, 3).join(', ')}`;
    throw new InputError(`${id} has no weights that emoq reads (${looked})${held}`);
  }
  return paths.filter((path) => weights.includes(path) || COMPANIONS.includes(path) || LEGAL.test(path));
}

/** True where a snapshot's files hold a config and whole weights; of the others nobody can tell without the hub. */
export function holdsCheckpoint(paths: readonly string[]): boolean {
  try {
    return checkpointFiles('', paths).length > 0;
  } catch {
    return false;
  }
}

function weightFiles(id: string, paths: readonly string[]): string[] {
  for (const { single, index, shard } of FORMATS) {
    if (paths.includes(single)) return [single];
    if (!paths.includes(index)) continue;
    const shards = paths.filter((path) => shard.test(path));
    // "00004" of model-00001-of-00004.safetensors
    const count = Number(shard.exec(shards[0] ?? '')?.[2]);
    if (shards.length !== count) {
      throw new InputError(
        `${id} has ${shards.length} shards of weights beside ${index}, not ${count || 'any'}`,
      );
    }
    return [index, ...shards];
  }
  return [];
}
