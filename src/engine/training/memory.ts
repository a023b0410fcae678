/** @file Estimates the memory of a training graph and the arithmetic of a training step from their shapes alone. */

import {
  type Dim,
  type DimBindings,
  evaluateDim,
  type Graph,
  intAttribute,
  type Node,
  type Value,
  valuesRead,
} from '../onnx/index.js';
import { dtypeInfo } from '../tensor/index.js';
import { MICRO_BATCHES } from './accumulation.js';
import { poolRows, siteColumns } from './dropout.js';
import { EVALUATED, stackedBindings, type TrainingGraph } from './training-graph.js';

export interface MemoryEstimate {
  /** Node and onnxruntime themselves, including their representation of the graph. */
  readonly processBytes: number;
  /** Parameters and moments, in the copies that a run holds apart from a step's own. */
  readonly stateBytes: number;
  /** Frozen weights, in the type they are computed with. */
  readonly frozenBytes: number;
  /** Peak of a step on top of that: batch, activations, gradients and the updated state. */
  readonly stepBytes: number;
  readonly totalBytes: number;
}

/** What else the training process holds, and how it runs the graph. */
export interface TrainingProcess {
  /** Steps per run of the graph; with more than one, the loop carries its own state. */
  readonly stepsPerRun?: number;
  /** Micro-batches per step. */
  readonly microBatches?: number;
  /** Entries of the tokenizers' vocabularies. */
  readonly vocabulary?: number;
}

/** Operators whose output is a reshaped view of their input's memory. */
const ALIASES = new Set(['Reshape', 'Squeeze', 'Unsqueeze', 'Identity']);
/** Measured: Node 20 with onnxruntime loaded, and a small session. */
const PROCESS_BYTES = 190 * 2 ** 20;
/** Measured: onnxruntime's overhead per graph node. */
const NODE_BYTES = 6 * 2 ** 10;
/** Measured: JavaScript memory of a tokenizer per vocabulary entry, merges included. */
const VOCABULARY_BYTES = 1400;
/** A batch is created, stacked, transferred and fed; pools are fed from their thread's copy. */
const [BATCH_COPIES, POOL_COPIES] = [4, 2];
/**
 * Measured: resident bytes per byte of state and live values in a step. The C library keeps freed blocks below 32 MiB
 * on its heap, where the next ones seldom fit exactly.
 */
const HEAP_FACTOR = 1.12;

/**
 * Peak memory of a process that trains on the CPU. Ratio of estimated to measured (docs/benchmarks.md): 0.90 to 1.03
 * for processes of both stages, from the toy corpus to the shapes of RoBERTa-base and Qwen2.5-0.5B; 0.83 and 0.89 for
 * toy runs that encode their audio first, which hold some 40 MiB more. Encoding itself is not counted: it ends before
 * training begins.
 * @param bindings sizes of a batch, or of each micro-batch of a step
 */
export function estimateMemory(
  training: TrainingGraph,
  bindings: DimBindings,
  { stepsPerRun = 2, microBatches = 1, vocabulary = 0 }: TrainingProcess = {},
): MemoryEstimate {
  const { graph, body, state, dropout } = training;
  const sizes = {
    ...stackedBindings(bindings),
    site_columns: siteColumns(dropout),
    K: stepsPerRun,
    micro_columns: microBatches,
    [MICRO_BATCHES]: microBatches * stepsPerRun,
    micro_batches: microBatches,
    pool: poolRows(dropout, bindings),
  };
  const stateNames = new Set(state.map(({ input }) => input));
  const one = sum(state.map(({ shape }) => 4 * shape.reduce((size, axis) => size * axis, 1)));
  const feeds = graph.inputs.filter(({ name, shape }) => !stateNames.has(name) && !shape.includes(EVALUATED));
  const [pools, batch] = [true, false].map((isPool) =>
    sum(feeds.filter(({ shape }) => shape.includes('pool') === isPool).map((value) => sizeOf(value, sizes))),
  ) as [number, number];
  // Fed to the run, and carried by the loop. At the end the loop copies the last step's state into its outputs, when
  // nothing else of the step is left; that is then copied into JavaScript, when nothing of the loop is left.
  const stateBytes = HEAP_FACTOR * one * Math.min(stepsPerRun, 2);
  const working = HEAP_FACTOR * Math.max(peakOf(body, sizes), 2 * one);
  const stepBytes = working + BATCH_COPIES * batch + POOL_COPIES * pools;
  const nodes = stepNodes(training) + (training.evaluation?.body.nodes.length ?? 0);
  const processBytes = PROCESS_BYTES + NODE_BYTES * nodes + VOCABULARY_BYTES * vocabulary;
  const frozenBytes = weightBytes(graph) + castBytes(graph);
  return {
    processBytes,
    stateBytes,
    frozenBytes,
    stepBytes,
    totalBytes: processBytes + stateBytes + frozenBytes + stepBytes,
  };
}

