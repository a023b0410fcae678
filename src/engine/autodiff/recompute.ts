/**
 * @file Activation checkpointing (Chen et al., 2016): keeps only a block's inputs in the forward pass and recomputes
 * its inner values in the backward pass.
 */

import {
  add,
  addNode,
  type Block,
  cast,
  type Graph,
  mul,
  type Node,
  productOfDims,
  reshape,
  slice,
  squeeze,
  sum,
  type Value,
  valuesRead,
  withScope,
} from '../onnx/index.js';

/** A recomputed block. */
export interface Replay {
  /** The recomputed copy of one of the block's nodes, or the node itself if it was not recomputed. */
  readonly nodeOf: (node: Node) => Node;
  /** Removes unused nodes, once the block's gradient is built. */
  readonly prune: () => void;
}

/**
 * Adds a second copy of the block's nodes to its graph.
 *
 * onnxruntime merges identical nodes, which would keep the original values alive. The copy therefore starts from the
 * inputs plus a zero computed from `arrived`, the gradients that must be available first: equal in value, but not
 * identical. This dependency also schedules the copy where it belongs, after the gradient of what follows.
 * @param arrived gradients of the block's outputs, and of its inputs from later blocks
 */
export function replay(graph: Graph, { first, end, inputs }: Block, arrived: readonly Value[]): Replay {
  const nodes = graph.nodes.slice(first, end);
  const from = graph.nodes.length;
  const again = new Map<Value, Value>();
  const copies = new Map<Node, Node>();
  withScope(graph, 'recomputed', () => {
    const zero = zeroOf(arrived);
    for (const input of inputs) again.set(input, add(input, cast(zero, input.dtype)));
    for (const node of nodes) {
      if (node.inputs.some((input) => input !== undefined && again.has(input)))
        copies.set(node, copy(graph, node, again));
    }
  });
  const to = graph.nodes.length;
  return {
    nodeOf: (node) => copies.get(node) ?? node,
    prune() {
      const read = new Set(graph.nodes.slice(to).flatMap(valuesRead));
      const kept = graph.nodes.slice(from, to).reverse();
      const wanted = kept.filter((node) => {
        if (!node.outputs.some((output) => read.has(output))) return false;
        for (const value of valuesRead(node)) read.add(value);
        return true;
      });
      graph.nodes.splice(from, to - from, ...wanted.reverse());
    },
  };
}

/** The scope that a node's name begins with. */
export function scopeOf({ name }: Node): string {
  return name.slice(1, Math.max(name.lastIndexOf('/'), 1));
}

/** A copy of the node that reads the recomputed values. */
function copy(graph: Graph, node: Node, again: Map<Value, Value>): Node {
  const { operator, inputs, attributes, outputs } = node;
  const values = withScope(graph, scopeOf(node), () =>
    addNode(
      graph,
      operator,
      inputs.map((input) => input && (again.get(input) ?? input)),
      attributes,
      outputs,
    ),
  );
  outputs.forEach((output, position) => {
    again.set(output, values[position]!);
  });
  return values[0]!.producer!;
}

/** A float32 scalar 0 that depends on the given values. */
function zeroOf(values: readonly Value[]): Value {
  const elements = values.map((value) => {
    const flat = reshape(value, [productOfDims(value.shape)]);
    return cast(squeeze(slice(flat, 0, 0, 1), [0]), 'float32');
  });
  return mul(sum(elements), 0);
}
