/**
 * @file Graphs under construction: typed and shaped values, nodes in topological order, readable names, and subgraphs
 * (Loop bodies) that may read the values of the enclosing graphs.
 */

import { bytesOf, type DType, elementCount, type Tensor } from '../tensor/index.js';
import type { Dim } from './dims.js';
import type { OperatorType } from './operator-types.js';

/** A typed edge of a graph. Its `name` is final once the graph is serialised. */
export interface Value {
  readonly graph: Graph;
  name: string;
  readonly dtype: DType;
  readonly shape: readonly Dim[];
  /** The node that computes it; absent for graph inputs and initializers. */
  producer?: Node;
  /** The content of an initializer. */
  readonly content?: InitializerContent;
}

/** Bytes inside the model, or left in another file. */
export type InitializerContent =
  | { readonly kind: 'inside'; readonly tensor: Tensor }
  | ({ readonly kind: 'external' } & ExternalData);

/** Bytes in a file, used as an initializer without a copy. */
export interface ExternalData {
  /** Absolute path. */
  readonly path: string;
  readonly offset: number;
  readonly byteLength: number;
}

export type Attribute =
  | { readonly kind: 'int'; readonly value: number }
  | { readonly kind: 'ints'; readonly value: readonly number[] }
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'dtype'; readonly value: DType }
  | { readonly kind: 'graph'; readonly value: Graph };

