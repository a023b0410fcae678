/**
 * @file Grouped-query attention (Ainslie et al., 2023). The query heads that share a key head are stacked as rows of
 * one matrix, so keys and values are never repeated.
 */

import {
  add,
  addDims,
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
  onDevice,
  pad,
  reshape,
  reshapeLike,
  reshapeTo,
  sin,
  sizeOf,
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

/** Shared by all layers. N utterances, L tokens, Q of which ask (all, or one of each utterance), after P past ones. */
export interface AttentionContext {
  /** Rotation of the queries, scaled by 1 / sqrt(headDim): [N, 1, 1, Q, headDim]. */
  readonly queryRotary: RotaryTable;
  /** Rotation of the keys: [N, 1, L, headDim]. */
  readonly keyRotary: RotaryTable;
  /** 0 where a row may attend to a column, -1e9 elsewhere: float32 [N, 1, 1, Q, P + L]. */
  readonly bias: Value;
}

/** The context in which all tokens ask, and the one in which those do that `pick` leaves: [N, L, ...] -> [N, Q, ...]. */
export interface AttentionContexts {
  readonly all: AttentionContext;
  of(pick: (tokens: Value) => Value): AttentionContext;
}

/** Keys, rotated, and values of a layer: [N, keyHeads, tokens, headDim] each. */
export interface KeysAndValues {
  readonly keys: Value;
  readonly values: Value;
}

/**
 * Rotations and the causal and padding bias, computed once for all layers.
 * @param attentionMask int64 [N, L], 1 = real
 * @param positionIds int64 [N, L]; counted over the real tokens if absent
 * @param past anything with the P tokens before all others, which every token attends to, on its axis 2
 */
export function attentionContext(
  config: DecoderConfig,
  attentionMask: Value,
  positionIds?: Value,
  past?: Value,
): AttentionContexts {
  const causal = causalMask(attentionMask); // [L, L]
  const own =
    positionIds === undefined ? maskedPositions(attentionMask, causal) : cast(positionIds, 'float32');
  const positions = past === undefined ? own : add(own, cast(onDevice(sizeOf(past, 2)), 'float32'));
  const { cosine, sine } = rotaryTable(
    positions,
    rotaryFrequencies(config.headDim, config.ropeTheta, config.ropeScaling),
  );
  const scale = config.headDim ** -0.5;
  const allowed = and(causal, unsqueeze(equal(attentionMask, 1), [1])); // [N, L, L]
  // Not minus infinity, so that a padding row with nothing to attend to stays finite.
  const bias = where(allowed, 0, -1e9);
  const keyRotary = { cosine: unsqueeze(cosine, [1]), sine: unsqueeze(sine, [1]) };
  const contextOf = (pick: (tokens: Value) => Value): AttentionContext => ({
    queryRotary: {
      cosine: unsqueeze(mul(pick(cosine), scale), [1, 2]),
      sine: unsqueeze(mul(pick(sine), scale), [1, 2]),
    },
    keyRotary,
    bias: unsqueeze(withPast(pick(bias), past), [1, 2]),
  });
  return { all: contextOf((tokens) => tokens), of: contextOf };
}

/** A bias [N, Q, L] preceded by zeros for the past tokens: [N, Q, P + L]. */
function withPast(bias: Value, past: Value | undefined): Value {
  if (past === undefined) return bias;
  const before = unsqueeze(sizeOf(past, 2), [0]);
  return pad(bias, 2, before, int64Vector(bias.graph, [0]), addDims(past.shape[2]!, bias.shape[2]!));
}

/** What a layer's attention reads. */
export interface AttentionInputs {
  /** Of all tokens: [N, L, d]. */
  readonly x: Value;
  /** Of those that ask: [N, Q, d]; `x` itself for all of them. */
  readonly asking: Value;
  /** Of the tokens before them. */
  readonly past?: KeysAndValues | undefined;
}

/**
 * Self-attention of one layer: [N, L, d] -> [N, Q, d] of the weights' type, which its products are in, and the keys and
 * values of the L tokens. Head norms, rotation and softmax are float32. Queries are scaled before they are rounded to
 * the weights' type, so that scores are rounded once.
 */
export function groupedQueryAttention(
  { x, asking, past }: AttentionInputs,
  config: DecoderConfig,
  context: AttentionContext,
  project: Project,
  headNorm: HeadNorm,
): KeysAndValues & { readonly attended: Value } {
  const { numKeyValueHeads: keyHeads, numAttentionHeads: heads, headDim } = config;
  const groups = heads / keyHeads;
  const [batch, length] = x.shape as [Dim, Dim, Dim];
  const count = asking.shape[1]!;
  const stacked = [batch, keyHeads, multiplyDims(count, groups)] as const;

  const projected = project('q_proj', asking);
  const { dtype } = projected;
  const queries = transpose(reshape(projected, [batch, count, keyHeads, groups, headDim]), [0, 2, 3, 1, 4]);
  const keyValue = (projection: 'k_proj' | 'v_proj'): Value =>
    transpose(reshape(project(projection, x), [batch, length, keyHeads, headDim]), [0, 2, 1, 3]);
  const rotated = (kind: 'q_norm' | 'k_norm', given: Value, table: RotaryTable): Value =>
    cast(rotate(headNorm(kind, cast(given, 'float32')), table), dtype);
  const rotatedQueries = reshape(rotated('q_norm', queries, context.queryRotary), [...stacked, headDim]);
  const keys = rotated('k_norm', keyValue('k_proj'), context.keyRotary); // [N, keyHeads, L, headDim]
  const after = (earlier: Value | undefined, own: Value): Value =>
    earlier === undefined ? own : concat([earlier, own], 2); // [N, keyHeads, P + L, headDim]
  const allKeys = after(past?.keys, keys);

  const scores = matmul(rotatedQueries, transpose(allKeys, [0, 1, 3, 2])); // [N, keyHeads, groups * Q, P + L]
  const seen = allKeys.shape[2]!;
  const perHead = [batch, keyHeads, groups, count, seen];
  const wide = cast(scores, 'float32');
  const shares =
    past === undefined
      ? reshape(softmax(add(reshape(wide, perHead), context.bias)), [...stacked, seen])
      : reshapeLike(
          softmax(add(reshapeTo(wide, perHeadSizes(allKeys, groups), perHead), context.bias)),
          wide,
        );
  const attention = cast(shares, dtype);
  const values = keyValue('v_proj');
  const mixed = matmul(attention, after(past?.values, values)); // [N, keyHeads, groups * Q, headDim]
  const perToken = transpose(reshape(mixed, [batch, keyHeads, groups, count, headDim]), [0, 3, 1, 2, 4]);
  const attended = project('o_proj', reshape(perToken, [batch, count, heads * headDim]));
  return { attended, keys, values };
}

/** Sizes of the scores per head, [N, keyHeads, groups, Q, P + L]: with a past, two of them are known at run time only. */
function perHeadSizes(keys: Value, groups: number): Value {
  const known = int64Vector(keys.graph, [0, keys.shape[1] as number, groups, -1]);
  return concat([known, unsqueeze(sizeOf(keys, 2), [0])], 0);
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
