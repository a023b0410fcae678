/**
 * @file Fuzzes the JSON files of checkpoints: config.json and preprocessor_config.json of each model, and the shard
 * index. Each damaged file must give a one-line InputError or the values of an independent parser, and a config that is
 * accepted must be buildable.
 *
 *     node config-fuzz.mjs CONFIG-TRIALS INDEX-TRIALS SEED FOLDER
 */

import { strict as assert } from 'node:assert';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  languageModelGraph,
  parseDecoderConfig,
  parseEncoderConfig,
  parseTextEncoderConfig,
  readDecoderConfig,
  readEncoderConfig,
  readTextEncoderConfig,
} from '../../dist/backbones/index.js';
import { wav2vec2Encoder } from '../../dist/backbones/speech-encoders/wav2vec2/encoder.js';
import { wavlmEncoder } from '../../dist/backbones/speech-encoders/wavlm/family.js';
import { whisperEncoder } from '../../dist/backbones/speech-encoders/whisper/encoder.js';
import { openCheckpoint } from '../../dist/checkpoints/index.js';
import { addInput } from '../../dist/engine/onnx/index.js';
import { float32, readSafetensorsHeader, writeSafetensors } from '../../dist/engine/tensor/index.js';
import { declaredWeights, formerGraph } from '../../dist/nn/index.js';
import { damagedBytes, nonsenseText, peakMiB } from '../fuzz/mutations.mjs';
import { cpuSecSince } from '../fuzz/processor-time.mjs';
import { outcomeOf, repeat, report } from '../fuzz/trials.mjs';

const [configTrials, indexTrials, seed] = process.argv.slice(2, 5).map(Number);
const folder = process.argv[5];
const configPath = join(folder, 'config.json');
const preprocessorPath = join(folder, 'preprocessor_config.json');
const audio = { samples: ['batch', 'samples'], features: ['batch', 'frames'] };

