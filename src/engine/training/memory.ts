/** @file How much memory a training graph will take, from its shapes alone. */

import { type Dim, type DimBindings, evaluateDim, type Graph, type Node, type Value } from '../onnx/index.js';
import { dtypeInfo } from '../tensor/index.js';
import { paddedSymbol, type TrainingGraph } from './training-graph.js';

export interface MemoryEstimate {
  /** Parameters and moments, in all the copies that a run holds: fed, given out, and carried by the loop. */
  readonly stateBytes: number;
  /** Frozen weights as they are computed with. */
  readonly frozenBytes: number;
  /** The most that activations, gradients and updated state take together at any node of a step. */
  readonly stepBytes: number;
  readonly totalBytes: number;
}

/** Operators whose output is their input's memory under another shape. */
const ALIASES = new Set(['Reshape', 'Squeeze', 'Unsqueeze', 'Identity']);
/** Copies of the state outside the step itself: the buffers fed, the buffers filled, and the loop's own. */
const STATE_COPIES = 3;

/** Walks the step's nodes in order, freeing each value behind its last reader, as onnxruntime does. */
export function estimateMemory({ graph, state }: TrainingGraph, bindings: DimBindings): MemoryEstimate {
  const loop = graph.nodes.find(({ operator }) => operator === 'Loop')!;
  const body = loop.attributes.body;
  if (body?.kind !== 'graph') throw new Error('a training graph has a loop with a body');
  const stateBytes =
    STATE_COPIES * sum(state.map(({ shape }) => 4 * shape.reduce((size, axis) => size * axis, 1)));
  const frozenBytes = sum(frozenSizes(graph));
  // A batch is cut out of its padded stack; here they are of one size.
  const padded = Object.fromEntries(Object.entries(bindings).map(([symbol, size]) => [paddedSymbol(symbol), size]));
  const stepBytes = peakOf(body.value, { ...padded, ...bindings });
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
    if (!ALIASES.has(node.operator)) live += sum(node.outputs.map((output) => sizeOf(output, bindings)));
    peak = Math.max(peak, live);
    const read = new Set(node.inputs.filter((input) => input !== undefined).map(rootOf));
    const unread = node.outputs.filter(
      (output) => !lastReader.has(rootOf(output)) && !kept.has(rootOf(output)),
    );
    for (const value of [...read].filter((input) => lastReader.get(input) === node)) {
      if (value.producer !== undefined && value.graph === graph && !kept.has(value))
        live -= sizeOf(value, bindings);
    }
    if (!ALIASES.has(node.operator)) live -= sum(unread.map((output) => sizeOf(output, bindings)));
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