/**
 * Stored size of the initializers, in files that all sessions map. Of those that are cast, at most some rows are read.
 */
function weightBytes({ nodes, initializers }: Graph): number {
  const cast = new Set(nodes.filter(({ operator }) => operator === 'Cast').map(({ inputs }) => inputs[0]));
  return sum(initializers.filter((value) => !cast.has(value)).map((value) => sizeOf(value, {})));
}

/** Size of the initializers after a cast, which a training session does once and keeps. */
function castBytes(graph: Graph): number {
  return sum(castsOf(graph).map(({ outputs }) => sizeOf(outputs[0]!, {})));
}

/** The casts of initializers whose results are read. */
function castsOf(graph: Graph): Node[] {
  const read = readIn(graph);
  return graph.nodes.filter(
    ({ operator, inputs, outputs }) =>
      operator === 'Cast' && inputs[0]?.content !== undefined && read.has(outputs[0]!),
  );
}

/** The values that a graph and its subgraphs read or output. */
function readIn(graph: Graph): Set<Value> {
  return new Set([...graph.nodes.flatMap((node) => valuesRead(node)), ...graph.outputs]);
}

/**
 * Walks the step's nodes in order and frees each value after its last reader, as onnxruntime does. An inner loop takes
 * its body's peak plus the state passed to an iteration; then it copies the last state into its outputs.
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
  if (value.shape.includes(0)) return 0;
  const count = value.shape.reduce<number>((product, dim: Dim) => product * evaluateDim(dim, bindings), 1);
  return count * dtypeInfo[value.dtype].bytes;
}

function sum(sizes: readonly number[]): number {
  return sizes.reduce((total, size) => total + size, 0);
}

/**
 * Floating-point operations of the matrix products in one step (a multiply-add counts as two), forward and backward.
 * @param bindings sizes of a batch, or of each micro-batch of a step
 */
export function matrixFlops(
  { gradientBody }: TrainingGraph,
  bindings: DimBindings,
  microBatches = 1,
): number {
  return microBatches * graphFlops(gradientBody, stackedBindings(bindings));
}

/** Floating-point operations of the matrix products in a run of a graph; a multiply-add counts as two. */
export function graphFlops(graph: Graph, bindings: DimBindings): number {
  return graph.nodes.reduce((total, node) => {
    if (node.operator !== 'Gemm' && node.operator !== 'MatMul') return total;
    const outputs = node.outputs[0]!.shape.reduce<number>(
      (product, dim) => product * evaluateDim(dim, bindings),
      1,
    );
    return total + 2 * outputs * evaluateDim(innerSize(node), bindings);
  }, 0);
}

/** The axis that a product sums over. */
function innerSize(node: Node) {
  const { shape } = node.inputs[0]!;
  return node.operator === 'Gemm' && intAttribute(node, 'transA') === 1 ? shape[0]! : shape.at(-1)!;
}

/** Number of nodes of one step, counting its micro-batch graph once. */
export function stepNodes({ body, gradientBody }: TrainingGraph): number {
  return [...new Set([body, gradientBody])].reduce((total, { nodes }) => total + nodes.length, 0);
}
