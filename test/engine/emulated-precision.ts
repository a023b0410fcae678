/**
 * @file Graphs of 16 bits on the CPU, which has no kernels for their products: every value is rounded where a GPU
 * rounds it, and operators compute in float32 between, as the kernels of a GPU do.
 */

import { uniqueName } from '../../src/engine/onnx/graph.js';
import type { Graph, Node, Value } from '../../src/engine/onnx/index.js';
import type { DType } from '../../src/engine/tensor/index.js';

/** Operators that move elements, which the CPU does in 16 bits too, and those that are looked into. */
const AS_THEY_ARE: ReadonlySet<string> = new Set([
  'Cast',
  'Gather',
  'Identity',
  'Loop',
  'Reshape',
  'Squeeze',
  'Transpose',
  'Unsqueeze',
]);

export interface EmulationOptions {
  /** Nodes whose float32 outputs are rounded to a type of 16 bits: for tests that must notice it. */
  readonly rounded?: (node: Node) => DType | undefined;
}

const isNarrow = (value: Value): boolean => value.dtype === 'bfloat16' || value.dtype === 'float16';

/**
 * Rewrites a finished graph and its subgraphs in place: each operator with 16-bit inputs or outputs gets its inputs cast
 * to float32, and its float32 outputs are cast to 16 bits.
 */
export function emulatePrecision(graph: Graph, options: EmulationOptions = {}): void {
  const { rounded = () => undefined } = options;
  const wide = new Map<Value, Value>(); // by the value of 16 bits
  const made: Node[] = [];
  const addCast = (input: Value, output: Value): void => {
    const attributes = { to: { kind: 'dtype', value: output.dtype } } as const;
    const name = uniqueName(graph, `${output.name}/Cast`);
    made.push({ operator: 'Cast', name, inputs: [input], outputs: [output], attributes });
    output.producer = made.at(-1)!;
  };
  const sibling = ({ name, shape }: Value, dtype: DType): Value => ({
    graph,
    name: uniqueName(graph, `${name}/${dtype}`),
    dtype,
    shape,
  });
  const widened = (value: Value): Value => {
    let known = wide.get(value);
    if (known === undefined) {
      known = sibling(value, 'float32');
      addCast(value, known);
      wide.set(value, known);
    }
    return known;
  };
  for (const node of graph.nodes) {
    for (const { kind, value } of Object.values(node.attributes))
      if (kind === 'graph') emulatePrecision(value, options);
    if (AS_THEY_ARE.has(node.operator)) {
      made.push(node);
      continue;
    }
    const inputs = node.inputs.map((input) => input && (isNarrow(input) ? widened(input) : input));
    const type = rounded(node);
    const outputs = node.outputs.map((output) =>
      isNarrow(output) || type !== undefined ? sibling(output, 'float32') : output,
    );
    made.push({ ...node, inputs, outputs });
    for (const output of outputs) output.producer = made.at(-1)!;
    node.outputs.forEach((output, position) => {
      const result = outputs[position]!;
      if (result === output) return;
      if (isNarrow(output)) addCast(result, output);
      else {
        const narrow = sibling(output, type!);
        addCast(result, narrow);
        addCast(narrow, output);
      }
    });
  }
  graph.nodes.splice(0, graph.nodes.length, ...made);
}
