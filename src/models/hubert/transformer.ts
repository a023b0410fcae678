/** @file HuBERT's transformer layers, post-norm (base) and pre-norm (large, "stable layer norm"). */

import { add, gelu, type Value, withScope } from '../../engine/onnx/index.js';
import type { HubertConfig } from '../checkpoint/index.js';
import { dense, multiHeadAttention, norm } from '../layers.js';
import { under, type Weights } from '../weights.js';

/**
 * One layer: x [N, L, width] -> [N, L, width].
 * @param bias additive, [N, 1, 1, L]: 0 on real frames, hugely negative on padded ones
 */
export function transformerLayer(weights: Weights, config: HubertConfig, x: Value, bias: Value): Value {
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
function attention(weights: Weights, config: HubertConfig, x: Value, bias: Value): Value {
  const { hiddenSize: width, numAttentionHeads: heads } = config;
  const project = (name: string): Value => dense(weights, name, x, width);
  const attended = { queries: project('q_proj'), keys: project('k_proj'), values: project('v_proj'), bias };
  const joined = multiHeadAttention(attended, heads);
  return dense(weights, 'out_proj', joined, width);
}

function feedForward(weights: Weights, config: HubertConfig, x: Value): Value {
  const inner = gelu(dense(weights, 'intermediate_dense', x, config.intermediateSize));
  return dense(weights, 'output_dense', inner, config.hiddenSize);
}
