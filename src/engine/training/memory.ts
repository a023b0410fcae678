/** @file How much memory a training graph will take, from its shapes alone. */

import {
  type Dim,
  type DimBindings,
  evaluateDim,
  type Graph,
  type Node,
  type Value,
  valuesRead,
} from '../onnx/index.js';
import { dtypeInfo } from '../tensor/index.js';
import { MICRO_BATCHES } from './accumulation.js';
import { stepNodes } from './arithmetic.js';
import { poolLength } from './dropout.js';
import { stackedBindings, type TrainingGraph } from './training-graph.js';

export interface MemoryEstimate {
  /** Node and onnxruntime themselves, with the graph as they hold it. */
  readonly processBytes: number;
  /** Parameters and moments, in the copies that a run holds beside a step's own. */
  readonly stateBytes: number;
  /** Frozen weights as they are computed with. */
  readonly frozenBytes: number;
  /** The most that a step takes beside them: batch, activations, gradients and the updated state. */
  readonly stepBytes: number;
  readonly totalBytes: number;
}

/** Operators whose output is their input's memory under another shape. */
const ALIASES = new Set(['Reshape', 'Squeeze', 'Unsqueeze', 'Identity']);
/** Measured: Node 20 with onnxruntime loaded, and a small session. */
const PROCESS_BYTES = 190 * 2 ** 20;
/** Measured: what onnxruntime holds of a graph for each of its nodes. */
const NODE_BYTES = 6 * 2 ** 10;
/** A batch is made, stacked, handed over and fed; pools are fed from the copy of their thread. */
const [BATCH_COPIES, POOL_COPIES] = [4, 2];
/** Measured: what the allocator comes to hold for each byte alive in a step, because freed room seldom fits exactly. */
const ROOM_FACTOR = 1.15;

/**
 * The peak of a process that trains on the CPU. The constants above were fitted to twelve processes of both stages, whose
 * estimates are 0.91 to 1.11 of what was measured. Outside the fit: toy runs 0.91 to 0.95 (stage 1) and 0.98 to 1.03
 * (stage 2), 0.84 where the process encoded the audio first; a Former of 12 layers, 256 wide, 0.92 to 0.95; a multilayer
 * perceptron 1.14.
 * @param bindings sizes of a batch, or of each of the micro-batches that a step is made of
 * @param stepsPerRun steps that one run of the graph takes: from the second on the loop carries its own state
 */
export function estimateMemory(
  training: TrainingGraph,
  bindings: DimBindings,
  stepsPerRun = 2,
  microBatches = 1,
): MemoryEstimate {
  const { graph, body, state, dropout } = training;
  const sizes = {
    ...stackedBindings(bindings),
    sites: dropout.sites.length,
    K: 1,
    [MICRO_BATCHES]: microBatches,
    micro_batches: microBatches,
    pool: poolLength(dropout, bindings),
  };
  const stateNames = new Set(state.map(({ input }) => input));
  const one = sum(state.map(({ shape }) => 4 * shape.reduce((size, axis) => size * axis, 1)));
  const feeds = graph.inputs.filter(({ name }) => !stateNames.has(name));
  const [pools, batch] = [true, false].map((isPool) =>
    sum(feeds.filter(({ shape }) => shape.includes('pool') === isPool).map((value) => sizeOf(value, sizes))),
  ) as [number, number];
  // Fed to the run, and carried by the loop. At the end the loop copies what the last step gave into its outputs, while
  // nothing of the step is left; then that is copied into JavaScript, while nothing of the loop is left.
  const stateBytes = one * Math.min(stepsPerRun, 2);
  const working = Math.max(ROOM_FACTOR * peakOf(body, sizes), 2 * one);
  const stepBytes = working + BATCH_COPIES * batch + POOL_COPIES * pools;
  const processBytes = PROCESS_BYTES + NODE_BYTES * stepNodes(training);
  const frozenBytes = sum(frozenSizes(graph));
  return {
    processBytes,
    stateBytes,
    frozenBytes,
    stepBytes,
    totalBytes: processBytes + stateBytes + frozenBytes + stepBytes,
  };
}

/** Initializers of the outer graph; those that are cast count as what they are cast to. */
function frozenSizes(graph: Graph): number[] {
  const casts = new Map(
    graph.nodes
      .filter(({ operator }) => operator === 'Cast')
      .map((node) => [node.inputs[0], node.outputs[0]!]),
  );
  return graph.initializers.map((value) => sizeOf(casts.get(value) ?? value, {}));
}

/**
 * Walks the step's nodes in order, freeing each value behind its last reader, as onnxruntime does. A loop inside takes
 * its body's peak with the state that an iteration was given; then it copies the last state into its outputs.
 */
function peakOf(graph: Graph, bindings: DimBindings): number {
  const lastReader = new Map<Value, Node>();
  const root = new Map<Value, Value>();
  const rootOf = (value: Value): Value => root.get(value) ?? value;
  for (const node of graph.nodes) {
    if (ALIASES.has(node.operator)) root.set(node.outputs[0]!, rootOf(node.inputs[0]!));
    for (const input of valuesRead(node)) lastReader.set(rootOf(input), node);
  }
  const kept = new Set(graph.outputs.map(rootOf));
  let live = 0;
  let peak = 0;
  for (const node of graph.nodes) {
    const made = ALIASES.has(node.operator) ? [] : node.outputs;
    const { body } = node.attributes;
    const given = body?.kind === 'graph' ? sum(node.outputs.map((output) => sizeOf(output, bindings))) : 0;
    if (body?.kind === 'graph') peak = Math.max(peak, live + given + peakOf(body.value, bindings));
    live += sum(made.map((output) => sizeOf(output, bindings)));
    peak = Math.max(peak, live + given);
    const read = new Set(valuesRead(node).map(rootOf));
    for (const value of [...read].filter((input) => lastReader.get(input) === node)) {
      if (value.producer !== undefined && value.graph === graph && !kept.has(value))
        live -= sizeOf(value, bindings);
    }
    const unread = made.filter((output) => !lastReader.has(output) && !kept.has(output));
    live -= sum(unread.map((output) => sizeOf(output, bindings)));
  }
  return peak;
}

function sizeOf(value: Value, bindings: DimBindings): number {
  const count = value.shape.reduce<number>((product, dim: Dim) => product * evaluateDim(dim, bindings), 1);
  return count * dtypeInfo[value.dtype].bytes;
}

function sum(sizes: readonly number[]): number {
  return sizes.reduce((total, size) => total + size, 0);
}
