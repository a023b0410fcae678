/**
 * @file Assigns utterances to batches and feeds them to the training graph, whole or as micro-batches. Every order is a
 * function of (seed, epoch) only, so a resumed run continues with the same batches.
 */

import { seededRandom, type Tensor } from '../engine/tensor/index.js';
import {
  type Batch,
  dropoutWindows,
  type GraphInput,
  stackBatches,
  stackMicroBatches,
  type TrainingGraph,
} from '../engine/training/index.js';

/** Inputs of the step feeds. */
export interface StepFeedOptions {
  readonly graph: TrainingGraph;
  readonly inputs: readonly GraphInput[];
  readonly seed: number;
  /**
   * Upper bound of every symbol over everything that passes through the model at once; determines the size of the
   * dropout pools.
   */
  readonly largest: Readonly<Record<string, number>>;
  readonly batch: (indices: readonly number[]) => Promise<Batch>;
  /** Cuts a step's batch for a graph that accumulates gradients; absent if the batch is not cut. */
  readonly split?: BatchSplit;
}

/**
 * Batches and dropout windows of the steps from `firstStep` on.
 * @param steps the indices of each step's training examples
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
      ...dropoutWindows(graph.dropout, seed, firstStep, sizes, largest),
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
    ...dropoutWindows(graph.dropout, seed, firstStep, sizes, largest),
  };
}

/** The batches of an epoch (from 0): indices of training examples. */
export type EpochBatches = (epoch: number) => readonly (readonly number[])[];

/** Each of `count` examples once per epoch, reshuffled every epoch; the last batch takes the remainder. */
export function shuffledBatches(count: number, batchSize: number, seed: number): EpochBatches {
  return (epoch) => cut(epochOrder(count, seed, epoch), batchSize);
}

/** Batches sorted together: buckets of 32 still mix a large epoch well. */
const BUCKET_BATCHES = 32;

/**
 * Each example once per epoch, in batches of similar length. The shuffled epoch is cut into buckets of 32 batches, each
 * bucket is sorted by length (ties stay shuffled) and cut into batches, and all batches of the epoch are shuffled.
 * Batch composition thus differs between epochs, and long batches occur at any time.
 * @param lengths a length for each example, in any unit
 */
export function lengthBatches(lengths: readonly number[], batchSize: number, seed: number): EpochBatches {
  return (epoch) => {
    const buckets = cut(epochOrder(lengths.length, seed, epoch), batchSize * BUCKET_BATCHES);
    const batches = buckets.flatMap((bucket) =>
      cut(
        bucket.toSorted((a, b) => lengths[a]! - lengths[b]!),
        batchSize,
      ),
    );
    return seededRandom(seed, 'batch order', epoch).shuffle(batches);
  };
}

/**
 * Class-balanced batches, drawn as pairs of one class so that every example has a positive for the contrastive loss.
 * Classes take turns, once per round in a shuffled order, so all are drawn equally often. A class uses up its pairs
 * before one repeats, across epochs. An epoch has as many steps as a plain one, and all its batches are full: examples
 * of rare classes repeat, and those of frequent ones appear only in part. In a batch of odd size the first class has
 * three examples. The only example of a class is its own partner.
 * @param labels class index of each example
 * @param batchSize at least 2
 */
export function balancedBatches(labels: readonly number[], batchSize: number, seed: number): EpochBatches {
  const classes = [...new Set(labels)].sort((a, b) => a - b);
  const members = classes.map((label) => [...labels.keys()].filter((index) => labels[index] === label));
  const pairsPerBatch = Math.floor(batchSize / 2);
  const batchesPerEpoch = Math.ceil(labels.length / batchSize);
  return (epoch) => {
    const shuffles = new Map<string, number[]>();
    const shuffled = (items: readonly number[], what: string, which: string): readonly number[] => {
      const name = `${what} ${which}`;
      let order = shuffles.get(name);
      if (order === undefined) {
        order = seededRandom(seed, 'balanced', name).shuffle([...items]);
        shuffles.set(name, order);
      }
      return order;
    };
    /** A pair, or three examples, of one class; `draw` counts over the whole run. */
    const drawn = (draw: number, count: number): number[] => {
      const round = Math.floor(draw / classes.length);
      const turns = shuffled([...classes.keys()], 'turns', String(round));
      const classIndex = turns[draw % classes.length]!;
      const size = members[classIndex]!.length;
      const pairs = Math.ceil(size / 2); // with an odd count, the last pair reuses the class's first example
      const deck = shuffled(members[classIndex]!, 'deck', `${classIndex} ${Math.floor(round / pairs)}`);
      const start = 2 * (round % pairs);
      return Array.from({ length: count }, (_, next) => deck[(start + next) % size]!);
    };
    return Array.from({ length: batchesPerEpoch }, (_, batch) => {
      const first = (epoch * batchesPerEpoch + batch) * pairsPerBatch;
      return Array.from({ length: pairsPerBatch }, (_, pair) =>
        drawn(first + pair, pair === 0 ? 2 + (batchSize % 2) : 2),
      ).flat();
    });
  };
}

/** Cuts a step's batch into the micro-batches whose gradients are summed. Order and members are unchanged. */
export type BatchSplit = (batch: readonly number[]) => readonly (readonly number[])[];

/** As few micro-batches of at most `size` as possible; their sizes differ by at most one. */
export function evenSplit(size: number): BatchSplit {
  return (batch) => {
    const parts = Math.ceil(batch.length / size);
    const start = (part: number): number => Math.ceil((part * batch.length) / parts);
    return Array.from({ length: parts }, (_, part) => batch.slice(start(part), start(part + 1)));
  };
}

/**
 * Micro-batches of at most `size` that keep the pairs of class-balanced batches together, and the three examples of the
 * first class in a batch of odd size if they fit.
 */
export function pairedSplit(size: number): BatchSplit {
  return (batch) => {
    const first = 2 + (batch.length % 2);
    const groups = [batch.slice(0, first), ...cut(batch.slice(first), 2)];
    const parts: number[][] = [];
    for (const group of groups) {
      const last = parts.at(-1);
      if (last !== undefined && last.length + group.length <= size) last.push(...group);
      else parts.push(...cut(group, size));
    }
    return parts;
  };
}

function epochOrder(count: number, seed: number, epoch: number): number[] {
  return seededRandom(seed, 'order', epoch).shuffle([...Array(count).keys()]);
}

function cut<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, part) =>
    items.slice(part * size, (part + 1) * size),
  );
}

/** The number of steps of a run. */
export interface StepCounts {
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
  readonly warmupSteps: number;
}

/** The steps of a run. */
export interface StepPlan extends StepCounts {
  /** Indices of the training examples of a step (0-based over the whole run). */
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

/** Plans `epochs` passes over `count` examples, in shuffled batches by default. */
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
