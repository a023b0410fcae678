/** @file Multi-head attention with a residual and a layer norm behind it, as BERT and RoBERTa have it. */

import { add, type Value } from '../../engine/onnx/index.js';
import { dense, multiHeadAttention, norm } from '../layers.js';
import { type Dropout, under, type Weights } from '../weights.js';

export interface AttentionShape {
  readonly width: number;
  readonly heads: number;
  readonly layerNormEps: number;
  readonly dropout: number;
  readonly attentionDropout: number;
}

/**
 * softmax(Q K' / sqrt(d_k) + bias) V, then the output projection, dropout, residual and layer norm (eqs. 2 and 3).
 * @param queries [N, L_q, d]
 * @param keys [N, L_k, d], also the values' source
 * @param bias additive, broadcast to [N, heads, L_q, L_k]; 0 where a key may be seen
 * @param residual [N, L_q, d]
 */
export function attentionBlock(
  weights: Weights,
  shape: AttentionShape,
  {
    queries,
    keys,
    bias,
    residual,
  }: { queries: Value; keys: Value; bias: Value | undefined; residual: Value },
  dropout: Dropout,
  site: string,
): Value {
  const { width, heads } = shape;
  const self = under(weights, 'self.');
  const attended = {
    queries: dense(self, 'query', queries, width),
    keys: dense(self, 'key', keys, width),
    values: dense(self, 'value', keys, width),
    bias,
  };
  const merged = multiHeadAttention(attended, heads, (shares) =>
    dropout(shares, shape.attentionDropout, `${site}.probabilities`),
  );
  const output = dropout(dense(weights, 'output.dense', merged, width), shape.dropout, `${site}.output`);
  return norm(weights, 'output.LayerNorm', add(output, residual), shape.layerNormEps);
}
