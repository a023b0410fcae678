/** @file Reverse-mode differentiation: one backward pass over the nodes between parameters and loss. */

import {
  type Graph,
  type Node,
  scalar,
  sum,
  type Value,
  valuesRead,
  withScope,
  zerosLike,
} from '../onnx/index.js';
import { isFloating } from '../tensor/index.js';
import { replay, scopeOf } from './recompute.js';
import type { RuleContext } from './rule.js';
import { rules } from './rules.js';

/**
 * Gradients of a scalar loss. All nodes are added to the loss's own graph, in the scope `gradient`.
 * @param loss scalar, computed in one graph (a Loop body differentiates inside itself)
 * @param parameters values to differentiate with respect to; a parameter that the loss does not depend on gets zeros
 * @param options `recompute`: recompute inner values of the graph's blocks in the backward pass, see {@link replay}
 * @returns one gradient per parameter, of its shape
 * @throws Error naming the node when the backward pass meets an operator without a gradient or leaves the loss's graph
 */
export function gradients(
  loss: Value,
  parameters: readonly Value[],
  { recompute = false }: { readonly recompute?: boolean } = {},
): Value[] {
  if (loss.shape.length !== 0) throw new Error(`the loss must be a scalar, ${loss.name} is not`);
  const fixed = parameters.find((parameter) => !isFloating(parameter.dtype));
  if (fixed !== undefined) throw new Error(`${fixed.name} is ${fixed.dtype}; only floats have gradients`);
  const { graph } = loss;
  const forward = [...graph.nodes];
  const needed = dependsOn(parameters, forward);
  requireInside(graph, forward, parameters);
  const partial = new Map<Value, Value[]>([[loss, [scalar(graph, 1, loss.dtype)]]]);
  return withScope(graph, 'gradient', () => {
    // A gradient's nodes are named after the node's own path: /gradient/encoder/layer.0/MatMul.
    const walkBack = (nodes: readonly Node[], nodeOf = (node: Node) => node): void => {
      for (const node of nodes.toReversed()) {
        const reached = node.outputs.some((output) => partial.has(output));
        if (!reached || !valuesRead(node).some((value) => needed.has(value))) continue;
        withScope(graph, scopeOf(node), () => propagate(node, nodeOf(node), needed, partial));
      }
    };
    let behind = forward.length;
    for (const block of recompute ? graph.blocks.toReversed() : []) {
      walkBack(forward.slice(block.end, behind));
      const own = forward.slice(block.first, block.end);
      const arrived = [...block.inputs, ...own.flatMap(({ outputs }) => outputs)].flatMap(
        (value) => total(partial, value) ?? [],
      );
      if (arrived.length === 0) walkBack(own);
      else {
        const { nodeOf, prune } = replay(graph, block, arrived);
        walkBack(own, nodeOf);
        prune();
      }
      behind = block.first;
    }
    walkBack(forward.slice(0, behind));
    return parameters.map((parameter) => total(partial, parameter) ?? zerosLike(parameter));
  });
}

/** All floating-point values that depend on a parameter. */
function dependsOn(parameters: readonly Value[], nodes: readonly Node[]): Set<Value> {
  const needed = new Set<Value>(parameters);
  for (const node of nodes) {
    if (rules[node.operator] === 'integer' || !valuesRead(node).some((value) => needed.has(value))) continue;
    for (const output of node.outputs) {
      if (isFloating(output.dtype) && !output.graph.detached.has(output)) needed.add(output);
    }
  }
  return needed;
}

/** The backward pass stays in one graph, so any use of a parameter in an outer graph would silently be ignored. */
function requireInside(graph: Graph, forward: readonly Node[], parameters: readonly Value[]): void {
  const around: Node[] = [];
  for (let outer = graph.parent; outer !== undefined; outer = outer.parent) around.unshift(...outer.nodes);
  if (around.length === 0) return;
  const outside = dependsOn(parameters, around);
  for (const parameter of parameters) outside.delete(parameter);
  for (const node of forward) {
    const value = valuesRead(node).find((read) => outside.has(read));
    if (value !== undefined) {
      throw new Error(
        `${node.name} reads ${value.name}, which depends on a parameter outside graph ${graph.name}`,
      );
    }
  }
}

/** The sum of the gradients that have reached a value so far; computed once. */
function total(partial: Map<Value, Value[]>, value: Value): Value | undefined {
  const parts = partial.get(value);
  if (parts === undefined) return undefined;
  if (parts.length > 1) parts.splice(0, parts.length, sum([...parts]));
  return parts[0];
}

/** @param values the node whose values the gradient uses: `node`, or its recomputed copy */
function propagate(node: Node, values: Node, needed: ReadonlySet<Value>, partial: Map<Value, Value[]>): void {
  const rule = rules[node.operator];
  if (rule === 'integer') return;
  if (typeof rule === 'object')
    throw new Error(`${node.name} (${node.operator}) has no gradient: ${rule.refuse}`);
  const outputGradients = node.outputs.map((output) => total(partial, output));
  const [a, b, c] = values.inputs as readonly Value[];
  const [y] = values.outputs as readonly [Value];
  const context: RuleContext = {
    node: values,
    a: a!,
    b: b!,
    c: c!,
    y,
    // Lazy: only Split can be reached without its first output, and its rule asks for the list instead.
    get dy() {
      return outputGradients[0] ?? zerosLike(y);
    },
    outputGradients,
  };
  const inputGradients = rule(context);
  node.inputs.forEach((input, position) => {
    const gradient = inputGradients[position];
    if (input === undefined || gradient === undefined || !needed.has(input)) return;
    const parts = partial.get(input);
    if (parts === undefined) partial.set(input, [gradient()]);
    else parts.push(gradient());
  });
}
