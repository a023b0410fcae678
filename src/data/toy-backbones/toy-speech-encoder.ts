/** @file A small random HuBERT or wav2vec 2.0 of the large variant: layer-norm convolutions with bias, pre-norm layers. */

import { join } from 'node:path';
import { writeJsonAtomic } from '../../base/index.js';
import { type Random, seededRandom, type Tensor, tensor } from '../../engine/tensor/index.js';
import { weightMaker, writeModel } from './random-weights.js';

const SIZES = {
  convDim: 40,
  kernels: [10, 3, 3, 3, 3, 2, 2],
  strides: [5, 2, 2, 2, 2, 2, 2],
  width: 64,
  layers: 2,
  heads: 4,
  feedForward: 128,
  positionKernel: 16,
  positionGroups: 4,
  /** Layer norm undoes any gain of the convolutions; against a bias of this size loudness still counts. */
  convBias: 0.5,
  /** How alike the taps of one random filter are. Independent taps scramble time, and little is left after seven. */
  tapCorrelation: 0.9,
};

/** Families of speech encoders that are written, with the class that transformers has for each. */
const ARCHITECTURES = { hubert: 'HubertModel', wav2vec2: 'Wav2Vec2Model' } as const;

/** Writes a directory of the large variant: config, preprocessor settings and weights. */
export async function writeToySpeechEncoder(
  dir: string,
  seed: number,
  family: keyof typeof ARCHITECTURES,
): Promise<void> {
  const { convDim, kernels, strides, width, layers, feedForward, positionKernel, positionGroups } = SIZES;
  const { weights, constant, normal, linear, layerNorm } = weightMaker(seed, family);
  constant('masked_spec_embed', [width], 0);
  kernels.forEach((kernel, layer) => {
    const key = `feature_extractor.conv_layers.${layer}`;
    const inputs = layer === 0 ? 1 : convDim;
    const random = seededRandom(seed, 'toy backbone', family, key);
    weights.push([`${key}.conv.weight`, smoothFilters(random, [convDim, inputs, kernel])]);
    normal(`${key}.conv.bias`, [convDim], SIZES.convBias);
    layerNorm(`${key}.layer_norm`, convDim);
  });
  layerNorm('feature_projection.layer_norm', convDim);
  linear('feature_projection.projection', width, convDim);

  const position = 'encoder.pos_conv_embed.conv';
  const shape = [width, width / positionGroups, positionKernel];
  constant(`${position}.bias`, [width], 0);
  const direction = `${position}.parametrizations.weight.original1`;
  normal(direction, shape, 0.5 / Math.sqrt((width / positionGroups) * positionKernel));
  const directionTensor = weights.at(-1)![1] as Tensor<'float32'>;
  // The weight is g v / |v|, with one norm for each tap; g = |v| makes it v itself.
  const norms = tensor('float32', [1, 1, positionKernel], tapNorms(directionTensor));
  weights.push([`${position}.parametrizations.weight.original0`, norms]);

  layerNorm('encoder.layer_norm', width);
  for (let layer = 0; layer < layers; layer++) {
    const key = `encoder.layers.${layer}`;
    for (const part of ['k', 'v', 'q']) linear(`${key}.attention.${part}_proj`, width, width);
    linear(`${key}.attention.out_proj`, width, width, { gain: 0.5 });
    layerNorm(`${key}.layer_norm`, width);
    linear(`${key}.feed_forward.intermediate_dense`, feedForward, width, { gain: Math.SQRT2 });
    linear(`${key}.feed_forward.output_dense`, width, feedForward, { gain: 0.5 });
    layerNorm(`${key}.final_layer_norm`, width);
  }

  await writeJsonAtomic(join(dir, 'preprocessor_config.json'), {
    do_normalize: true,
    feature_extractor_type: 'Wav2Vec2FeatureExtractor',
    feature_size: 1,
    padding_side: 'right',
    padding_value: 0,
    return_attention_mask: true,
    sampling_rate: 16_000,
  });
  await writeModel(dir, weights, {
    architectures: [ARCHITECTURES[family]],
    model_type: family,
    conv_bias: true,
    conv_dim: kernels.map(() => convDim),
    conv_kernel: kernels,
    conv_stride: strides,
    do_stable_layer_norm: true,
    feat_extract_activation: 'gelu',
    feat_extract_norm: 'layer',
    ...(family === 'hubert' && { feat_proj_layer_norm: true }),
    hidden_act: 'gelu',
    hidden_size: width,
    intermediate_size: feedForward,
    layer_norm_eps: 1e-5,
    num_attention_heads: SIZES.heads,
    num_conv_pos_embedding_groups: positionGroups,
    num_conv_pos_embeddings: positionKernel,
    num_feat_extract_layers: kernels.length,
    num_hidden_layers: layers,
    vocab_size: 32,
  });
}

/** He-scaled filters `[outputs, inputs, taps]` whose taps share a part, so that they also average over time. */
function smoothFilters(random: Random, shape: readonly [number, number, number]): Tensor {
  const [outputs, inputs, taps] = shape;
  const scale = Math.sqrt(2 / (inputs * taps));
  const own = Math.sqrt(1 - SIZES.tapCorrelation ** 2);
  const data = new Float32Array(outputs * inputs * taps);
  for (let filter = 0; filter < outputs * inputs; filter++) {
    const shared = SIZES.tapCorrelation * random.normal();
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
