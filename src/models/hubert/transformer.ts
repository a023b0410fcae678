/** @file HuBERT's transformer layers, post-norm (base) and pre-norm (large, "stable layer norm"). */

import {
  add,
  gelu,
  layerNorm,
  linear,
  matmul,
  mul,
  reshape,
  softmax,
  transpose,
  type Value,
  withScope,
} from '../../engine/onnx/index.js';
import type { HubertConfig } from '../checkpoint/index.js';
import { under, type Weights } from '../weights.js';

/**
 * One layer: x [N, L, width] -> [N, L, width].
 * @param bias additive, [N, 1, 1, L]: 0 on real frames, hugely negative on padded ones
 */
export function transformerLayer(weights: Weights, config: HubertConfig, x: Value, bias: Value): Value {
  const norm = (value: Value, name: string): Value => layerNormOf(under(weights, `${name}.`), config, value);
  const attend = (value: Value): Value =>
    withScope(x.graph, 'attention', () => attention(under(weights, 'attention.'), config, value, bias));
  const feed = (value: Value): Value =>
    withScope(x.graph, 'feed_forward', () => feedForward(under(weights, 'feed_forward.'), config, value));
  if (config.doStableLayerNorm) {
    const attended = add(x, attend(norm(x, 'layer_norm')));
    return add(attended, feed(norm(attended, 'final_layer_norm')));
  }
  const attended = norm(add(x, attend(x)), 'layer_norm');
  return norm(add(attended, feed(attended)), 'final_layer_norm');
}

/** Layer norm with the config's epsilon, weights `weight` and `bias` below the given prefix. */
export function layerNormOf(weights: Weights, { layerNormEps }: HubertConfig, x: Value): Value {
  const width = x.shape.at(-1) as number;
  return layerNorm(x, weights('weight', [width]), weights('bias', [width]), layerNormEps);
}

/** The linear layer `name` with its bias: [..., in] -> [..., out]. */
export function dense(weights: Weights, name: string, x: Value, out: number): Value {
  const weight = weights(`${name}.weight`, [out, x.shape.at(-1) as number]);
  return withScope(x.graph, name, () => linear(x, weight, weights(`${name}.bias`, [out])));
}

/** Multi-head self-attention (Vaswani et al., 2017). */
function attention(weights: Weights, config: HubertConfig, x: Value, bias: Value): Value {
  const { hiddenSize: width, numAttentionHeads: heads } = config;
  const [batch, frames] = x.shape as [Value['shape'][number], Value['shape'][number]];
  const headWidth = width / heads;
  const split = (name: string): Value =>
    reshape(dense(weights, name, x, width), [batch, frames, heads, headWidth]);
  const query = mul(transpose(split('q_proj'), [0, 2, 1, 3]), 1 / Math.sqrt(headWidth)); // [N, heads, L, headWidth]
  const key = transpose(split('k_proj'), [0, 2, 3, 1]); // [N, heads, headWidth, L]
  const value = transpose(split('v_proj'), [0, 2, 1, 3]);
  const shares = softmax(add(matmul(query, key), bias)); // [N, heads, L, L]
  const joined = reshape(transpose(matmul(shares, value), [0, 2, 1, 3]), [batch, frames, width]);
  return dense(weights, 'out_proj', joined, width);
}

function feedForward(weights: Weights, config: HubertConfig, x: Value): Value {
  const inner = gelu(dense(weights, 'intermediate_dense', x, config.intermediateSize));
  return dense(weights, 'output_dense', inner, config.hiddenSize);
}
