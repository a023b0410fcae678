/**
 * @file `emoq predict` end to end, from WAV files to a CSV: a run is trained for a step with backbones of real sizes and
 * random weights, then predicts two lists of other clips. The rate is that between the two, so that opening the models
 * does not count.
 */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readSafetensorsHeader, streamSafetensors } from '../../../dist/engine/tensor/index.js';
import { writeRandomEncoder } from '../../bench/random-encoder.mjs';
import { randomBytes } from '../random-weights.mjs';
import { emoqIn } from './toy-corpus.mjs';

const UTTERANCES = 4;
const MANY_UTTERANCES = 32;

export async function predictRate({ models, size, deviceName, folder: parent, quick }, report) {
  const folder = join(parent, 'predict');
  mkdirSync(folder);
  const [few, many] = quick ? [2, 4] : models.rows;
  await emoqIn(folder, ['prepare-toy', '--speakers', '5', '--utterances', String(UTTERANCES)]);
  const backbones = join(folder, 'data', 'toy4', 'backbones');
  if (size === 'full') await enlarge(backbones, models);
  const common = [
    '--dataset',
    'toy4',
    '--device',
    deviceName,
    '--run',
    'runs/predict',
    '--set',
    'stage1.epochs=1',
  ];
  await emoqIn(folder, ['stage1', ...common]);
  await emoqIn(folder, ['stage2', ...common, '--set', 'stage2.epochs=1']);
  const speakers = Math.max(5, Math.ceil((few + many) / MANY_UTTERANCES));
  const perSpeaker = speakers === 5 ? 4 * Math.ceil((few + many) / 20) : MANY_UTTERANCES;
  const corpus = ['--speakers', String(speakers), '--utterances', String(perSpeaker)];
  await emoqIn(folder, ['prepare-toy', '--out', 'data/clips', '--seed', '7', ...corpus]);
  // Other clips for each: features are kept from one to the next.
  const [header, ...rows] = readFileSync(join(folder, 'data', 'clips', 'manifest.csv'), 'utf8')
    .trim()
    .split('\n');
  const secondsOf = async (name, part) => {
    writeFileSync(join(folder, 'data', 'clips', `${name}.csv`), `${[header, ...part].join('\n')}\n`);
    const args = [
      `data/clips/${name}.csv`,
      '-o',
      `${name}.csv`,
      '--run',
      'runs/predict',
      '--device',
      deviceName,
    ];
    return emoqIn(folder, ['predict', ...args]);
  };
  const fewSec = await secondsOf('few', rows.slice(0, few));
  const manySec = await secondsOf('many', rows.slice(few, few + many));
  report({
    kind: 'rows',
    what: `emoq predict, ${models.names.encoder} + ${models.names.text} + ${models.names.smallDecoder}`,
    rowsPerSec: (many - few) / (manySec - fewSec),
    rows: [few, many],
    seconds: [fewSec, manySec],
    ok: true,
  });
}

/** Gives the toy backbones the sizes of real ones; they keep their tokenizers and vocabularies. */
async function enlarge(backbones, { encoder, text, smallDecoder }) {
  await writeRandomEncoder(join(backbones, 'hubert'), encoder);
  await grow(join(backbones, 'roberta'), text, 'float32');
  await grow(join(backbones, 'qwen2'), smallDecoder, 'bfloat16');
}

const SIZE_KEYS = [
  'hidden_size',
  'intermediate_size',
  'num_hidden_layers',
  'num_attention_heads',
  'num_key_value_heads',
];
/** What published configs leave out: RoBERTa's defaults. */
const DEFAULTS = {
  hidden_size: 768,
  intermediate_size: 3072,
  num_hidden_layers: 12,
  num_attention_heads: 12,
};

/** Rewrites a checkpoint with the widths and depth of `target`, by the keys that it has for its first layer. */
async function grow(dir, target, dtype) {
  const path = join(dir, 'config.json');
  const config = JSON.parse(readFileSync(path, 'utf8'));
  const sizes = { ...DEFAULTS, ...target };
  const wanted = { ...config };
  for (const key of SIZE_KEYS) if (key in config) wanted[key] = sizes[key];
  const keyValueWidth = (of) => (of.hidden_size / of.num_attention_heads) * of.num_key_value_heads;
  const grown = new Map([
    [config.intermediate_size, wanted.intermediate_size],
    [keyValueWidth(config), keyValueWidth(wanted)],
    [config.hidden_size, wanted.hidden_size],
  ]);
  const { entries } = await readSafetensorsHeader(join(dir, 'model.safetensors'));
  const tensors = [...entries].flatMap(([key, { shape }]) => {
    const layer = /\.layers?\.(\d+)\./.exec(key);
    if (layer !== null && layer[1] !== '0') return [];
    // The vocabulary and the positions are rows of tables, and stay.
    const isTable = /embed.*\.weight$/i.test(key) && shape.length === 2;
    const own = shape.map((axis, at) => (isTable && at === 0 ? axis : (grown.get(axis) ?? axis)));
    const keys =
      layer === null
        ? [key]
        : Array.from({ length: wanted.num_hidden_layers }, (_, index) =>
            key.replace(/(\.layers?\.)0\./, `$1${index}.`),
          );
    return keys.map((name) => ({
      ...{ key: name, dtype, shape: own },
      async *read() {
        yield* randomBytes({ key: name, shape: own, dtype });
      },
    }));
  });
  await streamSafetensors(join(dir, 'model.safetensors'), tensors, { format: 'pt' });
  writeFileSync(path, JSON.stringify({ ...wanted, torch_dtype: dtype }));
}
