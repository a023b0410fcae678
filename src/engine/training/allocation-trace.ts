/** @file The allocations of a graph on a CUDA device, in the order in which onnxruntime makes them. */

import { type DimBindings, evaluateDim, type Graph, type Node, type Value } from '../onnx/index.js';
import { dtypeInfo } from '../tensor/index.js';
import { type AllocationPlan, allocationPlan } from './allocation-plan.js';

/** The allocations of a run. */
export interface Trace {
  /** In order: the bytes of an allocation, or for a release -1 - the position of its allocation among allocations. */
  readonly entries: readonly number[];
  /** Positions of the allocations that kernels make without naming a stream. */
  readonly detached: ReadonlySet<number>;
}

/** How often a Loop runs its body. */
export type TripCount = (body: Graph) => number;

/** The allocations of a graph. */
export interface GraphAllocations {
  /** Bytes of each weight and constant that is on the device once the graph is loaded. */
  readonly weights: readonly number[];
  /** The allocations of one run. A Loop is traced for two trips at most; further ones repeat the second. */
  readonly run: (sizes: DimBindings, trips: TripCount) => Trace;
}

/** A Loop, and what onnxruntime leaves so that weights stay packed. */
const NOT_FOLDED: ReadonlySet<string> = new Set(['Loop', 'DequantizeLinear']);

/** Follows what onnxruntime does with a graph, apart from its rarer fusions. */
export function graphAllocations(graph: Graph): GraphAllocations {
  const folded = foldedNodes(graph);
  const plans = new Map<Graph, AllocationPlan>();
  const planFor = (each: Graph): AllocationPlan => {
    const plan = plans.get(each) ?? allocationPlan(each, folded);
    plans.set(each, plan);
    return plan;
  };
  return {
    weights: keptConstants(graph, folded)
      .map((value) => bytesOf(value, {}))
      .filter((bytes) => bytes > 0),
    run(sizes, trips) {
      const recorder = createRecorder();
      const fed = graph.inputs.map((input) => recorder.allocate(bytesOf(input, sizes)));
      const results = record(graph, { recorder, planFor, trips, bytesOf: byteCounter(sizes) });
      for (const allocation of [...results.values(), ...fed]) recorder.free(allocation);
      return recorder;
    },
  };
}

/** Bytes of a value. Strings are on the host. */
export function bytesOf({ shape, dtype }: Value, sizes: DimBindings): number {
  if (shape.includes(0)) return 0;
  return shape.reduce<number>((bytes, dim) => bytes * evaluateDim(dim, sizes), dtypeInfo[dtype].bytes);
}

/** Like {@link bytesOf}, for the many values of a graph. */
function byteCounter(sizes: DimBindings): (value: Value) => number {
  const known = new Map<Value, number>();
  return (value) => {
    const bytes = known.get(value) ?? bytesOf(value, sizes);
    known.set(value, bytes);
    return bytes;
  };
}

/** Undefined: it takes no memory. */
type Allocation = number | undefined;

interface Recorder extends Trace {
  allocate(bytes: number): Allocation;
  /** Space that a kernel takes for itself while it runs. */
  allocateDetached(bytes: readonly number[]): void;
  free(allocation: Allocation): void;
}

function createRecorder(): Recorder {
  const entries: number[] = [];
  const detached = new Set<number>();
  let count = 0;
  return {
    entries,
    detached,
    allocate(bytes) {
      if (bytes === 0) return undefined;
      entries.push(bytes);
      return count++;
    },
    allocateDetached(bytes) {
      const first = count;
      entries.push(...bytes);
      for (const _ of bytes) detached.add(count++);
      entries.push(...bytes.map((_, position) => -1 - first - position));
    },
    free(allocation) {
      if (allocation !== undefined) entries.push(-1 - allocation);
    },
  };
}

