/**
 * @file Layers shared by HuBERT and the EmoQ-Former (linear, layer norm, multi-head attention), with weights by
 * checkpoint key.
 */

import {
  add,
  arange,
  cast,
  type Dim,
  div,
  gemm,
  greaterOrEqual,
  layerNorm,
  linear,
  matmul,
  mul,
  reduceSum,
  reshape,
  sizeOf,
  softmax,
  transpose,
  unsqueeze,
  type Value,
  withScope,
} from '../engine/onnx/index.js';
import type { Weights } from './weights.js';

/**
 * The linear layer `name` with bias, in the weight's type; weight in checkpoint layout [out, in]: float32 [..., in] ->
 * float32 [..., out].
 */
export function dense(weights: Weights, name: string, x: Value, out: number): Value {
  const weight = weights(`${name}.weight`, [out, x.shape.at(-1) as number]);
  const bias = weights(`${name}.bias`, [out]);
  const { dtype } = weight;
  return withScope(x.graph, name, () => cast(linear(cast(x, dtype), weight, cast(bias, dtype)), 'float32'));
}

/** The layer norm `name` over the last axis. */
export function norm(weights: Weights, name: string, x: Value, epsilon: number): Value {
  const width = x.shape.at(-1) as number;
  return layerNorm(x, weights(`${name}.weight`, [width]), weights(`${name}.bias`, [width]), epsilon);
}

/** Projected queries [N, L_q, d], keys [N, L_k, d] and values [N, L_k, d]. */
export interface Attended {
  readonly queries: Value;
  readonly keys: Value;
  readonly values: Value;
  /** Additive, broadcast to [N, heads, L_q, L_k]: 0 where a key may be attended to. Absent: all keys may. */
  readonly bias?: Value | undefined;
}

/**
 * softmax(Q K' / sqrt(d_k) + bias) V with several heads (Vaswani et al., 2017), heads concatenated: [N, L_q, d].
 * @param dropShares dropout of the attention weights [N, heads, L_q, L_k]
 */
export function multiHeadAttention(
  { queries, keys, values, bias }: Attended,
  heads: number,
  dropShares: (shares: Value) => Value = (shares) => shares,
): Value {
  const split = {
    queries: queryHeads(queries, heads),
    keys: keyHeads(keys, heads),
    values: valueHeads(values, heads),
  };
  return attendedHeads({ ...split, bias }, dropShares);
}

/** Projected queries [N, L, d] by their heads, scaled: [N, heads, L, d_k]. */
export function queryHeads(queries: Value, heads: number): Value {
  const split = byHeads(queries, heads, [0, 2, 1, 3]);
  return mul(split, 1 / Math.sqrt(split.shape.at(-1) as number));
}

/** Projected keys [N, L, d] by their heads: [N, heads, d_k, L]. */
export function keyHeads(keys: Value, heads: number): Value {
  return byHeads(keys, heads, [0, 2, 3, 1]);
}

/** Projected values [N, L, d] by their heads: [N, heads, L, d_k]. */
export function valueHeads(values: Value, heads: number): Value {
  return byHeads(values, heads, [0, 2, 1, 3]);
}

function byHeads(x: Value, heads: number, permutation: readonly number[]): Value {
  const headWidth = (x.shape.at(-1) as number) / heads;
  return transpose(reshape(x, [x.shape[0]!, x.shape[1]!, heads, headWidth]), permutation);
}

/** {@link multiHeadAttention} of what is already split by heads: [N, L_q, d]. */
export function attendedHeads(
  { queries, keys, values, bias }: Attended,
  dropShares: (shares: Value) => Value = (shares) => shares,
): Value {
  const [batch, heads, length, headWidth] = queries.shape as [Dim, number, Dim, number];
  const scores = matmul(queries, keys);
  const shares = dropShares(softmax(bias === undefined ? scores : add(scores, bias)));
  const context = transpose(matmul(shares, values), [0, 2, 1, 3]); // [N, L_q, heads, d_k]
  return reshape(context, [batch, length, heads * headWidth]);
}

/**
 * Multi-head attentive pooling: each head weighs the places by a softmax over its own scores and sums its part of their
 * values; the heads are concatenated and projected.
 * @param x [N, L, d]
 * @param bias additive, broadcast to [N, heads, L]; absent: all places count
 * @param onShares is given the weights of the places [N, heads, L]
 * @returns [N, d]
 */
export function attentivePooling(
  weights: Weights,
  x: Value,
  heads: number,
  bias?: Value,
  onShares?: (shares: Value) => void,
): Value {
  const width = x.shape.at(-1) as number;
  const scores = transpose(linear(x, weights('score.weight', [heads, width])), [0, 2, 1]); // [N, H, L]
  const shares = softmax(bias === undefined ? scores : add(scores, bias));
  onShares?.(shares);
  const values = reshape(dense(weights, 'value', x, width), [x.shape[0]!, x.shape[1]!, heads, width / heads]);
  const pooled = matmul(unsqueeze(shares, [2]), transpose(values, [0, 2, 1, 3])); // [N, H, 1, d/H]
  return dense(weights, 'output', reshape(pooled, [x.shape[0]!, width]), width);
}

/** Mean over the unmasked places: x float32 [N, L, d], mask int64 [N, L] -> [N, d]. */
export function maskedMean(x: Value, mask: Value): Value {
  const real = cast(mask, 'float32');
  return div(reduceSum(mul(x, unsqueeze(real, [2])), [1]), unsqueeze(reduceSum(real, [1]), [1]));
}

/** True on and below the diagonal: [N, L] -> bool [L, L]. */
export function causalMask(sequences: Value): Value {
  const order = arange(sizeOf(sequences, 1), sequences.shape[1]!);
  return greaterOrEqual(unsqueeze(order, [1]), unsqueeze(order, [0]));
}

/**
 * Cumulative count of ones in a mask, including the current position.
 * @param mask [N, L], ones and zeros
 * @param causal bool [L, L], see `causalMask`
 * @returns float32 [N, L]; exact up to 16,777,216
 */
export function runningCount(mask: Value, causal: Value): Value {
  // A product with the triangular matrix: with ones and zeros it is exact in any precision.
  return gemm(cast(mask, 'float32'), cast(causal, 'float32'), undefined, { transB: true });
}
