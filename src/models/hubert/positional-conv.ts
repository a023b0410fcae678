/** @file HuBERT's relative position: a grouped convolution over time with weight norm (Salimans and Kingma, 2016). */

import { conv1d, div, gelu, mul, reduceSum, sqrt, transpose, type Value } from '../../engine/onnx/index.js';
import type { HubertConfig } from '../checkpoint/index.js';
import type { Weights } from '../weights.js';

/** Where the encoder's weights for it lie. */
const PREFIX = 'encoder.pos_conv_embed.conv.';

/**
 * Position embeddings of x [N, L, width], of the same shape. The weight is g v / |v| with one norm for each tap of the
 * kernel, all constants, so onnxruntime folds it once at load.
 */
export function positionalConvolution(weights: Weights, config: HubertConfig, x: Value): Value {
  const { hiddenSize: width, numConvPosEmbeddings: kernel, numConvPosEmbeddingGroups: groups } = config;
  const magnitude = weights(`${PREFIX}parametrizations.weight.original0`, [1, 1, kernel]);
  const direction = weights(`${PREFIX}parametrizations.weight.original1`, [width, width / groups, kernel]);
  const norm = sqrt(reduceSum(mul(direction, direction), [0, 1], true)); // [1, 1, kernel]
  const weight = mul(direction, div(magnitude, norm));
  const half = Math.floor(kernel / 2);
  // Padding by half a kernel gives one frame too many where the kernel is even, and the model drops the last one:
  // the same as padding the end by one less.
  const padding = [half, kernel % 2 === 0 ? half - 1 : half] as const;
  const steps = transpose(x, [0, 2, 1]); // [N, width, L]
  const position = conv1d(steps, weight, weights(`${PREFIX}bias`, [width]), { padding, groups });
  return transpose(gelu(position), [0, 2, 1]);
}
