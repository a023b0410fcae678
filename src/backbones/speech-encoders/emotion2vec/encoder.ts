/**
 * @file The encoder of emotion2vec (Ma et al., 2024) as a graph fragment: data2vec 2.0 (Baevski et al., 2023) for
 * speech. Its convolutions are those of wav2vec 2.0; positions are given by further convolutions and by the distances
 * of frames, and the frames follow some learned vectors.
 */

import {
  add,
  arange,
  cast,
  concat,
  constant,
  conv1d,
  type Dim,
  div,
  expand,
  gelu,
  greaterOrEqual,
  int64Vector,
  layerNorm,
  max,
  mul,
  neg,
  reduceSum,
  reshape,
  sizeOf,
  slice,
  sqrt,
  squeeze,
  sub,
  transpose,
  unsqueeze,
  type Value,
  withScope,
} from '../../../engine/onnx/index.js';
import { float32 } from '../../../engine/tensor/index.js';
import { attentionBias, dense, multiHeadAttention, norm, under, type Weights } from '../../../nn/index.js';
import type { EncoderInputs, EncoderOptions, EncoderOutputs, Framing } from '../speech-encoder.js';
import { convFraming, featureEncoder, timeMean } from '../wav2vec2/feature-encoder.js';
import type { Emotion2vecConfig } from './config.js';

/** Where the weights before the last layers are. */
const AUDIO = 'modality_encoders.AUDIO.';

/** PyTorch's default, of the norms that norm_eps does not set. */
const DEFAULT_EPSILON = 1e-5;

/** As wav2vec 2.0's. The published code lets padding into the convolutions that give positions; this graph does not. */
export function emotion2vecFraming(config: Emotion2vecConfig): Framing {
  return { ...convFraming(config), ignoresPadding: false };
}

/**
 * Waveforms to hidden states, 50 frames a second. A clip has the same frames alone or padded in a batch. Hidden state 0
 * is the input of the context encoder's first layer; layers are numbered through to the last.
 */
export function emotion2vecEncoder(
  weights: Weights,
  config: Emotion2vecConfig,
  { inputValues, attentionMask }: EncoderInputs,
  { layers = config.numHiddenLayers }: EncoderOptions = {},
): EncoderOutputs {
  const { graph } = inputValues;
  const scoped = <T>(name: string, build: () => T): T => withScope(graph, name, build);
  const audio = under(weights, AUDIO);
  const waveforms = config.normalizesInput
    ? scoped('normalization', () => normalized(inputValues, attentionMask))
    : inputValues;
  const { features, frameMask } = scoped('local_encoder', () =>
    featureEncoder(convolutionWeights(audio), config, { inputValues: waveforms, attentionMask }, 'real'),
  );
  const frames = scoped('project_features', () => {
    const project = under(audio, 'project_features.');
    return dense(project, '2', norm(project, '1', features, DEFAULT_EPSILON), config.hiddenSize);
  });
  const real = unsqueeze(cast(frameMask, 'float32'), [2]); // [N, T, 1]
  const position = scoped('relative_positional_encoder', () => positions(audio, config, frames, real));
  const sequence = scoped('extra_tokens', () => withExtraTokens(audio, config, add(frames, position)));
  const biasOf = scoped('alibi', () => layerBiases(audio, config, sequence, frameMask));
  const states = [
    scoped('context_encoder', () => norm(audio, 'context_encoder.norm', sequence, config.layerNormEps)),
  ];
  for (let layer = 0; layer < layers; layer++) {
    const inner = layer - config.contextLayers;
    const key = inner < 0 ? `${AUDIO}context_encoder.blocks.${layer}.` : `blocks.${inner}.`;
    const before = states.at(-1)!;
    states.push(
      scoped(`layers.${layer}`, () => transformerLayer(under(weights, key), config, before, biasOf(layer))),
    );
  }
  return {
    hiddenStates: states,
    inFrames: (state) => slice(state, 1, config.extraTokens),
    frameMask,
  };
}

/** Zero mean and unit variance over the real samples: (x - mean) / sqrt(variance + 1e-5), as by torch's layer_norm. */
function normalized(inputValues: Value, attentionMask: Value): Value {
  const values = unsqueeze(inputValues, [2]);
  const mean = timeMean(values, reduceSum(attentionMask, [1]));
  const centred = mul(sub(values, mean(values)), unsqueeze(cast(attentionMask, 'float32'), [2]));
  const scale = sqrt(add(mean(mul(centred, centred)), DEFAULT_EPSILON));
  return squeeze(div(centred, scale), [2]);
}

/** The keys of wav2vec 2.0's feature encoder, in which convolution and norm are items of a list. */
function convolutionWeights(audio: Weights): Weights {
  const at = /^feature_extractor\.conv_layers\.(\d+)\.(conv|layer_norm)\.(weight|bias)$/;
  return (key, shape) => {
    const [, layer, part, name] = at.exec(key)!;
    return audio(`local_encoder.conv_layers.${layer}.${part === 'conv' ? '0' : '2.1'}.${name}`, shape);
  };
}

/**
 * Positions of frames x [N, T, width], of the same shape: convolutions one after the other, each with a norm and GELU.
 * @param real [N, T, 1]: 0 on padded frames, which are silenced before each convolution, as if the clip ended there
 */
