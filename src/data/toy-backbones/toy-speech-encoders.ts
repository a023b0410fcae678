/**
 * @file Small random speech encoders: HuBERT, wav2vec 2.0 and WavLM (large variant), and a HuBERT with a CTC head that
 * can be trained to recognise.
 */

import { join } from 'node:path';
import { writeJsonAtomic } from '../../base/index.js';
import { type Random, seededRandom, type Tensor, tensor } from '../../engine/tensor/index.js';
import { type Weights, weightMaker, writeModel } from './model-files.js';

const ENCODER_SIZES = {
  width: 64,
  layers: 2,
  heads: 4,
  feedForward: 128,
  positionKernel: 16,
  positionGroups: 4,
  /** Layer norm cancels any gain of the convolutions; with a bias of this size loudness still matters. */
  convBias: 0.5,
  /**
   * Correlation of the taps of a random filter. Independent taps scramble time, and little is left after seven layers.
   */
  tapCorrelation: 0.9,
};

/** Wider, so that it can learn to recognise. */
const RECOGNISER_SIZES = { ...ENCODER_SIZES, width: 128, feedForward: 512 };

/** Outputs, inputs and taps of a convolution. */
type FilterShape = readonly [outputs: number, inputs: number, taps: number];

/** The convolutions before the layers: 50 frames a second. */
interface Front {
  readonly dims: readonly number[];
  readonly kernels: readonly number[];
  readonly strides: readonly number[];
  readonly filters: (layer: number, random: Random, shape: FilterShape) => Tensor;
}

/** As in published models, and random. */
const RANDOM_FRONT: Front = {
  dims: Array<number>(7).fill(40),
  kernels: [10, 3, 3, 3, 3, 2, 2],
  strides: [5, 2, 2, 2, 2, 2, 2],
  filters: (_, random, shape) => smoothFilters(random, shape),
};

const BANDS = 32;
const PHASES = 4;

/** Band-pass filters of 10 ms, then the mean of each band over its phases and 10 ms: a spectrogram. */
const FILTER_BANK: Front = {
  dims: [BANDS * PHASES, BANDS],
  kernels: [160, 8],
  strides: [80, 4],
  filters: (layer, _, shape) => (layer === 0 ? bandFilters(shape) : bandMeans(shape)),
};

/**
 * Windowed cosines at mel-spaced frequencies in four phases, of which GELU leaves the positive halves; louder by 6 dB per
 * octave, because voices lose that much (pre-emphasis).
 */
function bandFilters([outputs, inputs, taps]: FilterShape): Tensor {
  const mel = (hertz: number): number => 1127 * Math.log(1 + hertz / 700);
  const [low, high] = [mel(150), mel(7000)];
  const data = new Float32Array(outputs * inputs * taps);
  for (let output = 0; output < outputs; output++) {
    const [band, phase] = [Math.floor(output / PHASES), output % PHASES];
    const hertz = 700 * Math.expm1((low + ((high - low) * band) / (BANDS - 1)) / 1127);
    for (let tap = 0; tap < taps; tap++) {
      const window = Math.sin((Math.PI * (tap + 0.5)) / taps) ** 2;
      const angle = (2 * Math.PI * hertz * tap) / 16_000 + (Math.PI / 2) * phase;
      data[output * taps + tap] = (hertz / 1000) * window * Math.cos(angle);
    }
  }
  return tensor('float32', [outputs, inputs, taps], data);
}

function bandMeans([outputs, inputs, taps]: FilterShape): Tensor {
  const data = new Float32Array(outputs * inputs * taps);
  for (let input = 0; input < inputs; input++) {
    const band = Math.floor(input / PHASES);
    data.fill(1 / (PHASES * taps), (band * inputs + input) * taps, (band * inputs + input + 1) * taps);
  }
  return tensor('float32', [outputs, inputs, taps], data);
}

/** Supported families of speech encoders, with their classes in transformers. */
const ARCHITECTURES = { hubert: 'HubertModel', wav2vec2: 'Wav2Vec2Model', wavlm: 'WavLMModel' } as const;

/** WavLM's buckets of relative positions: nearer frames than 0.08 s have a bucket to themselves. */
const BUCKETS = { num_buckets: 16, max_bucket_distance: 50 };

/** Symbols of the toy recogniser, the blank first. */
const SYMBOLS = ['<pad>', '<s>', '</s>', '<unk>', '|', ..."ETAONIHSRDLUMWCFGYPBVK'XJQZ"];

/**
 * Writes a folder of a HuBERT with a CTC head and a vocabulary of letters, whose convolutions are a filter bank, so that
 * its layers can be trained to recognise. What it recognises before that is random.
 */
export async function writeToyRecogniser(dir: string, seed: number): Promise<void> {
  await writeToySpeechEncoder(dir, seed, 'hubert', SYMBOLS.length);
  await writeJsonAtomic(
    join(dir, 'vocab.json'),
    Object.fromEntries(SYMBOLS.map((symbol, id) => [symbol, id])),
  );
  await writeJsonAtomic(join(dir, 'tokenizer_config.json'), {
    ...{ tokenizer_class: 'Wav2Vec2CTCTokenizer', pad_token: '<pad>', unk_token: '<unk>' },
    ...{ word_delimiter_token: '|', do_lower_case: true },
  });
}

/**
 * Writes a folder of the large variant: config, preprocessor settings and weights.
 * @param symbols of a CTC head; without one by default
 */