/** Nodes of all graphs that depend on constants alone, which are computed while a graph is loaded. */
function foldedNodes(graph: Graph): ReadonlySet<Node> {
  const folded = new Set<Node>();
  const isConstant = (value: Value | undefined): boolean =>
    value === undefined || value.content !== undefined || folded.has(value.producer!);
  for (const node of nodesOf(graph)) {
    if (node.inputs.length > 0 && !NOT_FOLDED.has(node.operator) && node.inputs.every(isConstant))
      folded.add(node);
  }
  return folded;
}

/** The nodes of a graph and of those inside, each before what is inside it. */
function nodesOf({ nodes }: Graph): Node[] {
  return nodes.flatMap((node) => {
    const { body } = node.attributes;
    return body?.kind === 'graph' ? [node, ...nodesOf(body.value)] : [node];
  });
}

/** The constants that are read, as they were stored or after what is computed while loading. */
function keptConstants(graph: Graph, folded: ReadonlySet<Node>): Value[] {
  const read = nodesOf(graph)
    .filter((node) => !folded.has(node))
    .flatMap(({ inputs }) => inputs.filter((input) => input !== undefined));
  const isKept = ({ content, producer }: Value): boolean => content !== undefined || folded.has(producer!);
  return [...new Set(read.filter(isKept))];
}

/**
 * Whether onnxruntime computes a softmax over another axis than the last: because it is one, or because the optimizer moves
 * a Transpose of its input behind it.
 */
function isSoftmaxOverInnerAxis({ operator, inputs, attributes }: Node): boolean {
  if (operator !== 'Softmax') return false;
  const [input] = inputs as [Value];
  const last = input.shape.length - 1;
  const axis = attributes.axis?.kind === 'int' ? attributes.axis.value : -1;
  if (axis !== -1 && axis !== last) return true;
  const order = input.producer?.attributes.perm;
  return input.producer?.operator === 'Transpose' && order?.kind === 'ints' && order.value[last] !== last;
}

interface Recording {
  readonly recorder: Recorder;
  readonly planFor: (graph: Graph) => AllocationPlan;
  readonly trips: TripCount;
  readonly bytesOf: (value: Value) => number;
}

/** Records one run of a graph. Returns the allocations of its results. */
function record(graph: Graph, recording: Recording): Map<Value, Allocation> {
  const { recorder, planFor, bytesOf } = recording;
  const { order, ownerOf, freedAfter } = planFor(graph);
  const live = new Map<Value, Allocation>();
  for (const node of order) {
    const freed = freedAfter.get(node) ?? [];
    const { body } = node.attributes;
    const made = node.outputs.filter((output) => ownerOf(output) === output);
    if (body?.kind === 'graph') {
      const finish = recordLoop(node, body.value, recording);
      for (const output of made) live.set(output, recorder.allocate(bytesOf(output)));
      finish();
    } else {
      for (const output of made) live.set(output, recorder.allocate(bytesOf(output)));
      if (isSoftmaxOverInnerAxis(node)) {
        // The kernel swaps the axis with the last, from a copy of its input to one of its output.
        const bytes = bytesOf(node.outputs[0]!);
        recorder.allocateDetached([bytes, bytes]);
      }
    }
    for (const value of freed) {
      recorder.free(live.get(value));
      live.delete(value);
    }
  }
  return live;
}

/**
 * Records the trips of a Loop. A trip's state is held until the one after the next begins. The returned function frees
 * what is left, once the Loop has copied its results.
 */
function recordLoop({ inputs, outputs }: Node, body: Graph, recording: Recording): () => void {
  const { recorder, planFor, trips } = recording;
  const { ownerOf } = planFor(body);
  const states = inputs.length - 2;
  let before: Allocation[] = [];
  let current: Allocation[] = [];
  const collected: Allocation[] = [];
  for (let trip = 0; trip < Math.min(trips(body), 2); trip++) {
    for (const allocation of before) recorder.free(allocation);
    before = current;
    const results = record(body, recording);
    const allocations = body.outputs
      .slice(1, 1 + outputs.length)
      .map((output) => results.get(ownerOf(output)));
    current = allocations.slice(0, states);
    collected.push(...allocations.slice(states));
  }
  return () => {
    for (const allocation of [...before, ...current, ...collected]) recorder.free(allocation);
  };
}