/** Fields by config key, with defaults. A key in `settings` must have one of the listed values or be absent. */
const MODELS = {
  hubert: {
    read: readEncoderConfig,
    parse: parseEncoderConfig,
    sizes: {
      hiddenSize: ['hidden_size', 768],
      numHiddenLayers: ['num_hidden_layers', 12],
      numAttentionHeads: ['num_attention_heads', 12],
      intermediateSize: ['intermediate_size', 3072],
      numConvPosEmbeddings: ['num_conv_pos_embeddings', 128],
      numConvPosEmbeddingGroups: ['num_conv_pos_embedding_groups', 16],
    },
    others: {
      convDim: ['conv_dim', [512, 512, 512, 512, 512, 512, 512]],
      convKernel: ['conv_kernel', [10, 3, 3, 3, 3, 2, 2]],
      convStride: ['conv_stride', [5, 2, 2, 2, 2, 2, 2]],
      convBias: ['conv_bias', false],
      featExtractNorm: ['feat_extract_norm', 'group'],
      featProjLayerNorm: ['feat_proj_layer_norm', true],
      doStableLayerNorm: ['do_stable_layer_norm', false],
      layerNormEps: ['layer_norm_eps', 1e-5],
    },
    settings: { hidden_act: 'gelu', feat_extract_activation: 'gelu', conv_pos_batch_norm: false },
    small: {
      hidden_size: 16,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      intermediate_size: 24,
      conv_dim: [8, 8],
      conv_kernel: [10, 3],
      conv_stride: [5, 2],
      num_conv_pos_embeddings: 4,
      num_conv_pos_embedding_groups: 2,
    },
    holds(config) {
      assert.equal(config.hiddenSize % config.numAttentionHeads, 0);
      assert.equal(config.hiddenSize % config.numConvPosEmbeddingGroups, 0);
      assert.deepEqual(
        [config.convKernel.length, config.convStride.length],
        Array(2).fill(config.convDim.length),
      );
    },
    build(config, graph, weights) {
      const inputValues = addInput(graph, 'input_values', 'float32', audio.samples);
      const attentionMask = addInput(graph, 'attention_mask', 'int64', audio.samples);
      wav2vec2Encoder(weights, config, { inputValues, attentionMask });
    },
  },
  roberta: {
    read: readTextEncoderConfig,
    parse: parseTextEncoderConfig,
    sizes: {
      vocabSize: ['vocab_size', 50265],
      hiddenSize: ['hidden_size', 768],
      numHiddenLayers: ['num_hidden_layers', 12],
      numAttentionHeads: ['num_attention_heads', 12],
      intermediateSize: ['intermediate_size', 3072],
      maxPositionEmbeddings: ['max_position_embeddings', 512],
      typeVocabSize: ['type_vocab_size', 2],
    },
    others: {
      padTokenId: ['pad_token_id', 1],
      layerNormEps: ['layer_norm_eps', 1e-12],
      hiddenDropoutProb: ['hidden_dropout_prob', 0.1],
      attentionProbsDropoutProb: ['attention_probs_dropout_prob', 0.1],
    },
    settings: { hidden_act: 'gelu', position_embedding_type: 'absolute', is_decoder: false },
    small: {
      vocab_size: 50,
      hidden_size: 16,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      intermediate_size: 24,
    },
    holds(config) {
      assert.equal(config.hiddenSize % config.numAttentionHeads, 0);
      assert.ok(config.padTokenId < config.vocabSize && config.padTokenId + 2 < config.maxPositionEmbeddings);
    },
    build(roberta, graph, weights) {
      const sizes = { audioWidth: 8, queries: 2, crossAttentionEvery: 2, poolingHeads: 1 };
      const rates = { dropout: 0.1, attentionDropout: 0.1, trainWordEmbeddings: false };
      formerGraph({ roberta, ...sizes, ...rates }, 'both').define(graph, weights);
    },
  },
  qwen2: {
    read: readDecoderConfig,
    parse: parseDecoderConfig,
    sizes: {
      vocabSize: ['vocab_size', 151936],
      hiddenSize: ['hidden_size', 4096],
      numHiddenLayers: ['num_hidden_layers', 32],
      numAttentionHeads: ['num_attention_heads', 32],
      intermediateSize: ['intermediate_size', 22016],
      maxPositionEmbeddings: ['max_position_embeddings', 32768],
    },
    others: { rmsNormEps: ['rms_norm_eps', 1e-6], tieWordEmbeddings: ['tie_word_embeddings', false] },
    settings: { hidden_act: 'silu' },
    small: {
      vocab_size: 50,
      hidden_size: 16,
      num_hidden_layers: 1,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      intermediate_size: 24,
      rope_theta: 10000,
    },
    holds(config, raw) {
      const { num_key_value_heads: keyValueHeads = 32, head_dim: headDim } = raw;
      assert.equal(config.numKeyValueHeads, keyValueHeads ?? config.numAttentionHeads);
      assert.equal(config.headDim, headDim ?? config.hiddenSize / config.numAttentionHeads);
      assert.ok(config.headDim % 2 === 0 && config.numAttentionHeads % config.numKeyValueHeads === 0);
      const rope = raw.rope_scaling ?? raw.rope_parameters;
      assert.equal(config.ropeTheta, rope?.rope_theta ?? raw.rope_theta ?? 10_000);
      assert.ok(config.ropeTheta >= 1 && config.ropeTheta <= 1e12);
    },
    build: (config, graph, weights) => languageModelGraph(config, 'input_ids').define(graph, weights),
  },
};
{
  const { featProjLayerNorm: _norm, ...others } = MODELS.hubert.others;
  MODELS.wav2vec2 = {
    ...MODELS.hubert,
    others,
    settings: { hidden_act: 'gelu', feat_extract_activation: 'gelu', add_adapter: false },
  };
  const { sizes: speechSizes, small } = MODELS.wav2vec2;
  MODELS.wavlm = {
    ...MODELS.wav2vec2,
    sizes: {
      ...speechSizes,
      numBuckets: ['num_buckets', 320],
      maxBucketDistance: ['max_bucket_distance', 800],
    },
    small: { ...small, num_buckets: 12, max_bucket_distance: 20 },
    holds(config) {
      MODELS.hubert.holds(config);
      assert.ok(config.maxBucketDistance > Math.floor(Math.floor(config.numBuckets / 2) / 2));
    },
    build(config, graph, weights) {
      const inputValues = addInput(graph, 'input_values', 'float32', audio.samples);
      const attentionMask = addInput(graph, 'attention_mask', 'int64', audio.samples);
      wavlmEncoder(weights, config, { inputValues, attentionMask });
    },
  };
  MODELS.whisper = {
    read: readEncoderConfig,
    parse: parseEncoderConfig,
    sizes: {
      hiddenSize: ['d_model', 384],
      numHiddenLayers: ['encoder_layers', 4],
      numAttentionHeads: ['encoder_attention_heads', 6],
      intermediateSize: ['encoder_ffn_dim', 1536],
      numMelBins: ['num_mel_bins', 80],
      maxSourcePositions: ['max_source_positions', 1500],
    },
    others: {},
    settings: { activation_function: 'gelu', scale_embedding: false },
    small: {
      d_model: 16,
      encoder_layers: 1,
      encoder_attention_heads: 2,
      encoder_ffn_dim: 24,
      num_mel_bins: 10,
      max_source_positions: 50,
    },
    holds(config) {
      assert.equal(config.hiddenSize % config.numAttentionHeads, 0);
      assert.equal(config.doNormalize, false);
    },
    build(config, graph, weights) {
      const inputValues = addInput(graph, 'input_values', 'float32', audio.samples);
      const attentionMask = addInput(graph, 'attention_mask', 'int64', audio.samples);
      whisperEncoder(weights, config, { inputValues, attentionMask });
    },
  };
  const { sizes, others: flags } = MODELS.qwen2;
  MODELS.llama = {
    ...MODELS.qwen2,
    sizes: {
      ...sizes,
      vocabSize: ['vocab_size', 32000],
      intermediateSize: ['intermediate_size', 11008],
      maxPositionEmbeddings: ['max_position_embeddings', 2048],
    },
    others: flags,
    holds: (config, raw) =>
      MODELS.qwen2.holds(config, { ...raw, num_key_value_heads: raw.num_key_value_heads ?? null }),
  };
  MODELS.qwen3 = {
    ...MODELS.qwen2,
    holds: (config, raw) =>
      MODELS.qwen2.holds(config, { ...raw, head_dim: raw.head_dim === undefined ? 128 : raw.head_dim }),
  };
}
const COMMON_KEYS = [
  'model_type',
  'quantization_config',
  'adapter_attn_dim',
  'attention_bias',
  'mlp_bias',
  'rope_theta',
  'rope_scaling',
  'head_dim',
];
const QWEN2_KEYS = [
  'rope_parameters',
  'num_key_value_heads',
  'layer_types',
  'use_sliding_window',
  'sliding_window',
];
/** Sizes that are plausible alone but seldom together, and some just at the limits. */
const PLAUSIBLE = [
  1,
  2,
  3,
  4,
  5,
  7,
  8,
  12,
  16,
  31,
  64,
  130,
  256,
  257,
  1024,
  1025,
  4096,
  131072,
  131073,
  2 ** 24,
  1e9,
];

