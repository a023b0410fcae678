/** @file The learning rate of a step as graph nodes: linear warm-up, then a course that the recipe chooses. */

import { add, cast, cos, div, less, max, min, mul, scalar, sub, type Value, where } from '../onnx/index.js';

/** How the learning rate goes on after warm-up. */
export const scheduleShapes = ['linear', 'cosine', 'constant'] as const;

export type ScheduleShape = (typeof scheduleShapes)[number];

export interface Schedule {
  /** Steps of linear warm-up; 0 for none. */
  readonly warmupSteps: number;
  /** Steps of the whole run; a falling rate reaches zero after the last one. */
  readonly totalSteps: number;
  /** Default `linear`. */
  readonly shape?: ScheduleShape;
}

/**
 * Learning rate factor at 0-based step s: (s + 1) / warmup below `warmupSteps`, so that it is not zero at the first
 * step. After that, with p = (s - warmup) / (total - warmup): 1 - p (linear), (1 + cos(pi p)) / 2 (cosine; Loshchilov
 * and Hutter, 2017, without restarts), or 1 (constant); never below 0. After warm-up these are the values of
 * `get_linear_schedule_with_warmup`, `get_cosine_schedule_with_warmup` and `get_constant_schedule_with_warmup` of
 * transformers, whose warm-up is a step behind.
 * @param step int64 scalar
 * @returns float64 scalar
 */
export function scheduleFactor(step: Value, { warmupSteps, totalSteps, shape = 'linear' }: Schedule): Value {
  const s = cast(step, 'float64');
  const after = factorAfterWarmup(s, warmupSteps, totalSteps, shape);
  if (warmupSteps === 0) return after;
  const rising = div(add(s, 1), warmupSteps);
  return where(less(s, warmupSteps), rising, after);
}

function factorAfterWarmup(s: Value, warmupSteps: number, totalSteps: number, shape: ScheduleShape): Value {
  const steps = Math.max(totalSteps - warmupSteps, 1);
  switch (shape) {
    case 'linear':
      return max(div(sub(totalSteps, s), steps), 0);
    case 'cosine': {
      const done = min(div(sub(s, warmupSteps), steps), 1);
      return mul(add(cos(mul(done, Math.PI)), 1), 0.5);
    }
    case 'constant':
      return scalar(s.graph, 1, 'float64');
  }
}

/** The learning rate at a step. @param base float32 scalar @returns float64 scalar */
export function scheduledRate(base: Value, step: Value, schedule: Schedule): Value {
  return mul(cast(base, 'float64'), scheduleFactor(step, schedule));
}
