/** @file Which utterances are in which step: a seeded shuffle per epoch, cut into batches. */

import { seededRandom } from '../engine/tensor/index.js';

/** The steps of a run. */
export interface StepPlan {
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
  readonly warmupSteps: number;
  /** Indices of the training examples in a step (0-based over the whole run). */
  batchOf(step: number): readonly number[];
}

/** Plans `epochs` passes over `count` examples; the last batch of an epoch may be smaller. */
export function planSteps(
  count: number,
  {
    epochs,
    batchSize,
    warmupFraction,
    seed,
  }: { epochs: number; batchSize: number; warmupFraction: number; seed: number },
): StepPlan {
  const stepsPerEpoch = Math.ceil(count / batchSize);
  const totalSteps = stepsPerEpoch * epochs;
  let shuffled: { epoch: number; order: number[] } | undefined;
  return {
    stepsPerEpoch,
    totalSteps,
    warmupSteps: Math.round(totalSteps * warmupFraction),
    batchOf(step) {
      const epoch = Math.floor(step / stepsPerEpoch);
      if (shuffled?.epoch !== epoch) {
        const order = seededRandom(seed, 'order', epoch).shuffle([...Array(count).keys()]);
        shuffled = { epoch, order };
      }
      const start = (step % stepsPerEpoch) * batchSize;
      return shuffled.order.slice(start, start + batchSize);
    },
  };
}
