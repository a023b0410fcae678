/** @file How much memory a training graph will take, from its shapes alone. */

import { type Dim, type DimBindings, evaluateDim, type Graph, type Node, type Value } from '../onnx/index.js';
import { dtypeInfo } from '../tensor/index.js';
import { stackedBindings, type TrainingGraph } from './training-graph.js';

export interface MemoryEstimate {
  /** Parameters and moments, in all the copies that a run holds. */
  readonly stateBytes: number;
  /** Frozen weights as they are computed with. */
  readonly frozenBytes: number;
  /** The most that activations and gradients take together at any node of a step, as the allocator holds them. */
  readonly stepBytes: number;
  readonly totalBytes: number;
}

/** Operators whose output is their input's memory under another shape. */
const ALIASES = new Set(['Reshape', 'Squeeze', 'Unsqueeze', 'Identity']);
/** Copies of the state: fed to the run, updated by a step, given out by the loop, and copied into JavaScript. */
const STATE_COPIES = 4;
/** What onnxruntime's arena comes to hold for each byte alive, measured: freed chunks seldom fit what comes next. */
const ARENA_FACTOR = 2.5;

/**
 * What training will take on the CPU beside the process itself: within a fifth of what was measured for MLPs and Formers.
 * @param bindings sizes of a batch
 */
export function estimateMemory(
  { graph, body, state, dropout }: TrainingGraph,
  bindings: DimBindings,
): MemoryEstimate {
  const stateBytes =
    STATE_COPIES * sum(state.map(({ shape }) => 4 * shape.reduce((size, axis) => size * axis, 1)));
  const frozenBytes = sum(frozenSizes(graph));
  const stepBytes =
    ARENA_FACTOR * peakOf(body, { ...stackedBindings(bindings), sites: dropout.sites.length });
  return { stateBytes, frozenBytes, stepBytes, totalBytes: stateBytes + frozenBytes + stepBytes };
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
 * Walks the step's nodes in order, freeing each value behind its last reader, as onnxruntime does. The updated state,
 * which the step gives out, counts as state.
 */
function peakOf(graph: Graph, bindings: DimBindings): number {
  const lastReader = new Map<Value, Node>();
  const root = new Map<Value, Value>();
  const rootOf = (value: Value): Value => root.get(value) ?? value;
  for (const node of graph.nodes) {
    if (ALIASES.has(node.operator)) root.set(node.outputs[0]!, rootOf(node.inputs[0]!));
    for (const input of node.inputs) if (input !== undefined) lastReader.set(rootOf(input), node);
  }
  const kept = new Set(graph.outputs.map(rootOf));
  let live = 0;
  let peak = 0;
  for (const node of graph.nodes) {
    const made = ALIASES.has(node.operator) ? [] : node.outputs.filter((output) => !kept.has(output));
    live += sum(made.map((output) => sizeOf(output, bindings)));
    peak = Math.max(peak, live);
    const read = new Set(node.inputs.filter((input) => input !== undefined).map(rootOf));
    for (const value of [...read].filter((input) => lastReader.get(input) === node)) {
      if (value.producer !== undefined && value.graph === graph && !kept.has(value))
        live -= sizeOf(value, bindings);
    }
    const unread = made.filter((output) => !lastReader.has(output));
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
