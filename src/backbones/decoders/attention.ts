/**
 * @file Grouped-query attention (Ainslie et al., 2023). The query heads that share a key head are stacked as rows of
 * one matrix, so keys and values are never repeated.
 */

import {
  add,
  and,
  cast,
  concat,
  constant,
  cos,
  type Dim,
  equal,
  int64Vector,
  matmul,
  max,
  mul,
  multiplyDims,
  neg,
  reshape,
  sin,
  softmax,
  split,
  sub,
  transpose,
  unsqueeze,
  type Value,
  where,
} from '../../engine/onnx/index.js';
import { float32 } from '../../engine/tensor/index.js';
import { causalMask, runningCount } from '../../nn/index.js';
import type { DecoderConfig, Projection } from './decoder-config.js';
import { rotaryFrequencies } from './decoder-config.js';

/** Applies one projection of the current layer: [N, L, in] of any type -> [N, L, out] of the weight's type. */
export type Project = (projection: Projection, x: Value) => Value;

/** A layer's normalisation of its query or key heads before rotation: [..., headDim] -> the same. */
export type HeadNorm = (kind: 'q_norm' | 'k_norm', heads: Value) => Value;

/** Shared by all layers. N utterances, L tokens. */
export interface AttentionContext {
  /** Rotation of the queries, scaled by 1 / sqrt(headDim): [N, 1, 1, L, headDim]. */
  readonly queryRotary: RotaryTable;
  /** Rotation of the keys: [N, 1, L, headDim]. */
  readonly keyRotary: RotaryTable;
  /** 0 where a row may attend to a column, -1e9 elsewhere: float32 [N, 1, 1, L, L]. */
  readonly bias: Value;
}

/**
 * Rotations and the causal and padding bias, computed once for all layers.
 * @param attentionMask int64 [N, L], 1 = real
 * @param positionIds int64 [N, L]; counted over the real tokens if absent
 */
export function attentionContext(
  config: DecoderConfig,
  attentionMask: Value,
  positionIds?: Value,
): AttentionContext {
  const causal = causalMask(attentionMask); // [L, L]
  const positions =
    positionIds === undefined ? maskedPositions(attentionMask, causal) : cast(positionIds, 'float32');
  const { cosine, sine } = rotaryTable(
    positions,
    rotaryFrequencies(config.headDim, config.ropeTheta, config.ropeScaling),
  );
  const scale = config.headDim ** -0.5;
  const allowed = and(causal, unsqueeze(equal(attentionMask, 1), [1])); // [N, L, L]
  return {
    queryRotary: {
      cosine: unsqueeze(mul(cosine, scale), [1, 2]),
      sine: unsqueeze(mul(sine, scale), [1, 2]),
    },
    keyRotary: { cosine: unsqueeze(cosine, [1]), sine: unsqueeze(sine, [1]) },
    // Not minus infinity, so that a padding row with nothing to attend to stays finite.
    bias: unsqueeze(where(allowed, 0, -1e9), [1, 2]),
  };
}

/**
 * Self-attention of one layer: x [N, L, d] -> [N, L, d] of the weights' type, which its products are in. Head norms,
 * rotation and softmax are float32. Queries are scaled before they are rounded to the weights' type, so that scores are
 * rounded once.
 */
export function groupedQueryAttention(
  x: Value,
  config: DecoderConfig,
  context: AttentionContext,
  project: Project,
  headNorm: HeadNorm,
): Value {
  const { numKeyValueHeads: keyHeads, numAttentionHeads: heads, headDim } = config;
  const groups = heads / keyHeads;
  const [batch, length] = x.shape as [Dim, Dim, Dim];
  const stacked = [batch, keyHeads, multiplyDims(length, groups)] as const;

  const projected = project('q_proj', x);
  const { dtype } = projected;
  const queries = transpose(reshape(projected, [batch, length, keyHeads, groups, headDim]), [0, 2, 3, 1, 4]);
  const keyValue = (projection: 'k_proj' | 'v_proj'): Value =>
    transpose(reshape(project(projection, x), [batch, length, keyHeads, headDim]), [0, 2, 1, 3]);
  const rotated = (kind: 'q_norm' | 'k_norm', given: Value, table: RotaryTable): Value =>
    cast(rotate(headNorm(kind, cast(given, 'float32')), table), dtype);
  const rotatedQueries = reshape(rotated('q_norm', queries, context.queryRotary), [...stacked, headDim]);
  const rotatedKeys = rotated('k_norm', keyValue('k_proj'), context.keyRotary); // [N, keyHeads, L, headDim]

  const scores = matmul(rotatedQueries, transpose(rotatedKeys, [0, 1, 3, 2])); // [N, keyHeads, groups * L, L]
  const perHead = reshape(cast(scores, 'float32'), [batch, keyHeads, groups, length, length]);
  const attention = cast(reshape(softmax(add(perHead, context.bias)), [...stacked, length]), dtype);
  const mixed = matmul(attention, keyValue('v_proj')); // [N, keyHeads, groups * L, headDim]
  const perToken = transpose(reshape(mixed, [batch, keyHeads, groups, length, headDim]), [0, 3, 1, 2, 4]);
  return project('o_proj', reshape(perToken, [batch, length, heads * headDim]));
}

/** Rotation of each position; the first half of `sine` is negated, as {@link rotate} expects. */
export interface RotaryTable {
  /** float32 [N, L, headDim] */
  readonly cosine: Value;
  /** float32 [N, L, headDim] */
  readonly sine: Value;
}

/**
 * Positions counted over the real tokens: left padding and the first real token get 0, right padding repeats the last
 * position. A sequence has the same positions however it is padded.
 * @param attentionMask int64 [N, L], 1 = real
 * @param causal bool [L, L], see `causalMask`
 * @returns float32 [N, L]
 */
export function maskedPositions(attentionMask: Value, causal: Value): Value {
  return max(sub(runningCount(attentionMask, causal), 1), 0);
}

/** Angles position * frequency, one for each pair of a head. `positions` float32 [N, L]. */
export function rotaryTable(positions: Value, frequencies: readonly number[]): RotaryTable {
  const angles = mul(
    unsqueeze(positions, [-1]),
    constant(positions.graph, float32([frequencies.length], frequencies)),
  );
  const [cosine, sine] = [cos(angles), sin(angles)]; // [N, L, headDim / 2]
  return { cosine: concat([cosine, cosine], -1), sine: concat([neg(sine), sine], -1) };
}

/** [a; b] -> [a cos - b sin; b cos + a sin] on the last axis. The table must broadcast to `x`. */
export function rotate(x: Value, { cosine, sine }: RotaryTable): Value {
  const last = x.shape.length - 1;
  const half = (x.shape[last] as number) / 2;
  const [first, second] = split(x, last, [half, half], int64Vector(x.graph, [half, half]));
  return add(mul(x, cosine), mul(concat([second!, first!], last), sine));
}
