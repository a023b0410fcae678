/** @file Rotary position embedding (Su et al., 2021) in the half-split layout of Hugging Face checkpoints. */

import {
  add,
  concat,
  constant,
  cos,
  int64Vector,
  max,
  mul,
  neg,
  sin,
  split,
  sub,
  unsqueeze,
  type Value,
} from '../../engine/onnx/index.js';
import { float32 } from '../../engine/tensor/index.js';
import { runningCount } from '../positions.js';

/** Rotation of each position; the first half of `sine` has its sign turned, as the rotation wants it. */
export interface RotaryTable {
  /** float32 [N, L, headDim] */
  readonly cosine: Value;
  /** float32 [N, L, headDim] */
  readonly sine: Value;
}

/**
 * Positions counted over the real tokens: padding on the left gets 0 and the first real token 0, padding on the right
 * repeats the last position. A sequence has the same positions however it is padded.
 * @param attentionMask int64 [N, L], 1 = real
 * @param causal bool [L, L], see `causalMask`
 * @returns float32 [N, L]
 */
export function maskedPositions(attentionMask: Value, causal: Value): Value {
  return max(sub(runningCount(attentionMask, causal), 1), 0);
}

/** Angles position * theta^(-2i / headDim) for i under headDim / 2. `positions` float32 [N, L]. */
export function rotaryTable(positions: Value, headDim: number, theta: number): RotaryTable {
  const half = headDim / 2;
  // Rounded to float32 at each step, as the models are trained with: a unit in the last place of a frequency is
  // multiplied by the position.
  const round = Math.fround;
  const frequencies = Array.from({ length: half }, (_, i) => 1 / round(theta ** round((2 * i) / headDim)));
  const angles = mul(unsqueeze(positions, [-1]), constant(positions.graph, float32([half], frequencies)));
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
