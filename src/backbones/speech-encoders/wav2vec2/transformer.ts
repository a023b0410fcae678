/** @file The transformer layers of wav2vec 2.0, post-norm (base) and pre-norm (large, "stable layer norm"). */

import {
  add,
  conv1d,
  div,
  gelu,
  mul,
  reduceSum,
  sqrt,
  transpose,
  type Value,
  withScope,
} from '../../../engine/onnx/index.js';
import { dense, multiHeadAttention, norm, under, type Weights } from '../../../nn/index.js';
import type { Wav2Vec2Config } from './config.js';

/**
 * One layer: x [N, L, width] -> [N, L, width].
 * @param bias additive, [N, 1, 1, L]: 0 on real frames, hugely negative on padded ones
 */
export function transformerLayer(weights: Weights, config: Wav2Vec2Config, x: Value, bias: Value): Value {
  const normed = (value: Value, name: string): Value => norm(weights, name, value, config.layerNormEps);
  const attend = (value: Value): Value =>
    withScope(x.graph, 'attention', () => attention(under(weights, 'attention.'), config, value, bias));
  const feed = (value: Value): Value =>
    withScope(x.graph, 'feed_forward', () => feedForward(under(weights, 'feed_forward.'), config, value));
  if (config.doStableLayerNorm) {
    const attended = add(x, attend(normed(x, 'layer_norm')));
    return add(attended, feed(normed(attended, 'final_layer_norm')));
  }
  const attended = normed(add(x, attend(x)), 'layer_norm');
  return normed(add(attended, feed(attended)), 'final_layer_norm');
}

/** Multi-head self-attention (Vaswani et al., 2017). */
function attention(weights: Weights, config: Wav2Vec2Config, x: Value, bias: Value): Value {
  const { hiddenSize: width, numAttentionHeads: heads } = config;
  const project = (name: string): Value => dense(weights, name, x, width);
  const attended = { queries: project('q_proj'), keys: project('k_proj'), values: project('v_proj'), bias };
  const joined = multiHeadAttention(attended, heads);
  return dense(weights, 'out_proj', joined, width);
}

function feedForward(weights: Weights, config: Wav2Vec2Config, x: Value): Value {
  const inner = gelu(dense(weights, 'intermediate_dense', x, config.intermediateSize));
  return dense(weights, 'output_dense', inner, config.hiddenSize);
}

/** Where the encoder's weights for it lie. */
const PREFIX = 'encoder.pos_conv_embed.conv.';

/**
 * Position embeddings of x [N, L, width], of the same shape. The weight is g v / |v| with one norm for each tap of the
 * kernel, all constants, so onnxruntime folds it once at load.
 */
export function positionalConvolution(weights: Weights, config: Wav2Vec2Config, x: Value): Value {
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
