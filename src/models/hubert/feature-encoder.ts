/**
 * @file HuBERT's convolutional feature encoder (Hsu et al., 2021; Baevski et al., 2020): waveform to one vector for
 * each 20 ms.
 *
 * Everything is kept as [N, T, channels], and a convolution is one matrix product over the gathered windows. That
 * runs at the rate of the matrix product, needs no transpose for the layer norms, no search for an algorithm on
 * CUDA, and computes each frame by itself: a clip's bits do not depend on the clips beside it.
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
  linear,
  matmul,
  max,
  mul,
  reduceSum,
  reshape,
  sizeOf,
  sqrt,
  sub,
  transpose,
  unsqueeze,
  type Value,
  withScope,
} from '../../engine/onnx/index.js';
import { int64 } from '../../engine/tensor/index.js';
import type { HubertConfig } from '../checkpoint/index.js';
import { under, type Weights } from '../weights.js';
import { convFrames, validFrames } from './frames.js';

/** PyTorch's default for the norms inside the feature encoder; the config's layer_norm_eps does not reach them. */
const CONV_NORM_EPSILON = 1e-5;

/**
 * Convolutions, norms and GELU.
 * @param inputValues float32 [N, samples]
 * @param attentionMask int64 [N, samples], 1 on real samples, which come first
 * @returns features [N, frames, convDim.at(-1)] and frameMask int64 [N, frames]
 */
export function featureEncoder(
  weights: Weights,
  config: HubertConfig,
  { inputValues, attentionMask }: { inputValues: Value; attentionMask: Value },
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
        features = timeNorm(under(layerWeights, 'layer_norm.'), features, lengths);
      }
      features = gelu(features);
    });
  });
  return { features, frameMask: validFrames(lengths, features) };
}

/** x [N, T, in] -> [N, T', channels], weight [channels, in, kernel] of the checkpoint. */
function convolution(weights: Weights, config: HubertConfig, layer: number, x: Value): Value {
  const { graph } = x;
  const [, length, width] = x.shape as [Dim, Dim, number];
  const [channels, kernel] = [config.convDim[layer]!, config.convKernel[layer]!];
  const stride = config.convStride[layer]!;
  const frames = convFrames(sizeOf(x, 1), kernel, stride);
  const starts = mul(arange(frames, lengthAfter(config, layer, length)), stride);
  const taps = constant(graph, int64([1, kernel], [...Array(kernel).keys()]));
  const windows = gather(x, add(unsqueeze(starts, [1]), taps), 1); // [N, T', kernel, in]
  const rows = reshape(windows, [...windows.shape.slice(0, 2), kernel * width]);
  // In the windows' order: a constant of at most 3 MB, folded when the session loads.
  const inOrder = transpose(weights('weight', [channels, width, kernel]), [0, 2, 1]);
  const weight = reshape(inOrder, [channels, kernel * width]);
  return linear(rows, weight, config.convBias ? weights('bias', [channels]) : undefined);
}

/** A convolution's length: worked out where it is known, else a name that reads better in a viewer than the formula. */
function lengthAfter({ convDim, convKernel, convStride }: HubertConfig, layer: number, length: Dim): Dim {
  if (typeof length === 'number') return convLength(length, convKernel[layer]!, convStride[layer]!);
  return layer === convDim.length - 1 ? 'frames' : `frames_${layer}`;
}

/**
 * Group norm with one group for each channel: every channel is normalised over its own time steps. Only the real
 * ones count, so that padding changes nothing; on a clip without padding this is PyTorch's GroupNorm.
 * x [N, T, channels], lengths int64 [N].
 */
function timeNorm(weights: Weights, x: Value, lengths: Value): Value {
  const channels = x.shape[2] as number;
  const mask = unsqueeze(cast(validFrames(lengths, x), x.dtype), [1]); // [N, 1, T]
  const count = unsqueeze(cast(max(lengths, 1), x.dtype), [1, 2]); // [N, 1, 1]
  // A product with the mask sums the real steps in one pass, without a masked copy of x.
  const centred = sub(x, div(matmul(mask, x), count));
  const variance = div(matmul(mask, mul(centred, centred)), count); // [N, 1, channels]
  const gain = div(weights('weight', [channels]), sqrt(add(variance, CONV_NORM_EPSILON)));
  return add(mul(centred, gain), weights('bias', [channels]));
}
