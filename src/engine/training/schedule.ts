/** @file Learning rate over the steps of a run: linear warm-up, then linear decay to zero. */

import { add, cast, div, less, max, mul, sub, type Value, where } from '../onnx/index.js';

export interface Schedule {
  /** Steps over which the rate rises linearly to its full value; 0 for none. */
  readonly warmupSteps: number;
  /** Steps of the whole run; the rate reaches zero behind the last one. */
  readonly totalSteps: number;
}

/**
 * The factor of the learning rate at 0-based step s: (s + 1) / warmup below `warmupSteps`, then
 * (total - s) / (total - warmup), never below 0. The first step already learns.
 * @param step int64 scalar
 * @returns float64 scalar
 */
export function scheduleFactor(step: Value, { warmupSteps, totalSteps }: Schedule): Value {
  const s = cast(step, 'float64');
  const falling = max(div(sub(totalSteps, s), Math.max(totalSteps - warmupSteps, 1)), 0);
  if (warmupSteps === 0) return falling;
  const rising = div(add(s, 1), warmupSteps);
  return where(less(s, warmupSteps), rising, falling);
}

/** The learning rate at a step. @param base float32 scalar @returns float64 scalar */
export function scheduledRate(base: Value, step: Value, schedule: Schedule): Value {
  return mul(cast(base, 'float64'), scheduleFactor(step, schedule));
}