const published = JSON.parse(
  readFileSync(new URL('../fixtures/checkpoint/model-configs.json', import.meta.url)),
);

/** JSON text of a config in which some keys are wrong, missing, repeated or plausible only on their own. */
function damagedConfig(type, random) {
  const { small, sizes, others, settings } = MODELS[type];
  const ofType = published.filter(({ raw }) => raw.model_type === type);
  const base = random.uniform() < 0.92 ? { model_type: type, ...small } : random.pick(ofType).raw;
  const sizeKeys = Object.values(sizes).map(([key]) => key);
  const keys = [
    ...sizeKeys,
    ...Object.values(others).map(([key]) => key),
    ...Object.keys(settings),
    ...COMMON_KEYS,
    ...QWEN2_KEYS,
  ];
  const raw = { ...base };
  const texts = new Map();
  const put = (target, key) => {
    const place = `PLACE${texts.size}`;
    texts.set(place, nonsenseText(random));
    target[key] = place;
  };
  for (let count = 1 + random.integer(3); count > 0; count--) {
    random.pick([
      () => put(raw, random.pick(keys)),
      () => put(raw, random.pick(keys)),
      () => delete raw[random.pick(keys)],
      () => {
        for (let changes = 1 + random.integer(4); changes > 0; changes--)
          raw[random.pick(sizeKeys)] = random.pick(PLAUSIBLE);
      },
      () => {
        raw.rope_parameters = { rope_theta: 5e5, rope_type: 'default' };
        put(
          raw.rope_parameters,
          random.pick(['rope_theta', 'rope_type', 'type', 'partial_rotary_factor', 'more\nlines']),
        );
      },
      () => {
        const list = random.pick(['conv_dim', 'conv_kernel', 'conv_stride', 'layer_types']);
        raw[list] = Array.from({ length: random.integer(40) }, () =>
          random.pick([...PLAUSIBLE, 'full_attention']),
        );
      },
      () => {
        for (const [key, value] of Object.entries({
          conv_dim: 8,
          conv_kernel: random.pick([2, 9, 1024]),
          conv_stride: random.pick([1, 2, 1024]),
        }))
          raw[key] = Array(1 + random.integer(9)).fill(value);
      },
    ])();
  }
  let text = JSON.stringify(raw, null, random.integer(3));
  for (const [place, wrong] of texts) text = text.replace(`"${place}"`, () => wrong);
  if (random.uniform() < 0.1) return damagedBytes(Buffer.from(text), random);
  if (random.uniform() < 0.02) return nonsenseText(random);
  return text;
}

