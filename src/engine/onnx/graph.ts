/**
 * @file Graphs under construction: values that know their type and shape, nodes in topological order, readable
 * names, and subgraphs (Loop bodies) that may read the values of the graphs around them.
 */

import { type DType, dtypeInfo, elementCount, type Tensor } from '../tensor/index.js';
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
  /** What an initializer holds. */
  readonly content?: InitializerContent;
}

/** Bytes inside the model, or in place in another file. */
export type InitializerContent =
  | { readonly kind: 'inside'; readonly tensor: Tensor }
  | ({ readonly kind: 'external' } & ExternalData);

/** Bytes in a file that serve as an initializer without being copied. */
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

/** A run of nodes whose inner values can be computed again from `inputs`, instead of being kept for the gradient. */
export interface Block {
  /** Position of its first node in the graph, and the position behind its last. */
  readonly first: number;
  readonly end: number;
  /** What it is computed from, beside weights, masks and other values that no parameter moves. */
  readonly inputs: readonly Value[];
}

/** A graph being built. Values of an outer graph may be used in its subgraphs, never the other way round. */
export interface Graph {
  readonly name: string;
  readonly parent: Graph | undefined;
  readonly inputs: Value[];
  readonly outputs: Value[];
  readonly nodes: Node[];
  readonly initializers: Value[];
  /** Names and scopes are shared by a graph and all its subgraphs, since ONNX forbids shadowing. */
  readonly names: NameRegistry;
  /** Shared small constants by content. */
  readonly constants: Map<string, Value>;
  /** In order, none inside another. */
  readonly blocks: Block[];
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
  };
}

/** Marks the nodes that `build` adds as one block, computed from `inputs`. It changes nothing but what a gradient may do. */
export function asBlock<T>(graph: Graph, inputs: readonly Value[], build: () => T): T {
  const first = graph.nodes.length;
  const result = build();
  graph.blocks.push({ first, end: graph.nodes.length, inputs });
  return result;
}

/** Runs `build` with `name` added to the path of every node and value that it makes: `/encoder/layer.0/MatMul`. */
export function withScope<T>(graph: Graph, name: string, build: () => T): T {
  graph.names.scopes.push(name);
  try {
    return build();
  } finally {
    graph.names.scopes.pop();
  }
}

/** The name itself where it is free, else with a number behind it. The name is not taken yet. */
export function freeName(graph: Graph, wanted: string): string {
  const { taken } = graph.names;
  const count = taken.get(wanted);
  if (count === undefined) return wanted;
  taken.set(wanted, count + 1);
  return freeName(graph, `${wanted}_${count}`);
}

function uniqueName(graph: Graph, wanted: string): string {
  return claimName(graph, freeName(graph, wanted));
}

/** @throws Error when the name is taken: graph inputs, initializers and outputs keep the names that users know. */
function claimName(graph: Graph, name: string): string {
  if (graph.names.taken.has(name)) throw new Error(`the name ${name} is taken in graph ${graph.name}`);
  graph.names.taken.set(name, 1);
  return name;
}

/** A graph input. */
export function addInput(graph: Graph, name: string, dtype: DType, shape: readonly Dim[]): Value {
  const value: Value = { graph, name: claimName(graph, name), dtype, shape };
  graph.inputs.push(value);
  return value;
}

/**
 * A constant with its own name, its content inside the model or in place in another file.
 * @throws RangeError where the bytes in the file are not what type and shape take
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
  if (byteLength !== elementCount(shape) * dtypeInfo[dtype].bytes) {
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

/** An unnamed constant of `graph`; small ones are shared by all who ask for the same content. */
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

/** Content of an inline initializer, where the value is one. */
export function constantContent({ content }: Value): Tensor | undefined {
  return content?.kind === 'inside' ? content.tensor : undefined;
}

/** Marks a value as graph output under a name of its own. */
export function addOutput(graph: Graph, value: Value, name: string): Value {
  const owned = value.graph === graph && value.producer !== undefined;
  if (!owned || graph.outputs.includes(value)) {
    // Inputs, initializers, outer values and values already given out need a node of their own.
    const [copy] = addNode(graph, 'Identity', [value], {}, [{ dtype: value.dtype, shape: value.shape }]);
    return addOutput(graph, copy!, name);
  }
  value.name = claimName(graph, name);
  graph.outputs.push(value);
  return value;
}

/** Adds a node to `graph` and returns its outputs. Operators with shape rules are in the ops files; use those. */
export function addNode(
  graph: Graph,
  operator: OperatorType,
  inputs: readonly (Value | undefined)[],
  attributes: Readonly<Record<string, Attribute>>,
  outputs: readonly { readonly dtype: DType; readonly shape: readonly Dim[] }[],
): Value[] {
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

/** Every value that a node reads: its inputs, and whatever the graphs inside it read. */
export function valuesRead(node: Node): Value[] {
  const inputs = node.inputs.filter((input) => input !== undefined);
  const inner = Object.values(node.attributes).flatMap(({ kind, value }) =>
    kind === 'graph' ? [...value.nodes.flatMap(valuesRead), ...value.outputs] : [],
  );
  return [...inputs, ...inner];
}

/** The innermost graph among the values': where a node that reads them must live. */
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

/** An integer attribute, or `fallback` where it is absent. */
export function intAttribute(node: Node, name: string, fallback = 0): number {
  const attribute = node.attributes[name];
  return attribute?.kind === 'int' ? attribute.value : fallback;
}

/** A float attribute, or `fallback` where it is absent. */
export function floatAttribute(node: Node, name: string, fallback: number): number {
  const attribute = node.attributes[name];
  return attribute?.kind === 'float' ? attribute.value : fallback;
}

/** A list-of-integers attribute, empty where it is absent. */
export function intsAttribute(node: Node, name: string): readonly number[] {
  const attribute = node.attributes[name];
  return attribute?.kind === 'ints' ? attribute.value : [];
}
