/** @file Estimates the memory that a graph takes on a CUDA device, from its shapes alone. */

import type { DimBindings, Graph } from '../onnx/index.js';
import { elementCount } from '../tensor/index.js';
import { MICRO_BATCHES } from './accumulation.js';
import {
  bytesOf,
  type GraphAllocations,
  graphAllocations,
  type Trace,
  type TripCount,
} from './allocation-trace.js';
import { type Chunk, createArena } from './arena.js';
import { poolRows, siteColumns } from './dropout.js';
import { EVALUATED, stackedBindings, type TrainingGraph } from './training-graph.js';

/** Memory of a process on a CUDA device, in bytes. */
export interface DeviceMemory {
  /** Frozen weights as the device holds them, and constants. */
  readonly weightBytes: number;
  /** Parameters and moments, in all copies that a run holds at once. */
  readonly stateBytes: number;
  /** What onnxruntime's arena needs besides: batches, activations, gradients, and gaps between them. */
  readonly workingBytes: number;
  /** CUDA itself and its libraries, see {@link CONTEXT_BYTES}. */
  readonly contextBytes: number;
  /** The least memory that is enough. */
  readonly totalBytes: number;
  /** What onnxruntime takes of a larger device. It asks for powers of two, up to 1 GiB or the largest tensor. */
  readonly takenBytes: number;
}

/**
 * CUDA's context and loaded kernels, and workspaces of cuBLAS and cuDNN, which onnxruntime's arena knows nothing of. An
 * assumption: it has not been measured.
 */
export const CONTEXT_BYTES = 768 * 2 ** 20;

/** How a training graph is run. */
export interface DeviceRuns {
  /** Steps per run of the graph. */
  readonly stepsPerRun: number;
  /** Micro-batches per step. */
  readonly microBatches?: number;
}

/** Estimates the memory of a training graph for batches of given sizes, or for their micro-batches. */
export type TrainingEstimator = (bindings: DimBindings, runs: DeviceRuns) => DeviceMemory;

/**
 * Prepares estimates for a training graph. For the sizes that were tried, from a toy to 7B, what onnxruntime 1.30 asks of
 * a device is within 10 % of them.
 */
export function trainingEstimator(training: TrainingGraph): TrainingEstimator {
  const { graph, body, state, evaluation } = training;
  const allocations = graphAllocations(graph);
  const one = sum(state.map(({ shape }) => 4 * elementCount(shape)));
  return (bindings, { stepsPerRun, microBatches = 1 }) => {
    const traceOf = (steps: number, batches: number): Trace => {
      const sizes = runSizes(training, bindings, { steps, microBatches, batches });
      const trips: TripCount = (each) =>
        each === evaluation?.body ? batches : each === body ? steps : microBatches;
      return allocations.run(sizes, trips);
    };
    const steps = traceOf(stepsPerRun, 0);
    const runs = [steps, steps, ...(evaluation === undefined ? [] : [traceOf(0, 1)])];
    // Fed, read by the last step, updated by it, and copied to the outputs.
    const stateBytes = one * (stepsPerRun > 1 ? 4 : 3);
    return memoryOf(allocations, runs, stateBytes);
  };
}

/** Bytes that each step adds to what a run is fed. */
export function feedBytes(training: TrainingGraph, bindings: DimBindings, microBatches = 1): number {
  const [one, two] = [1, 2].map((steps) => {
    const sizes = runSizes(training, bindings, { steps, microBatches, batches: 0 });
    return sum(training.graph.inputs.map((input) => bytesOf(input, sizes)));
  }) as [number, number];
  return two - one;
}

/** The sizes of all symbols in a run of so many steps, or in one that evaluates so many batches. */
function runSizes(
  { dropout }: TrainingGraph,
  bindings: DimBindings,
  run: { readonly steps: number; readonly microBatches: number; readonly batches: number },
): DimBindings {
  const { steps, microBatches, batches } = run;
  const stacked = stackedBindings(bindings);
  const evaluated = Object.entries(stacked).map(([symbol, size]) => [`${EVALUATED}_${symbol}`, size]);
  return {
    ...Object.fromEntries(evaluated),
    ...stacked,
    site_columns: siteColumns(dropout),
    K: steps,
    micro_columns: microBatches,
    [MICRO_BATCHES]: microBatches * steps,
    micro_batches: microBatches,
    pool: steps === 0 ? 1 : poolRows(dropout, bindings),
    [EVALUATED]: batches,
  };
}

/** The memory of a graph for inference, at the largest sizes that it is run with. */
export function inferenceMemory(graph: Graph, sizes: DimBindings): DeviceMemory {
  const allocations = graphAllocations(graph);
  return memoryOf(allocations, [allocations.run(sizes, () => 1)], 0);
}

function memoryOf({ weights }: GraphAllocations, runs: readonly Trace[], stateBytes: number): DeviceMemory {
  const free = simulate(weights, runs)!;
  // The arena takes what is left where it cannot have a power of two, so that less is enough.
  let [tooLittle, enough] = [free.usedBytes - 1, free.takenBytes];
  while (enough - tooLittle > enough / 100) {
    const middle = Math.floor((tooLittle + enough) / 2);
    if (simulate(weights, runs, middle) === undefined) tooLittle = middle;
    else enough = middle;
  }
  const weightBytes = sum(weights);
  return {
    weightBytes,
    stateBytes,
    workingBytes: enough - weightBytes - stateBytes,
    contextBytes: CONTEXT_BYTES,
    totalBytes: enough + CONTEXT_BYTES,
    takenBytes: free.takenBytes + CONTEXT_BYTES,
  };
}

/** Plays loading and runs on an arena. Undefined: `limit` bytes are not enough. */
function simulate(
  weights: readonly number[],
  runs: readonly Trace[],
  limit?: number,
): { readonly usedBytes: number; readonly takenBytes: number } | undefined {
  const arena = createArena(limit);
  if (!weights.every((bytes) => arena.allocate(bytes) !== undefined)) return undefined;
  arena.settle();
  for (const { entries, detached } of runs) {
    const chunks: Chunk[] = [];
    for (const entry of entries) {
      if (entry < 0) arena.free(chunks[-1 - entry]!);
      else {
        const chunk = arena.allocate(entry, detached.has(chunks.length));
        if (chunk === undefined) return undefined;
        chunks.push(chunk);
      }
    }
    arena.settle();
  }
  return { usedBytes: arena.mostUsed(), takenBytes: arena.taken() };
}

function sum(sizes: readonly number[]): number {
  return sizes.reduce((total, size) => total + size, 0);
}