const builtConfigs = new Set();
let longestSec = 0;

function damagedPreprocessor(random) {
  if (random.uniform() < 0.1) return nonsenseText(random);
  const key = random.pick(['do_normalize', 'sampling_rate', 'feature_size', 'chunk_length', 'more']);
  return `{"${key}":${nonsenseText(random)}}`;
}

/** The object in JSON text; undefined if there is none. */
function objectOf(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function readFiles(type, text, preprocessor) {
  writeFileSync(configPath, text);
  rmSync(preprocessorPath, { force: true });
  if (preprocessor !== undefined) writeFileSync(preprocessorPath, preprocessor);
  return MODELS[type].read(folder);
}

async function checkConfig(type, random) {
  const { sizes, others, settings, holds, build } = MODELS[type];
  const text = String(damagedConfig(type, random));
  const preprocessor =
    ['hubert', 'wav2vec2', 'wavlm', 'whisper'].includes(type) && random.uniform() < 0.3
      ? damagedPreprocessor(random)
      : undefined;
  // Files are slow, so valid JSON is parsed without them three times out of four.
  const objects = random.uniform() < 0.75 ? [text, preprocessor ?? '{}'].map(objectOf) : [];
  const config = await outcomeOf(
    objects.length > 0 && objects.every((object) => object !== undefined)
      ? async () =>
          MODELS[type].parse(objects[0], 'config.json', { raw: objects[1], path: 'preprocessor_config.json' })
      : () => readFiles(type, text, preprocessor),
  );
  if (config === undefined) return false;
  const raw = objectOf(text);
  assert.equal(raw.model_type, type);
  for (const [field, [key, byDefault]] of Object.entries({ ...sizes, ...others })) {
    assert.deepEqual(config[field], raw[key] ?? byDefault, key);
    assert.notEqual(raw[key], null, key);
  }
  for (const field of Object.keys(sizes))
    assert.ok(Number.isInteger(config[field]) && config[field] > 0, field);
  for (const [key, value] of Object.entries(settings))
    assert.ok(raw[key] === undefined || raw[key] === value, key);
  holds(config, raw);
  const parsed = JSON.stringify(config);
  if (!builtConfigs.has(parsed)) {
    builtConfigs.add(parsed);
    const start = process.cpuUsage();
    const weights = declaredWeights((graph, given) => build(config, graph, given));
    longestSec = Math.max(longestSec, cpuSecSince(start));
    assert.ok(weights.every(({ shape }) => shape.every((size) => Number.isSafeInteger(size) && size > 0)));
  }
  return true;
}

/** Writes a checkpoint of two shards and returns its index as text. */
async function writeShards(dir) {
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'config.json'), '{}');
  const keysOf = { 'one.safetensors': ['a', 'b"é'], 'two.safetensors': ['c', '__proto__', 'd'] };
  const headers = {};
  for (const [shard, keys] of Object.entries(keysOf)) {
    await writeSafetensors(
      join(dir, shard),
      keys.map((key, index) => [key, float32([index + 1], Array(index + 1).fill(1))]),
    );
    headers[shard] = (await readSafetensorsHeader(join(dir, shard))).entries;
  }
  const pairs = Object.entries(keysOf).flatMap(([shard, keys]) =>
    keys.map((key) => `${JSON.stringify(key)}:"${shard}"`),
  );
  return { headers, text: `{"metadata":{"total_size":24},"weight_map":{${pairs.join(',')}}}` };
}

