/**
 * @file The order in which onnxruntime allocates and frees the values of a graph on a CUDA device. It was found by
 * comparing with what its provider asks of a device, for onnxruntime 1.30.
 */

import {
  type DimBindings,
  evaluateDim,
  type Graph,
  type Node,
  type Value,
  valuesRead,
} from '../onnx/index.js';
import { dtypeInfo } from '../tensor/index.js';

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
/** Operators whose output is a view of their first input. */
const VIEWS: ReadonlySet<string> = new Set(['Reshape', 'Squeeze', 'Unsqueeze', 'Identity']);
/** Operators that may write their result over an input of the same size that nothing else reads. */
const IN_PLACE: ReadonlySet<string> = new Set([
  ...['Add', 'And', 'Clip', 'Cos', 'Div', 'Erf', 'Exp', 'Log', 'Max', 'Min', 'Mul', 'Neg', 'Not', 'Pow'],
  ...['Relu', 'Sigmoid', 'Sin', 'Softmax', 'Sqrt', 'Sub', 'Sum', 'Tanh'],
]);

/** Follows what onnxruntime does with a graph, apart from its rarer fusions. */
export function graphAllocations(graph: Graph): GraphAllocations {
  const folded = foldedNodes(graph);
  const plans = new Map<Graph, Plan>();
  const planFor = (each: Graph): Plan => {
    const plan = plans.get(each) ?? planOf(each, folded);
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

/** The nodes of a graph in the order in which they run, and the lives of its values. */
interface Plan {
  readonly order: readonly Node[];
  /** The value whose memory a value has: its own, or that of what it is a view of. */
  readonly ownerOf: (value: Value) => Value;
  /** The values of this graph that are freed after a node. */
  readonly freedAfter: ReadonlyMap<Node, readonly Value[]>;
}

function planOf(graph: Graph, folded: ReadonlySet<Node>): Plan {
  const { kept, firstOf } = withoutRepetitions(graph);
  const readBy = (node: Node): Value[] => valuesRead(node).map(firstOf);
  const order = executionOrder(kept, readBy).filter((node) => !folded.has(node));
  const readers = new Map<Value, Node[]>();
  for (const node of order) {
    for (const input of new Set(readBy(node))) append(readers, input, node);
  }
  const owners = new Map<Value, Value>();
  const ownerOf = (value: Value): Value => owners.get(firstOf(value)) ?? firstOf(value);
  for (const node of order) {
    const [output] = node.outputs;
    if (VIEWS.has(node.operator) || isReadTransposed(node, readers.get(output!) ?? []))
      owners.set(output!, ownerOf(node.inputs[0]!));
  }
  const last = new Map<Value, Node>();
  for (const node of order) {
    for (const output of node.outputs) if (ownerOf(output) === output) last.set(output, node);
    for (const input of readBy(node)) last.set(ownerOf(input), node);
  }
  const results = new Set(graph.outputs.map(ownerOf));
  const freedAfter = new Map<Node, Value[]>();
  for (const [value, node] of last) {
    if (value.graph === graph && value.producer !== undefined && !results.has(value))
      append(freedAfter, node, value);
  }
  return { order, ownerOf, freedAfter };
}

function append<Key, Item>(lists: Map<Key, Item[]>, key: Key, item: Item): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [item]);
  else list.push(item);
}

/**
 * A graph's nodes without those that repeat an earlier one, as onnxruntime merges them: in particular the dropout masks of
 * recomputed blocks, which do not depend on the values that are recomputed, and are kept since the forward pass.
 */
function withoutRepetitions({ nodes }: Graph): {
  readonly kept: Node[];
  /** The value that is computed in place of this one. */
  readonly firstOf: (value: Value) => Value;
} {
  const firsts = new Map<Value, Value>();
  const firstOf = (value: Value): Value => firsts.get(value) ?? value;
  const numbers = new Map<Value | undefined, number>();
  const numberOf = (value: Value | undefined): number => {
    const first = value && firstOf(value);
    const number = numbers.get(first) ?? numbers.size;
    numbers.set(first, number);
    return number;
  };
  const known = new Map<string, Node>();
  const kept = nodes.filter((node) => {
    const { operator, attributes, inputs, outputs } = node;
    if (attributes.body !== undefined) return true;
    const key = `${operator} ${inputs.map(numberOf)} ${JSON.stringify(attributes)} ${outputs[0]!.dtype}`;
    const same = known.get(key);
    if (same === undefined) known.set(key, node);
    else outputs.forEach((output, position) => void firsts.set(output, same.outputs[position]!));
    return same === undefined;
  });
  return { kept, firstOf };
}

/** onnxruntime's order: depth first from the nodes that none reads, at each turn the last that was added first. */
function executionOrder(nodes: readonly Node[], readBy: (node: Node) => readonly Value[]): Node[] {
  const positions = new Map(nodes.map((node, position) => [node, position]));
  const read = new Set<number>();
  const inputs = nodes.map((node) => {
    const producers = readBy(node).flatMap(({ producer }) => positions.get(producer!) ?? []);
    for (const position of producers) read.add(position);
    return [...new Set(producers)].sort((a, b) => a - b);
  });
  const stack = [...nodes.keys()].filter((position) => !read.has(position));
  const visited = new Set<number>();
  const order: Node[] = [];
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    // A node is on the stack a second time below its inputs, as its complement.
    if (top < 0) order.push(nodes[-1 - top]!);
    else if (!visited.has(top)) {
      visited.add(top);
      stack.push(-1 - top, ...inputs[top]!.filter((position) => !visited.has(position)));
    }
  }
  return order;
}

/** Products read a factor with its last two axes swapped, without a copy of it. */
function isReadTransposed({ operator, attributes }: Node, readers: readonly Node[]): boolean {
  if (operator !== 'Transpose' || attributes.perm?.kind !== 'ints') return false;
  const order = attributes.perm.value;
  const swapped = [...order.keys()].slice(0, -2).concat(order.length - 1, order.length - 2);
  const swaps = order.every((axis, position) => axis === swapped[position]);
  return swaps && readers.length > 0 && readers.every((reader) => reader.operator === 'MatMul');
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
  readonly planFor: (graph: Graph) => Plan;
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
      for (const output of made) {
        const bytes = bytesOf(output);
        const over = IN_PLACE.has(node.operator)
          ? node.inputs
              .slice(0, 2)
              .map((input) => input && ownerOf(input))
              .find((input) => input && freed.includes(input) && live.has(input) && bytesOf(input) === bytes)
          : undefined;
        live.set(output, over === undefined ? recorder.allocate(bytes) : live.get(over));
        if (over !== undefined) live.delete(over);
        // The kernel swaps the axis with the last, from a copy of its input to one of its output.
        if (isSoftmaxOverInnerAxis(node)) recorder.allocateDetached([bytes, bytes]);
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
