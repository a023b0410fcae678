/**
 * @file What onnxruntime decides about a graph before it runs on a CUDA device: which nodes it leaves out, their order, and
 * which values share memory. Found by comparing with what its provider asks of a device, for onnxruntime 1.30.
 */

import { type Graph, type Node, type Value, valuesRead } from '../onnx/index.js';
import { dtypeInfo } from '../tensor/index.js';

/** Operators whose output is a view of their first input. */
const VIEWS: ReadonlySet<string> = new Set(['Reshape', 'Squeeze', 'Unsqueeze', 'Identity']);
/** Operators that may write their result over an input of the same size that nothing else reads. */
const IN_PLACE: ReadonlySet<string> = new Set([
  ...['Add', 'And', 'Clip', 'Cos', 'Div', 'Erf', 'Exp', 'Log', 'Max', 'Min', 'Mul', 'Neg', 'Not', 'Pow'],
  ...['Relu', 'Sigmoid', 'Sin', 'Softmax', 'Sqrt', 'Sub', 'Sum', 'Tanh'],
]);

/** The nodes of a graph in the order in which they run, and the memory of its values. */
export interface AllocationPlan {
  readonly order: readonly Node[];
  /** The value whose memory a value has: its own, that of what it is a view of, or that of an earlier value. */
  readonly ownerOf: (value: Value) => Value;
  /** The owners in this graph whose memory is freed after a node. */
  readonly freedAfter: ReadonlyMap<Node, readonly Value[]>;
}

export function allocationPlan(graph: Graph, folded: ReadonlySet<Node>): AllocationPlan {
  const { kept, firstOf } = withoutRepetitions(graph);
  const readBy = (node: Node): Value[] => valuesRead(node).map(firstOf);
  const order = executionOrder(kept, readBy).filter((node) => !folded.has(node));
  const readers = new Map<Value, Node[]>();
  for (const node of order) {
    for (const input of new Set(readBy(node))) append(readers, input, node);
  }
  const sources = new Map<Value, Value>();
  const sourceOf = (value: Value): Value => sources.get(firstOf(value)) ?? firstOf(value);
  for (const node of order) {
    const [output] = node.outputs;
    if (VIEWS.has(node.operator) || isReadTransposed(node, readers.get(output!) ?? []))
      sources.set(output!, sourceOf(node.inputs[0]!));
  }
  const last = new Map<Value, Node>();
  for (const node of order) {
    for (const output of node.outputs) if (sourceOf(output) === output) last.set(output, node);
    for (const input of readBy(node)) last.set(sourceOf(input), node);
  }
  const results = new Set(graph.outputs.map(sourceOf));
  const isOwn = (value: Value): boolean =>
    value.graph === graph && value.producer !== undefined && !results.has(value);
  const ending = new Map<Node, Value[]>();
  for (const [value, node] of last) if (isOwn(value)) append(ending, node, value);
  const buffers = sharedBuffers(order, { sourceOf, ending, isOwn });
  const bufferOf = (value: Value): Value => buffers.get(value) ?? value;
  const lastOfBuffer = new Map<Value, Node>();
  for (const node of order)
    for (const value of ending.get(node) ?? []) lastOfBuffer.set(bufferOf(value), node);
  const freedAfter = new Map<Node, Value[]>();
  for (const [buffer, node] of lastOfBuffer) append(freedAfter, node, buffer);
  return { order, ownerOf: (value) => bufferOf(sourceOf(value)), freedAfter };
}

/** What {@link sharedBuffers} knows of values. */
interface Lives {
  readonly sourceOf: (value: Value) => Value;
  /** Values whose last reader is a node. */
  readonly ending: ReadonlyMap<Node, readonly Value[]>;
  /** Whether a value is of this graph and no result of it. */
  readonly isOwn: (value: Value) => boolean;
}

/**
 * Values that take over the memory of an earlier one of the same shape, and which one's: onnxruntime plans this before it
 * runs, and holds the memory in between.
 */
function sharedBuffers(order: readonly Node[], { sourceOf, ending, isOwn }: Lives): Map<Value, Value> {
  const buffers = new Map<Value, Value>();
  const bufferOf = (value: Value): Value => buffers.get(value) ?? value;
  const unused = new Map<string, Value[]>();
  for (const node of order) {
    const ends = new Set(ending.get(node) ?? []);
    const made = node.outputs.filter((output) => sourceOf(output) === output && isOwn(output));
    for (const output of node.attributes.body === undefined ? made : []) {
      const kind = kindOf(output);
      const over = IN_PLACE.has(node.operator)
        ? node.inputs
            .slice(0, 2)
            .map((input) => input && sourceOf(input))
            .find((input) => input && ends.has(input) && kindOf(input) === kind)
        : undefined;
      const buffer = over === undefined ? unused.get(kind)?.pop() : bufferOf(over);
      if (over !== undefined) ends.delete(over);
      if (buffer !== undefined) buffers.set(output, buffer);
    }
    for (const value of ends) append(unused, kindOf(value), bufferOf(value));
  }
  return buffers;
}

/** Values of one kind have the same size. */
function kindOf({ dtype, shape }: Value): string {
  return `${dtypeInfo[dtype].bytes} ${shape.join()}`;
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