function positions(audio: Weights, config: Emotion2vecConfig, x: Value, real: Value): Value {
  const { hiddenSize: width, positionKernel: kernel, positionGroups: groups } = config;
  const half = Math.floor(kernel / 2);
  // An even kernel gives one frame too many, and the model drops the last one.
  const padding = [half, kernel % 2 === 0 ? half - 1 : half] as const;
  const [ones, zeros] = [1, 0].map((value) =>
    constant(x.graph, float32([width], new Float32Array(width).fill(value))),
  );
  let position = x;
  for (let layer = 0; layer < config.positionLayers; layer++) {
    const own = under(audio, `relative_positional_encoder.${layer + 1}.0.`);
    const steps = transpose(mul(position, real), [0, 2, 1]); // [N, width, T]
    const weight = own('weight', [width, width / groups, kernel]);
    const convolved = conv1d(steps, weight, own('bias', [width]), { padding, groups });
    position = gelu(layerNorm(transpose(convolved, [0, 2, 1]), ones!, zeros!, DEFAULT_EPSILON));
  }
  return position;
}

/** [N, T, width] -> [N, extra + T, width]. */
function withExtraTokens(audio: Weights, config: Emotion2vecConfig, x: Value): Value {
  const { extraTokens: extra, hiddenSize: width } = config;
  const [clips] = x.shape as [Dim];
  const sizes = concat([unsqueeze(sizeOf(x, 0), [0]), int64Vector(x.graph, [extra, width])], 0);
  const tokens = expand(audio('extra_tokens', [1, extra, width]), sizes, [clips, extra, width]);
  return concat([tokens, x], 1);
}

/**
 * What each layer adds to the scores of its attention: ALiBi (Press et al., 2022), symmetric, times a learned factor;
 * no distance to or from an extra token; padding masked. [N, heads, L, L]
 */
function layerBiases(
  audio: Weights,
  config: Emotion2vecConfig,
  sequence: Value,
  frameMask: Value,
): (layer: number) => Value {
  const { graph } = sequence;
  const { extraTokens: extra, numAttentionHeads: heads, numHiddenLayers } = config;
  const order = arange(sizeOf(sequence, 1), sequence.shape[1]!);
  const isFrame = cast(greaterOrEqual(order, extra), 'float32');
  const later = cast(sub(unsqueeze(order, [1]), unsqueeze(order, [0])), 'float32');
  const between = mul(unsqueeze(isFrame, [1]), unsqueeze(isFrame, [0]));
  const distance = mul(max(later, neg(later)), between); // [L, L]
  const slopes = constant(graph, float32([1, heads, 1, 1], alibiSlopes(heads)));
  const alibi = neg(mul(slopes, unsqueeze(distance, [0, 1])));
  const perLayer = config.alibiScalePerLayer ? numHiddenLayers : 1;
  const perHead = config.alibiScalePerHead ? heads : 1;
  const scales = max(audio('alibi_scale', [perLayer, 1, perHead, 1, 1]), 0);
  const padded = unsqueeze(attentionBias(frameMask), [1, 2]); // [N, 1, 1, T]
  const clips = unsqueeze(sizeOf(sequence, 0), [0]);
  const sizes = concat([clips, int64Vector(graph, [1, 1, extra])], 0);
  const none = expand(constant(graph, float32([1, 1, 1, 1], [0])), sizes, [padded.shape[0]!, 1, 1, extra]);
  const masked = concat([none, padded], 3);
  const biasOf = (layer: number): Value => {
    const scale = perLayer === 1 ? scales : slice(scales, 0, layer, layer + 1);
    return add(mul(alibi, reshape(scale, [1, perHead, 1, 1])), masked);
  };
  if (perLayer > 1) return biasOf;
  const shared = biasOf(0);
  return () => shared;
}

/**
 * The slopes of ALiBi: a geometric series, for other numbers than powers of two filled with every second of the next.
 */
export function alibiSlopes(heads: number): number[] {
  const power = 2 ** Math.floor(Math.log2(heads));
  const series = (count: number): number[] =>
    Array.from({ length: count }, (_, head) => 2 ** ((-8 * (head + 1)) / count));
  const between = series(2 * power).filter((_, head) => head % 2 === 0);
  return [...series(power), ...between.slice(0, heads - power)];
}

/** One post-norm layer: x [N, L, width] -> [N, L, width]. */
function transformerLayer(weights: Weights, config: Emotion2vecConfig, x: Value, bias: Value): Value {
  const { hiddenSize: width, numAttentionHeads: heads, layerNormEps: epsilon } = config;
  const attended = withScope(x.graph, 'attn', () => {
    const own = under(weights, 'attn.');
    const all = dense(own, 'qkv', x, 3 * width);
    const [queries, keys, values] = [0, 1, 2].map((part) => slice(all, 2, part * width, (part + 1) * width));
    const joined = multiHeadAttention({ queries: queries!, keys: keys!, values: values!, bias }, heads);
    return norm(weights, 'norm1', add(x, dense(own, 'proj', joined, width)), epsilon);
  });
  return withScope(x.graph, 'mlp', () => {
    const own = under(weights, 'mlp.');
    const inner = gelu(dense(own, 'fc1', attended, config.intermediateSize));
    return norm(weights, 'norm2', add(attended, dense(own, 'fc2', inner, width)), epsilon);
  });
}
