/**
 * @file Which examples share a batch of inference. A batch is padded to its longest example, so few examples in a batch
 * compute little padding; but every run of the graph reads all weights, so few batches are read for less.
 */

import { graphFlops } from '../engine/training/index.js';
import { inputWeights } from '../nn/index.js';
import {
  type Example,
  type FeatureSource,
  type Phase,
  phaseInferenceGraph,
  type Sizes,
} from '../systems/index.js';
import { sumOf } from './step-sizes.js';

/** Divides examples into batches: lists of their indices. */
export type Batching = (
  examples: readonly Example[],
  features: Pick<FeatureSource, 'frames'>,
) => readonly (readonly number[])[];

/** Batches of one size, of examples of similar length; the last may be smaller. */
export function evenBatches(size: number): Batching {
  return (examples, features) => {
    const lengthOf = ({ id, lengths }: Example): number => features.frames(id) + sumOf(lengths.inputs);
    const order = [...examples.keys()].sort((a, b) => lengthOf(examples[a]!) - lengthOf(examples[b]!));
    return Array.from({ length: Math.ceil(order.length / size) }, (_, batch) =>
      order.slice(batch * size, (batch + 1) * size),
    );
  };
}

export interface BatchLimits {
  /** Examples in a batch. */
  readonly most: number;
  /** What a run of the graph costs besides its arithmetic: as much as so many tokens of the largest model in it. */
  readonly runTokens: number;
}

/** The batches of examples, sorted by their arithmetic, that take the least arithmetic, padding and runs included. */
export function cheapestBatches(phase: Phase, { most, runTokens }: BatchLimits): Batching {
  let costs: Sizes | undefined;
  return (examples, features) => {
    if (examples.length === 1) return [[0]];
    costs ??= symbolCosts(phase);
    const sizes = examples.map(({ id, lengths }) => phase.sizesOf(lengths, features.frames(id)));
    return cheapestDivision(sizes, costs, most, runTokens * Math.max(...Object.values(costs)));
  };
}

/** A size at which costs are measured, and a larger one. */
const [SIZE, LARGER] = [32, 64];

/** FLOP of a phase's inference for each token or frame of an example, by the symbol of their number. */
function symbolCosts(phase: Phase): Sizes {
  const graph = phaseInferenceGraph({ ...phase, frozen: inputWeights }, phase.parameters, inputWeights);
  const symbols = Object.keys(phase.sizesOf(phase.estimate(), SIZE));
  const sizes = { batch: 1, past: 0, ...Object.fromEntries(symbols.map((symbol) => [symbol, SIZE])) };
  const flops = graphFlops(graph, sizes);
  return Object.fromEntries(
    symbols.map((symbol) => [
      symbol,
      (graphFlops(graph, { ...sizes, [symbol]: LARGER }) - flops) / (LARGER - SIZE),
    ]),
  );
}

/**
 * Divides examples, in the order of their own costs, into consecutive batches of the lowest total cost.
 * @param costs of each token or frame, by symbol
 * @param perRun cost of a batch besides those
 */
export function cheapestDivision(
  examples: readonly Sizes[],
  costs: Sizes,
  most: number,
  perRun: number,
): number[][] {
  const symbols = Object.entries(costs);
  const costOf = (sizes: Sizes): number =>
    symbols.reduce((total, [symbol, cost]) => total + cost * sizes[symbol]!, 0);
  const own = examples.map(costOf);
  const order = [...examples.keys()].sort((a, b) => own[a]! - own[b]!);
  // least[end]: of the batches of the first `end` examples, of which the last has last[end].
  const least = [0];
  const last = [0];
  for (let end = 1; end <= order.length; end++) {
    let largest: Sizes = examples[order[end - 1]!]!;
    least[end] = Number.POSITIVE_INFINITY;
    for (let count = 1; count <= Math.min(most, end); count++) {
      const added = examples[order[end - count]!]!;
      largest = Object.fromEntries(
        symbols.map(([symbol]) => [symbol, Math.max(largest[symbol]!, added[symbol]!)]),
      );
      const total = least[end - count]! + count * costOf(largest) + perRun;
      if (total > least[end]!) continue; // of equal ones, the larger batch
      least[end] = total;
      last[end] = count;
    }
  }
  const batches: number[][] = [];
  for (let end = order.length; end > 0; end -= last[end]!)
    batches.unshift(order.slice(end - last[end]!, end));
  return batches;
}
