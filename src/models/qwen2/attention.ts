/**
 * @file Grouped-query attention (Ainslie et al., 2023). The query heads that share a key head are laid one below the
 * other as the rows of one matrix, so that keys and values are never repeated.
 */

import {
  add,
  and,
  cast,
  type Dim,
  equal,
  matmul,
  mul,
  multiplyDims,
  reshape,
  softmax,
  transpose,
  unsqueeze,
  type Value,
  where,
} from '../../engine/onnx/index.js';
import type { Qwen2Config } from '../checkpoint/index.js';
import { causalMask } from '../positions.js';
import type { Projection } from './projections.js';
import { maskedPositions, type RotaryTable, rotaryTable, rotate } from './rotary.js';

/** Applies one projection of the layer at hand: [N, L, in] -> [N, L, out]. */
export type Project = (projection: Projection, x: Value) => Value;

/** What all layers share. N utterances, L tokens. */
export interface AttentionContext {
  /** Rotation of the queries, times 1 / sqrt(headDim): [N, 1, 1, L, headDim]. */
  readonly queryRotary: RotaryTable;
  /** Rotation of the keys: [N, 1, L, headDim]. */
  readonly keyRotary: RotaryTable;
  /** 0 where a row may look at a column, -1e9 elsewhere: float32 [N, 1, 1, L, L]. */
  readonly bias: Value;
}

/**
 * Rotations and the causal and padding bias, computed once for all layers.
 * @param attentionMask int64 [N, L], 1 = real
 * @param positionIds int64 [N, L]; counted over the real tokens where absent
 */
export function attentionContext(
  config: Qwen2Config,
  attentionMask: Value,
  positionIds?: Value,
): AttentionContext {
  const causal = causalMask(attentionMask); // [L, L]
  const positions =
    positionIds === undefined ? maskedPositions(attentionMask, causal) : cast(positionIds, 'float32');
  const { cosine, sine } = rotaryTable(positions, config.headDim, config.ropeTheta);
  const scale = config.headDim ** -0.5;
  const allowed = and(causal, unsqueeze(equal(attentionMask, 1), [1])); // [N, L, L]
  return {
    queryRotary: {
      cosine: unsqueeze(mul(cosine, scale), [1, 2]),
      sine: unsqueeze(mul(sine, scale), [1, 2]),
    },
    keyRotary: { cosine: unsqueeze(cosine, [1]), sine: unsqueeze(sine, [1]) },
    // Not minus infinity: a row of padding without anything to look at stays finite.
    bias: unsqueeze(where(allowed, 0, -1e9), [1, 2]),
  };
}

/** Self-attention of one layer: x [N, L, d] -> [N, L, d]. Scores and softmax are float32. */
export function groupedQueryAttention(
  x: Value,
  config: Qwen2Config,
  context: AttentionContext,
  project: Project,
): Value {
  const { numKeyValueHeads: keyHeads, numAttentionHeads: heads, headDim } = config;
  const groups = heads / keyHeads;
  const [batch, length] = x.shape as [Dim, Dim, Dim];
  const stacked = [batch, keyHeads, multiplyDims(length, groups)] as const;

  const queries = transpose(
    reshape(project('q_proj', x), [batch, length, keyHeads, groups, headDim]),
    [0, 2, 3, 1, 4],
  );
  const keyValue = (projection: 'k_proj' | 'v_proj'): Value =>
    transpose(reshape(project(projection, x), [batch, length, keyHeads, headDim]), [0, 2, 1, 3]);
  const rotatedQueries = reshape(rotate(queries, context.queryRotary), [...stacked, headDim]);
  const rotatedKeys = rotate(keyValue('k_proj'), context.keyRotary); // [N, keyHeads, L, headDim]

  const scores = matmul(rotatedQueries, transpose(rotatedKeys, [0, 1, 3, 2])); // [N, keyHeads, groups * L, L]
  const biased = add(reshape(scores, [batch, keyHeads, groups, length, length]), context.bias);
  const attention = reshape(softmax(biased), [...stacked, length]);
  const mixed = matmul(attention, keyValue('v_proj')); // [N, keyHeads, groups * L, headDim]
  const perToken = transpose(reshape(mixed, [batch, keyHeads, groups, length, headDim]), [0, 3, 1, 2, 4]);
  return project('o_proj', reshape(perToken, [batch, length, heads * headDim]));
}