async function checkIndex(dir, { headers, text }, random) {
  const path = join(dir, 'model.safetensors.index.json');
  const shard = /"(one|two)\.safetensors"/;
  writeFileSync(
    path,
    random.pick([
      () => damagedBytes(Buffer.from(text), random),
      () => text.replace(shard, () => nonsenseText(random)),
      () =>
        text.replace(
          shard,
          random.pick([
            '"../one.safetensors"',
            '"/etc/passwd"',
            '"one.safetensors\\n"',
            '"two.safetensors"',
            '"config.json"',
            '"."',
          ]),
        ),
      () => text.replace(/\{"a".*\}/, () => `${nonsenseText(random)}}`),
      () =>
        text.replace('"a":', () => `${JSON.stringify(random.pick(['c', 'x\ny', '', 'k'.repeat(9999)]))}:`),
      () => nonsenseText(random),
    ])(),
  );
  const checkpoint = await outcomeOf(() => openCheckpoint(dir));
  if (checkpoint === undefined) return false;
  const map = JSON.parse(readFileSync(path, 'utf8')).weight_map;
  assert.deepEqual([...checkpoint.weights.keys()].sort(), Object.keys(map).sort());
  for (const [key, shard] of Object.entries(map)) {
    const { offset, shape } = headers[shard].get(key);
    const ref = checkpoint.weights.get(key);
    assert.deepEqual(
      { offset: ref.offset, shape: ref.shape, path: ref.path },
      { offset, shape, path: join(dir, shard) },
    );
  }
  return true;
}

writeFileSync(configPath, JSON.stringify({ model_type: 'qwen2' }));
await readDecoderConfig(folder);
const shards = join(folder, 'shards');
const index = await writeShards(shards);
const baselineMiB = peakMiB();
const given = { seed, where: `files in ${folder}` };
const configs = await repeat(configTrials, 'configs', given, (random) =>
  checkConfig(random.pick(Object.keys(MODELS)), random),
);
const indices = await repeat(indexTrials, 'indices', given, (random) => checkIndex(shards, index, random));
report(baselineMiB, { configs, indices, built: builtConfigs.size, longestSec });
