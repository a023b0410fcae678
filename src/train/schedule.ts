/** @file The steps of a run: how many, how long the rate rises, and which utterances are in which. */

import { type EpochBatches, shuffledBatches } from './batches.js';

/** How many steps a run has. */
export interface StepCounts {
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
  readonly warmupSteps: number;
}

/** The steps of a run. */
export interface StepPlan extends StepCounts {
  /** Indices of the training examples in a step (0-based over the whole run). */
  batchOf(step: number): readonly number[];
}

/** Counts the steps of `epochs` passes over `count` examples. */
export function countSteps(
  count: number,
  { epochs, batchSize, warmupFraction }: { epochs: number; batchSize: number; warmupFraction: number },
): StepCounts {
  const stepsPerEpoch = Math.ceil(count / batchSize);
  const totalSteps = stepsPerEpoch * epochs;
  return { stepsPerEpoch, totalSteps, warmupSteps: Math.round(totalSteps * warmupFraction) };
}

/** Plans `epochs` passes over `count` examples, in plain shuffled batches unless others are given. */
export function planSteps(
  count: number,
  {
    epochs,
    batchSize,
    warmupFraction,
    seed,
    batches = shuffledBatches(count, batchSize, seed),
  }: { epochs: number; batchSize: number; warmupFraction: number; seed: number; batches?: EpochBatches },
): StepPlan {
  const counts = countSteps(count, { epochs, batchSize, warmupFraction });
  const { stepsPerEpoch } = counts;
  let current: { epoch: number; batches: ReturnType<EpochBatches> } | undefined;
  return {
    ...counts,
    batchOf(step) {
      const epoch = Math.floor(step / stepsPerEpoch);
      if (current?.epoch !== epoch) current = { epoch, batches: batches(epoch) };
      return current.batches[step % stepsPerEpoch]!;
    },
  };
}
