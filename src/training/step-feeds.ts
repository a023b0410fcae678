/** @file What a run of the training graph is fed of its steps' batches: whole ones, or cut into micro-batches. */

import type { Tensor } from '../engine/tensor/index.js';
import {
  type Batch,
  dropoutOffsets,
  type GraphInput,
  stackBatches,
  stackMicroBatches,
  type TrainingGraph,
} from '../engine/training/index.js';
import type { BatchSplit } from './batches.js';

/** Where batches come from and what they go into. */
export interface StepFeedOptions {
  readonly graph: TrainingGraph;
  readonly inputs: readonly GraphInput[];
  readonly seed: number;
  /** Upper bound of every symbol over all that goes through the model at once: sizes the dropout pools. */
  readonly largest: Readonly<Record<string, number>>;
  readonly batch: (indices: readonly number[]) => Promise<Batch>;
  /** How a step's batch is cut, for a graph that accumulates gradients; absent where it goes through whole. */
  readonly split?: BatchSplit;
}

/**
 * Batches and dropout offsets of the steps from `firstStep` on.
 * @param steps the training examples of each step, by index
 */
export async function stepFeeds(
  { graph, inputs, seed, largest, batch, split }: StepFeedOptions,
  firstStep: number,
  steps: readonly (readonly number[])[],
): Promise<Record<string, Tensor>> {
  if (split === undefined) {
    const batches = await Promise.all(steps.map(batch));
    const sizes = batches.map((each) => each.sizes);
    return {
      ...stackBatches(inputs, batches),
      ...dropoutOffsets(graph.dropout, seed, firstStep, sizes, largest),
    };
  }
  const cut = await Promise.all(
    steps.map((step) =>
      Promise.all(
        // Both stages' losses are means over utterances.
        split(step).map(async (part) => ({ batch: await batch(part), weight: part.length / step.length })),
      ),
    ),
  );
  const sizes = cut.map((parts) => parts.map((part) => part.batch.sizes));
  return {
    ...stackMicroBatches(inputs, cut),
    ...dropoutOffsets(graph.dropout, seed, firstStep, sizes, largest),
  };
}
