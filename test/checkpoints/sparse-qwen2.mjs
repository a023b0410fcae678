/**
 * @file Writes a Qwen2.5 checkpoint with real shapes, keys and shards, as sparse files: the weights read as zeros and
 * take no disk space.
 */

import { closeSync, ftruncateSync, mkdirSync, openSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** Weights for a Qwen2 config.json, in the order of the published files. */
function* weightsOf({ hidden_size: hidden, num_hidden_layers: layers, vocab_size: words, ...config }) {
  const keyValues = (hidden / config.num_attention_heads) * config.num_key_value_heads;
  const inner = config.intermediate_size;
  yield ['model.embed_tokens.weight', [words, hidden]];
  for (let layer = 0; layer < layers; layer++) {
    const prefix = `model.layers.${layer}`;
    yield [`${prefix}.input_layernorm.weight`, [hidden]];
    yield [`${prefix}.mlp.down_proj.weight`, [hidden, inner]];
    yield [`${prefix}.mlp.gate_proj.weight`, [inner, hidden]];
    yield [`${prefix}.mlp.up_proj.weight`, [inner, hidden]];
    yield [`${prefix}.post_attention_layernorm.weight`, [hidden]];
    for (const [name, width] of [
      ['k', keyValues],
      ['q', hidden],
      ['v', keyValues],
    ]) {
      yield [`${prefix}.self_attn.${name}_proj.bias`, [width]];
      yield [`${prefix}.self_attn.${name}_proj.weight`, [width, hidden]];
    }
    yield [`${prefix}.self_attn.o_proj.weight`, [hidden, hidden]];
  }
  yield ['model.norm.weight', [hidden]];
  if (!config.tie_word_embeddings) yield ['lm_head.weight', [words, hidden]];
}

/** Projections of the layers, which are quantized. */
const QUANTIZED = /_proj\.weight$/;

/** The tensors that store a weight, as `emoq quantize` does if the config says so. */
function storedAs([key, shape], { bits, block_size: block } = {}) {
  if (bits === undefined || !QUANTIZED.test(key)) return [[key, shape]];
  const [out, width] = shape;
  const blocks = width / block;
  return [
    [`${key}_packed`, [out, (width * bits) / 8], bits === 8 ? 'I8' : 'U8'],
    [`${key}_scale`, [out, blocks], 'F16'],
    ...(bits === 4 ? [[`${key}_zero_point`, [Math.ceil((out * blocks) / 2)], 'U8']] : []),
  ];
}

const BYTES = { BF16: 2, F16: 2, I8: 1, U8: 1 };
const bytesOf = ([, shape, dtype = 'BF16']) => shape.reduce((product, size) => product * size, BYTES[dtype]);

/** A sparse safetensors file of zeros, in bfloat16 unless a weight names its type. @returns bytes used on disk */
export function writeSparseSafetensors(path, weights) {
  let end = 0;
  const header = { __metadata__: { format: 'pt' } };
  for (const weight of weights) {
    const [key, shape, dtype = 'BF16'] = weight;
    const begin = end;
    end += bytesOf(weight);
    header[key] = { dtype, shape, data_offsets: [begin, end] };
  }
  const json = Buffer.from(JSON.stringify(header));
  const bytes = Buffer.alloc(Math.ceil((8 + json.length) / 8) * 8, ' ');
  bytes.writeBigUInt64LE(BigInt(bytes.length - 8));
  json.copy(bytes, 8);
  const file = openSync(path, 'w');
  writeSync(file, bytes);
  ftruncateSync(file, bytes.length + end);
  closeSync(file);
  return statSync(path).blocks * 512;
}

/**
 * Shards of at most `shardBytes`, their index and config.json, whose `quantization_config` says whether the weights are
 * quantized. @returns bytes on the disk
 */
export function writeSparseQwen2(dir, config, shardBytes) {
  const shards = [[]];
  let filled = 0;
  for (const weight of [...weightsOf(config)].flatMap((each) => storedAs(each, config.quantization_config))) {
    const bytes = bytesOf(weight);
    if (filled > 0 && filled + bytes > shardBytes) {
      shards.push([]);
      filled = 0;
    }
    shards.at(-1).push(weight);
    filled += bytes;
  }
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'config.json'), JSON.stringify(config));
  const total = String(shards.length).padStart(5, '0');
  const nameOf = (index) => `model-${String(index + 1).padStart(5, '0')}-of-${total}.safetensors`;
  const pairs = shards.flatMap((weights, index) => weights.map(([key]) => [key, nameOf(index)]));
  const index = JSON.stringify({ weight_map: Object.fromEntries(pairs) });
  writeFileSync(join(dir, 'model.safetensors.index.json'), index);
  return shards.reduce((sum, weights, at) => sum + writeSparseSafetensors(join(dir, nameOf(at)), weights), 0);
}
