/** @file Where onnxruntime puts each node of a graph: from its log (provider of a node) and its optimised graph. */

import { nodesOf } from './onnx-graph.mjs';

const FLOATS = new Set(['float16', 'bfloat16', 'float32', 'float64']);
const CPU = 'CPUExecutionProvider';
const MARK = 'VerifyEachNodeIsAssignedToAnEp] ';

/**
 * Nodes of the optimised graph with their `provider`.
 * @param log what a session printed while it was loaded, at the most detailed level
 * @throws Error if the log does not tell the provider of a node
 */
export function placedNodes(model, log) {
  const { byNode, sole } = providersIn(log);
  return nodesOf(model).map((node) => {
    const found = sole === undefined ? byNode.get(`${node.operator} ${node.name}`) : new Set([sole]);
    if (found === undefined) throw new Error(`the log names no provider for ${describe(node)}`);
    if (found.size > 1)
      throw new Error(`${describe(node)} is on several providers: ${[...found].join(', ')}`);
    return { ...node, provider: [...found][0] };
  });
}

function providersIn(log) {
  const byNode = new Map();
  let provider;
  for (const line of log.split('\n')) {
    const start = line.indexOf(MARK);
    if (start < 0) continue;
    const text = line.slice(start + MARK.length).trim();
    const sole = /^All nodes placed on \[(\w+)\]/.exec(text);
    if (sole !== null) return { byNode, sole: sole[1] };
    const heading = /^Node\(s\) placed on \[(\w+)\]/.exec(text);
    if (heading !== null) {
      provider = heading[1];
      continue;
    }
    const [, operator, name] = /^(\S+) \((.*)\)$/.exec(text) ?? [];
    if (operator === undefined || provider === undefined) continue;
    const key = `${operator} ${name}`;
    if (!byNode.has(key)) byNode.set(key, new Set());
    byNode.get(key).add(provider);
  }
  return { byNode, sole: undefined };
}

/** Copies between host and device that onnxruntime put into the graph. */
export const copiesIn = (nodes) => nodes.filter(({ operator }) => operator.startsWith('Memcpy'));

/** Nodes that compute with floats on the CPU. */
export const floatsOnCpu = (nodes) =>
  nodes.filter(
    ({ provider, operator, inputs, outputs }) =>
      provider === CPU &&
      !operator.startsWith('Memcpy') &&
      [...inputs, ...outputs].some(({ type }) => FLOATS.has(type)),
  );

/** "MatMul /layer.0/MatMul of bfloat16" */
export function describe({ operator, name, inputs, outputs }) {
  const types = [...new Set([...inputs, ...outputs].map(({ type }) => type).filter(Boolean))];
  return `${operator} ${name} of ${types.join(', ')}`;
}

/** A copy with its tensor, what makes it and what takes it. */
export function describeCopy(copy, nodes) {
  const [tensor] = copy.inputs;
  const nearby = nodes.filter(({ graph }) => graph === copy.graph);
  const maker = nearby.find(({ outputs }) => outputs.some(({ name }) => name === tensor.name));
  const takers = nearby.filter(({ inputs }) => inputs.some(({ name }) => name === copy.outputs[0].name));
  const way = copy.operator === 'MemcpyToHost' ? 'to the host' : 'to the device';
  const type = tensor.type ?? copy.outputs[0].type ?? 'unknown type';
  const from =
    maker === undefined ? 'an input, a weight or an outer graph' : `${maker.operator} ${maker.name}`;
  const to = takers.map((node) => `${node.operator} ${node.name}`).join(', ') || 'a subgraph or an output';
  return `${tensor.name} (${type}) ${way}: from ${from} to ${to}`;
}

/** Counts by a key of each item. */
export function countBy(items, keyOf) {
  const counts = {};
  for (const item of items) counts[keyOf(item)] = (counts[keyOf(item)] ?? 0) + 1;
  return counts;
}
