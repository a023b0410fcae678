/**
 * @file The convolutional feature encoder of wav2vec 2.0 (Baevski et al., 2020): one vector per 20 ms of waveform.
 *
 * Values are kept as [N, T, channels], and a convolution is one matrix product over gathered windows. This is as fast
 * as the matrix product, needs no transpose for the layer norms and no algorithm search on CUDA, and computes each
 * frame independently: a clip's bits do not depend on the rest of the batch.
 */

import {
  add,
  arange,
  cast,
  constant,
  convLength,
  type Dim,
  div,
  gather,
  gelu,
  layerNorm,
  less,
  linear,
  matmul,
  max,
  min,
  mul,
  reduceSum,
  reshape,
  sizeOf,
  sqrt,
  squeeze,
  sub,
  transpose,
  unsqueeze,
  type Value,
  withScope,
} from '../../../engine/onnx/index.js';
import { int64 } from '../../../engine/tensor/index.js';
import { under, type Weights } from '../../../nn/index.js';
import type { Framing, SpeechEncoderConfig } from '../speech-encoder.js';
import { receptiveField, type Wav2Vec2Config } from './config.js';

/** The convolutions and their norms. */
export type FeatureEncoderConfig = Pick<
  Wav2Vec2Config,
  'convDim' | 'convKernel' | 'convStride' | 'convBias' | 'featExtractNorm'
>;

/** PyTorch's default, used inside the feature encoder; the config's layer_norm_eps does not apply to it. */
const CONV_NORM_EPSILON = 1e-5;

/** Time steps that a group norm averages over: the real ones of each clip, or the padding too. */
export type GroupNormSteps = 'real' | 'padded';

/**
 * Convolutions, norms and GELU.
 * @param inputValues float32 [N, samples]
 * @param attentionMask int64 [N, samples], 1 on real samples, which come first
 * @param groupNormSteps affects the base variant only
 * @returns features [N, frames, convDim.at(-1)] and frameMask int64 [N, frames]
 */
export function featureEncoder(
  weights: Weights,
  config: FeatureEncoderConfig,
  { inputValues, attentionMask }: { inputValues: Value; attentionMask: Value },
  groupNormSteps: GroupNormSteps,
): { features: Value; frameMask: Value } {
  let features = unsqueeze(inputValues, [2]); // [N, samples, 1]
  let lengths = reduceSum(attentionMask, [1]); // [N]
  config.convDim.forEach((channels, layer) => {
    const layerWeights = under(weights, `feature_extractor.conv_layers.${layer}.`);
    withScope(features.graph, `conv_layers.${layer}`, () => {
      lengths = convFrames(lengths, config.convKernel[layer]!, config.convStride[layer]!);
      features = convolution(under(layerWeights, 'conv.'), config, layer, features);
      if (config.featExtractNorm === 'layer') {
        const [scale, bias] = ['weight', 'bias'].map((name) =>
          layerWeights(`layer_norm.${name}`, [channels]),
        );
        features = layerNorm(features, scale!, bias!, CONV_NORM_EPSILON);
      } else if (layer === 0) {
        const mean = timeMean(features, groupNormSteps === 'real' ? lengths : undefined);
        features = timeNorm(under(layerWeights, 'layer_norm.'), features, mean);
      }
      features = gelu(features);
    });
  });
  return { features, frameMask: validFrames(lengths, features) };
}

/** x [N, T, in] -> [N, T', channels]; weight [channels, in, kernel] as in the checkpoint. */
function convolution(weights: Weights, config: FeatureEncoderConfig, layer: number, x: Value): Value {
  const { graph } = x;
  const [, length, width] = x.shape as [Dim, Dim, number];
  const [channels, kernel] = [config.convDim[layer]!, config.convKernel[layer]!];
  const stride = config.convStride[layer]!;
  const frames = convFrames(sizeOf(x, 1), kernel, stride);
  const starts = mul(arange(frames, lengthAfter(config, layer, length)), stride);
  const taps = constant(graph, int64([1, kernel], [...Array(kernel).keys()]));
  const windows = gather(x, add(unsqueeze(starts, [1]), taps), 1); // [N, T', kernel, in]
  const rows = reshape(windows, [...windows.shape.slice(0, 2), kernel * width]);
  // Reordered like the windows: a constant of at most 3 MB, folded when the session loads.
  const inOrder = transpose(weights('weight', [channels, width, kernel]), [0, 2, 1]);
  const weight = reshape(inOrder, [channels, kernel * width]);
  return linear(rows, weight, config.convBias ? weights('bias', [channels]) : undefined);
}