export async function writeToySpeechEncoder(
  dir: string,
  seed: number,
  family: keyof typeof ARCHITECTURES,
  symbols?: number,
): Promise<void> {
  const sizes = symbols === undefined ? ENCODER_SIZES : RECOGNISER_SIZES;
  const { width, layers, heads, feedForward, positionKernel, positionGroups } = sizes;
  const { dims, kernels, strides, filters } = symbols === undefined ? RANDOM_FRONT : FILTER_BANK;
  const { weights, constant, normal, linear, layerNorm } = weightMaker(seed, family);
  constant('masked_spec_embed', [width], 0);
  kernels.forEach((kernel, layer) => {
    const key = `feature_extractor.conv_layers.${layer}`;
    const inputs = layer === 0 ? 1 : dims[layer - 1]!;
    const random = seededRandom(seed, 'toy backbone', family, key);
    weights.push([`${key}.conv.weight`, filters(layer, random, [dims[layer]!, inputs, kernel])]);
    normal(`${key}.conv.bias`, [dims[layer]!], ENCODER_SIZES.convBias);
    layerNorm(`${key}.layer_norm`, dims[layer]!);
  });
  layerNorm('feature_projection.layer_norm', dims.at(-1)!);
  linear('feature_projection.projection', width, dims.at(-1)!);

  const position = 'encoder.pos_conv_embed.conv';
  const shape = [width, width / positionGroups, positionKernel];
  constant(`${position}.bias`, [width], 0);
  const direction = `${position}.parametrizations.weight.original1`;
  normal(direction, shape, 0.5 / Math.sqrt((width / positionGroups) * positionKernel));
  const directionTensor = weights.at(-1)![1] as Tensor<'float32'>;
  // The weight is g v / |v|, with one norm per tap; g = |v| makes it v itself.
  const norms = tensor('float32', [1, 1, positionKernel], tapNorms(directionTensor));
  weights.push([`${position}.parametrizations.weight.original0`, norms]);

  layerNorm('encoder.layer_norm', width);
  for (let layer = 0; layer < layers; layer++) {
    const key = `encoder.layers.${layer}`;
    for (const part of ['k', 'v', 'q']) linear(`${key}.attention.${part}_proj`, width, width);
    linear(`${key}.attention.out_proj`, width, width, { gain: 0.5 });
    if (family === 'wavlm') {
      if (layer === 0) normal(`${key}.attention.rel_attn_embed.weight`, [BUCKETS.num_buckets, heads], 1);
      linear(`${key}.attention.gru_rel_pos_linear`, 8, width / heads);
      constant(`${key}.attention.gru_rel_pos_const`, [1, heads, 1, 1], 1);
    }
    layerNorm(`${key}.layer_norm`, width);
    linear(`${key}.feed_forward.intermediate_dense`, feedForward, width, { gain: Math.SQRT2 });
    linear(`${key}.feed_forward.output_dense`, width, feedForward, { gain: 0.5 });
    layerNorm(`${key}.final_layer_norm`, width);
  }
  if (symbols !== undefined) linear('lm_head', symbols, width, { gain: 3 });

  await writeJsonAtomic(join(dir, 'preprocessor_config.json'), {
    do_normalize: true,
    feature_extractor_type: 'Wav2Vec2FeatureExtractor',
    feature_size: 1,
    padding_side: 'right',
    padding_value: 0,
    return_attention_mask: true,
    sampling_rate: 16_000,
  });
  const isHead = (key: string): boolean => key.startsWith('lm_head.');
  const named = weights.map(([key, value]): Weights[number] => [
    symbols === undefined || isHead(key) ? key : `${family}.${key}`,
    value,
  ]);
  await writeModel(dir, named, {
    architectures: [symbols === undefined ? ARCHITECTURES[family] : 'HubertForCTC'],
    model_type: family,
    conv_bias: true,
    conv_dim: dims,
    conv_kernel: kernels,
    conv_stride: strides,
    do_stable_layer_norm: true,
    feat_extract_activation: 'gelu',
    feat_extract_norm: 'layer',
    ...(family === 'hubert' && { feat_proj_layer_norm: true }),
    ...(family === 'wavlm' && BUCKETS),
    hidden_act: 'gelu',
    hidden_size: width,
    intermediate_size: feedForward,
    layer_norm_eps: 1e-5,
    num_attention_heads: heads,
    num_conv_pos_embedding_groups: positionGroups,
    num_conv_pos_embeddings: positionKernel,
    num_feat_extract_layers: kernels.length,
    num_hidden_layers: layers,
    vocab_size: symbols ?? 32,
  });
}

/** He-scaled filters `[outputs, inputs, taps]` whose taps share a component, so that they also average over time. */
function smoothFilters(random: Random, shape: FilterShape): Tensor {
  const [outputs, inputs, taps] = shape;
  const scale = Math.sqrt(2 / (inputs * taps));
  const own = Math.sqrt(1 - ENCODER_SIZES.tapCorrelation ** 2);
  const data = new Float32Array(outputs * inputs * taps);
  for (let filter = 0; filter < outputs * inputs; filter++) {
    const shared = ENCODER_SIZES.tapCorrelation * random.normal();
    for (let tap = 0; tap < taps; tap++) data[filter * taps + tap] = scale * (shared + own * random.normal());
  }
  return tensor('float32', shape, data);
}

/** Euclidean norm over the first two axes of `[outputs, inputs, taps]`. */
function tapNorms({ shape, data }: Tensor<'float32'>): Float32Array {
  const taps = shape[2]!;
  const norms = new Float32Array(taps);
  data.forEach((value, index) => {
    norms[index % taps]! += value * value;
  });
  return norms.map(Math.sqrt);
}
