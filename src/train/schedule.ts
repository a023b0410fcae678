/** @file The steps of a run: how many, how long the rate rises, and which utterances are in which. */

import { type EpochBatches, shuffledBatches } from './batches.js';

/** The steps of a run. */
export interface StepPlan {
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
  readonly warmupSteps: number;
  /** Indices of the training examples in a step (0-based over the whole run). */
  batchOf(step: number): readonly number[];
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
  const stepsPerEpoch = Math.ceil(count / batchSize);
  const totalSteps = stepsPerEpoch * epochs;
  let current: { epoch: number; batches: ReturnType<EpochBatches> } | undefined;
  return {
    stepsPerEpoch,
    totalSteps,
    warmupSteps: Math.round(totalSteps * warmupFraction),
    batchOf(step) {
      const epoch = Math.floor(step / stepsPerEpoch);
      if (current?.epoch !== epoch) current = { epoch, batches: batches(epoch) };
      return current.batches[step % stepsPerEpoch]!;
    },
  };
}