/** Length after a convolution: computed if known, otherwise a symbol that reads better in a viewer than the formula. */
function lengthAfter(
  { convDim, convKernel, convStride }: FeatureEncoderConfig,
  layer: number,
  length: Dim,
): Dim {
  if (typeof length === 'number') return convLength(length, convKernel[layer]!, convStride[layer]!);
  return layer === convDim.length - 1 ? 'frames' : `frames_${layer}`;
}

/** The mean of values [N, T, channels] over time: [N, 1, channels]. */
export type TimeMean = (values: Value) => Value;

/**
 * Time is summed in blocks of this many steps, then over blocks. Adding tens of thousands of float32 terms in sequence
 * would lose the small ones, which quiet stretches and padding consist of.
 */
const BLOCK_STEPS = 128;

/** The mean over all time steps of values like x [N, T, channels], or over the first `lengths` int64 [N] of them. */
export function timeMean(x: Value, lengths: Value | undefined): TimeMean {
  const size = sizeOf(x, 1);
  const blocks = div(add(size, BLOCK_STEPS - 1), BLOCK_STEPS);
  const starts = mul(arange(blocks, `${x.shape[1]}_blocks`), BLOCK_STEPS);
  const steps = constant(x.graph, int64([1, BLOCK_STEPS], [...Array(BLOCK_STEPS).keys()]));
  const positions = add(unsqueeze(starts, [1]), steps); // [blocks, steps], the last ones beyond T
  const counted = lengths === undefined ? size : unsqueeze(lengths, [1, 2]); // [] or [N, 1, 1]
  const weights = unsqueeze(cast(less(unsqueeze(positions, [0]), counted), x.dtype), [2]); // [N or 1, blocks, 1, steps]
  const count = cast(max(counted, 1), x.dtype);
  // Matrix products throughout: the rounding of onnxruntime's ReduceSum depends on the batch size.
  const ones = unsqueeze(cast(less(starts, size), x.dtype), [0, 1]); // [1, 1, blocks]
  return (values) => {
    const blocked = gather(values, min(positions, sub(size, 1)), 1); // [N, blocks, steps, channels]
    const sums = squeeze(matmul(weights, blocked), [2]); // [N, blocks, channels]
    return div(matmul(ones, sums), count);
  };
}

/**
 * Group norm with one group per channel: normalises every channel of x [N, T, channels] over its own time steps. If all
 * steps count, this equals PyTorch's GroupNorm.
 */
function timeNorm(weights: Weights, x: Value, mean: TimeMean): Value {
  const channels = x.shape[2] as number;
  const centred = sub(x, mean(x));
  const variance = mean(mul(centred, centred)); // [N, 1, channels]
  const gain = div(weights('weight', [channels]), sqrt(add(variance, CONV_NORM_EPSILON)));
  return add(mul(centred, gain), weights('bias', [channels]));
}

/** The part of the config that determines lengths. */
export type FrameGeometry = Pick<Wav2Vec2Config, 'convKernel' | 'convStride'>;

/** Number of frames of `samples` waveform samples: floor((length - kernel) / stride) + 1 per layer, never below 0. */
export function frameCount({ convKernel, convStride }: FrameGeometry, samples: number): number {
  return convKernel.reduce(
    (length, kernel, layer) => Math.max(0, Math.floor((length - kernel) / convStride[layer]!) + 1),
    samples,
  );
}

/**
 * Batches are padded to a multiple of this (0.25 s). With few distinct lengths clips can share batches without
 * affecting each other, and onnxruntime rarely needs a new memory plan, or CUDA a new algorithm search.
 */
const PADDING_STEP_SAMPLES = 4000;

/** How this feature encoder divides clips into frames. */
export function convFraming(config: SpeechEncoderConfig & FeatureEncoderConfig): Framing {
  return {
    frames: (samples) => frameCount(config, samples),
    frameSamples: config.convStride.reduce((samples, stride) => samples * stride, 1),
    fewestSamples: receptiveField(config),
    stepSamples: PADDING_STEP_SAMPLES,
    // transformers' group norm includes the padding, whatever the mask.
    ignoresPadding: config.featExtractNorm === 'layer',
  };
}

/** {@link frameCount} of one convolution in the graph: lengths int64 [N] -> int64 [N]. */
export function convFrames(lengths: Value, kernel: number, stride: number): Value {
  // ONNX rounds integer division towards zero; with a non-negative dividend that equals floor.
  return div(sub(max(lengths, kernel - stride), kernel - stride), stride);
}

/** Mask of real frames: counts int64 [N] -> int64 [N, T], 1 below the count; T is the size of axis 1 of `like`. */
export function validFrames(counts: Value, like: Value): Value {
  const positions = unsqueeze(arange(sizeOf(like, 1), like.shape[1]!), [0]); // [1, T]
  return cast(less(positions, unsqueeze(counts, [1])), 'int64');
}