export interface Node {
  readonly operator: OperatorType;
  readonly name: string;
  readonly inputs: readonly (Value | undefined)[];
  readonly outputs: readonly Value[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/** A run of nodes whose inner values can be recomputed from `inputs` instead of being kept for the gradient. */
export interface Block {
  /** Index of its first node in the graph, and the index after its last. */
  readonly first: number;
  readonly end: number;
  /** The values it is computed from, apart from weights, masks and other values that do not depend on a parameter. */
  readonly inputs: readonly Value[];
}

/** A graph being built. Subgraphs may use values of an outer graph, never the other way round. */
export interface Graph {
  readonly name: string;
  readonly parent: Graph | undefined;
  readonly inputs: Value[];
  readonly outputs: Value[];
  readonly nodes: Node[];
  readonly initializers: Value[];
  /** Shared by a graph and all its subgraphs, since ONNX forbids shadowing. */
  readonly names: NameRegistry;
  /** Small constants, shared by content. */
  readonly constants: Map<string, Value>;
  /** In order, not nested. */
  readonly blocks: Block[];
  /** Values that a gradient takes as constants. */
  readonly detached: Set<Value>;
}

interface NameRegistry {
  readonly taken: Map<string, number>;
  readonly scopes: string[];
}

/** An empty graph; with `parent`, a subgraph of it. */
export function createGraph(name: string, parent?: Graph): Graph {
  const names = parent?.names ?? { taken: new Map(), scopes: [] };
  return {
    name,
    parent,
    inputs: [],
    outputs: [],
    nodes: [],
    initializers: [],
    names,
    constants: new Map(),
    blocks: [],
    detached: new Set(),
  };
}

/** Marks the nodes that `build` adds as one block, computed from `inputs`. Only the gradient makes use of this. */
export function asBlock<T>(graph: Graph, inputs: readonly Value[], build: () => T): T {
  const first = graph.nodes.length;
  const result = build();
  graph.blocks.push({ first, end: graph.nodes.length, inputs });
  return result;
}

/** Runs `build` with `name` appended to the path of all nodes and values it creates: `/encoder/layer.0/MatMul`. */
export function withScope<T>(graph: Graph, name: string, build: () => T): T {
  graph.names.scopes.push(name);
  try {
    return build();
  } finally {
    graph.names.scopes.pop();
  }
}

/** The name itself if it is free, otherwise with a number appended. Does not reserve the name. */
export function freeName(graph: Graph, wanted: string): string {
  const { taken } = graph.names;
  const count = taken.get(wanted);
  if (count === undefined) return wanted;
  taken.set(wanted, count + 1);
  return freeName(graph, `${wanted}_${count}`);
}

/** The name itself if it is free, otherwise with a number appended; reserved. */
export function uniqueName(graph: Graph, wanted: string): string {
  return claimName(graph, freeName(graph, wanted));
}

/** @throws Error when the name is taken: graph inputs, initializers and outputs must keep their exact names */
function claimName(graph: Graph, name: string): string {
  if (graph.names.taken.has(name)) throw new Error(`the name ${name} is taken in graph ${graph.name}`);
  graph.names.taken.set(name, 1);
  return name;
}

/** Gives the result of a node a name of its own, with a number appended if it is taken. */
export function named(value: Value, name: string): Value {
  value.name = uniqueName(value.graph, name);
  return value;
}

/** A graph input. */
export function addInput(graph: Graph, name: string, dtype: DType, shape: readonly Dim[]): Value {
  const value: Value = { graph, name: claimName(graph, name), dtype, shape };
  graph.inputs.push(value);
  return value;
}

/**
 * A named constant, with its content inside the model or in another file.
 * @throws RangeError if the number of bytes in the file does not match type and shape
 */
export function addInitializer(graph: Graph, name: string, content: Tensor): Value;
export function addInitializer(
  graph: Graph,
  name: string,
  content: ExternalData,
  dtype: DType,
  shape: readonly number[],
): Value;
export function addInitializer(
  graph: Graph,
  name: string,
  content: Tensor | ExternalData,
  dtype?: DType,
  shape: readonly number[] = [],
): Value {
  if (dtype === undefined) return addInside(graph, claimName(graph, name), content as Tensor);
  const { path, offset, byteLength } = content as ExternalData;
  if (byteLength !== bytesOf(dtype, elementCount(shape))) {
    throw new RangeError(`${name} is ${dtype} [${shape.join(', ')}], but has ${byteLength} bytes in ${path}`);
  }
  const external: InitializerContent = { kind: 'external', path, offset, byteLength };
  const value: Value = { graph, name: claimName(graph, name), dtype, shape, content: external };
  graph.initializers.push(value);
  return value;
}

function addInside(graph: Graph, name: string, tensor: Tensor): Value {
  const { dtype, shape } = tensor;
  const value: Value = { graph, name, dtype, shape, content: { kind: 'inside', tensor } };
  graph.initializers.push(value);
  return value;
}

/** An unnamed constant of `graph`; small ones are shared by content. */
export function constant(graph: Graph, content: Tensor): Value {
  const shared = elementCount(content.shape) <= 16;
  const key = shared ? `${content.dtype}[${content.shape.join(',')}]${Array.from(content.data, text)}` : '';
  const known = graph.constants.get(key);
  if (known !== undefined) return known;
  const value = addInside(graph, uniqueName(graph, `const_${content.dtype}`), content);
  if (shared) graph.constants.set(key, value);
  return value;
}

function text(element: number | bigint): string {
  return Object.is(element, -0) ? '-0' : String(element);
}

/** Content of an inline initializer; undefined for any other value. */
export function constantContent({ content }: Value): Tensor | undefined {
  return content?.kind === 'inside' ? content.tensor : undefined;
}

/** Marks a value as a graph output with its own name. */
export function addOutput(graph: Graph, value: Value, name: string): Value {
  const owned = value.graph === graph && value.producer !== undefined;
  if (!owned || graph.outputs.includes(value)) {
    // Inputs, initializers, outer values and existing outputs need an Identity node.
    const [copy] = addNode(graph, 'Identity', [value], {}, [{ dtype: value.dtype, shape: value.shape }]);
    return addOutput(graph, copy!, name);
  }
  value.name = claimName(graph, name);
  graph.outputs.push(value);
  return value;
}

/**
 * Adds a node to `graph` and returns its outputs. Prefer the functions of the operator files, which infer shapes.
 * @throws Error for a quantized matrix, which has no node until `gemm` makes one
 */
export function addNode(
  graph: Graph,
  operator: OperatorType,
  inputs: readonly (Value | undefined)[],
  attributes: Readonly<Record<string, Attribute>>,
  outputs: readonly { readonly dtype: DType; readonly shape: readonly Dim[] }[],
): Value[] {
  const detached = inputs.find((input) => input?.producer?.name === '');
  if (detached !== undefined) {
    throw new Error(`${operator} reads ${detached.name}; quantized weights can only be factors of gemm`);
  }
  const path = graph.names.scopes.map((scope) => (scope === '' ? '' : `/${scope}`)).join('');
  const name = uniqueName(graph, `${path}/${operator}`);
  const values = outputs.map(({ dtype, shape }, position): Value => {
    const suffix = position === 0 ? 'output' : `output_${position}`;
    return { graph, name: uniqueName(graph, `${name}/${suffix}`), dtype, shape };
  });
  const node: Node = { operator, name, inputs, outputs: values, attributes };
  for (const value of values) value.producer = node;
  graph.nodes.push(node);
  return values;
}

/** Every value that a node reads: its inputs, and the outer values that its subgraphs read. */
export function valuesRead(node: Node): Value[] {
  const inputs = node.inputs.filter((input) => input !== undefined);
  const inner = Object.values(node.attributes).flatMap(({ kind, value }) =>
    kind === 'graph' ? [...value.nodes.flatMap(valuesRead), ...value.outputs] : [],
  );
  return [...inputs, ...inner];
}

/** The innermost graph among the values', which is where a node that reads them must be added. */
export function innermost(values: readonly (Value | undefined)[]): Graph {
  let deepest: Graph | undefined;
  for (const value of values) {
    if (value !== undefined && (deepest === undefined || depth(value.graph) > depth(deepest)))
      deepest = value.graph;
  }
  if (deepest === undefined) throw new Error('an operator needs at least one input value');
  return deepest;
}

function depth(graph: Graph): number {
  return graph.parent === undefined ? 0 : 1 + depth(graph.parent);
}

/** An integer attribute, or `fallback` if absent. */
export function intAttribute(node: Node, name: string, fallback = 0): number {
  const attribute = node.attributes[name];
  return attribute?.kind === 'int' ? attribute.value : fallback;
}

/** A float attribute, or `fallback` if absent. */
export function floatAttribute(node: Node, name: string, fallback: number): number {
  const attribute = node.attributes[name];
  return attribute?.kind === 'float' ? attribute.value : fallback;
}

/** A list-of-integers attribute, empty if absent. */
export function intsAttribute(node: Node, name: string): readonly number[] {
  const attribute = node.attributes[name];
  return attribute?.kind === 'ints' ? attribute.value : [];
}
