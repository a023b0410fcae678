/** @file Multi-head attention with a residual and a layer norm behind it, as BERT and RoBERTa have it. */

import {
  add,
  layerNorm,
  linear,
  matmul,
  mul,
  reshape,
  softmax,
  transpose,
  type Value,
} from '../../engine/onnx/index.js';
import { type Dropout, under, type Weights } from '../weights.js';

export interface AttentionShape {
  readonly width: number;
  readonly heads: number;
  readonly layerNormEps: number;
  readonly dropout: number;
  readonly attentionDropout: number;
}

/** A linear layer by key prefix, weight in checkpoint layout [out, in]. */
export function dense(weights: Weights, name: string, x: Value, out: number): Value {
  const width = x.shape.at(-1) as number;
  return linear(x, weights(`${name}.weight`, [out, width]), weights(`${name}.bias`, [out]));
}

/** A layer norm by key prefix. */
export function norm(weights: Weights, name: string, x: Value, epsilon: number): Value {
  const width = x.shape.at(-1) as number;
  return layerNorm(x, weights(`${name}.weight`, [width]), weights(`${name}.bias`, [width]), epsilon);
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
  const headWidth = width / heads;
  const self = under(weights, 'self.');
  const split = (x: Value, permutation: readonly number[]): Value =>
    transpose(reshape(x, [x.shape[0]!, x.shape[1]!, heads, headWidth]), permutation);
  const q = split(mul(dense(self, 'query', queries, width), 1 / Math.sqrt(headWidth)), [0, 2, 1, 3]); // [N, h, L_q, d_k]
  const k = split(dense(self, 'key', keys, width), [0, 2, 3, 1]); // [N, h, d_k, L_k]
  const v = split(dense(self, 'value', keys, width), [0, 2, 1, 3]); // [N, h, L_k, d_k]
  const scores = matmul(q, k);
  const attention = softmax(bias === undefined ? scores : add(scores, bias)); // [N, h, L_q, L_k]
  const dropped = dropout(attention, shape.attentionDropout, `${site}.probabilities`);
  const context = transpose(matmul(dropped, v), [0, 2, 1, 3]); // [N, L_q, h, d_k]
  const merged = reshape(context, [context.shape[0]!, context.shape[1]!, width]);
  const output = dropout(dense(weights, 'output.dense', merged, width), shape.dropout, `${site}.output`);
  return norm(weights, 'output.LayerNorm', add(output, residual), shape.layerNormEps);
}
