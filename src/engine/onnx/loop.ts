/** @file The ONNX Loop operator: a body graph that runs K times and carries state between iterations. */

import { type Dim, formatShape, sameShape } from './dims.js';
import { scalar } from './elementwise.js';
import {
  addInput,
  addNode,
  addOutput,
  createGraph,
  freeName,
  type Graph,
  innermost,
  type Value,
} from './graph.js';

export interface LoopBody {
  /** New state, one value per initial state, of the same type and shape. */
  readonly states: readonly Value[];
  /** Values collected over the iterations: each becomes [K, ...]. */
  readonly collected: readonly { readonly name: string; readonly value: Value }[];
  /** bool scalar: whether there is another iteration. Absent: as many as `tripCount`. */
  readonly goOn?: Value;
}

/** An axis of a state whose length changes. */
export interface GrowingAxis {
  readonly axis: number;
  readonly length: string;
}

export interface LoopResult {
  readonly states: readonly Value[];
  readonly collected: readonly Value[];
}

/**
 * Runs `build` as the body of a Loop with `tripCount` (int64 scalar) iterations, or fewer if the body says so. The body
 * may read any value of the enclosing graphs; `iteration` is its int64 counter from 0.
 * @param growing the axis along which some of the states become longer from one iteration to the next, and how its
 *   length is called in the body; by the places of these states
 * @throws RangeError if a new state differs in type or shape from the previous one, except along such an axis
 */
export function loop(
  tripCount: Value,
  iterations: Dim,
  initial: readonly Value[],
  build: (body: Graph, iteration: Value, states: readonly Value[]) => LoopBody,
  growing: ReadonlyMap<number, GrowingAxis> = new Map(),
): LoopResult {
  const graph = innermost([tripCount, ...initial]);
  const body = createGraph('body', graph);
  // A second loop, or a state passed twice, must not cause a name clash.
  const input = (name: string, { dtype, shape }: Pick<Value, 'dtype' | 'shape'>): Value =>
    addInput(body, freeName(body, name), dtype, shape);
  const output = (name: string, value: Value): Value => addOutput(body, value, freeName(body, name));
  const iteration = input('iteration', { dtype: 'int64', shape: [] });
  const goOn = input('condition', { dtype: 'bool', shape: [] });
  const shapes = initial.map(({ shape }, position) => withLength(shape, growing.get(position)));
  const states = initial.map(({ name, dtype }, position) =>
    input(`${name}/carried`, { dtype, shape: shapes[position]! }),
  );
  const result = build(body, iteration, states);
  if (result.states.length !== initial.length) {
    throw new RangeError(`a loop over ${initial.length} states gave ${result.states.length} back`);
  }
  output('condition_next', result.goOn ?? goOn);
  result.states.forEach((value, position) => {
    const { name, dtype } = initial[position]!;
    const shape = shapes[position]!;
    const updated = withLength(value.shape, growing.get(position));
    if (value.dtype !== dtype || !sameShape(updated, shape)) {
      throw new RangeError(
        `loop state ${name} is ${dtype} ${formatShape(shape)}, its update ${value.dtype} ${formatShape(value.shape)}`,
      );
    }
    output(`${name}/updated`, value);
  });
  for (const { name, value } of result.collected) output(`${name}/step`, value);
  const outputs = [
    ...initial.map(({ dtype }, position) => ({ dtype, shape: shapes[position]! })),
    ...result.collected.map(({ value }) => ({ dtype: value.dtype, shape: [iterations, ...value.shape] })),
  ];
  const always = scalar(graph, 1, 'bool');
  const attributes = { body: { kind: 'graph', value: body } as const };
  const values = addNode(graph, 'Loop', [tripCount, always, ...initial], attributes, outputs);
  return { states: values.slice(0, initial.length), collected: values.slice(initial.length) };
}

function withLength(shape: readonly Dim[], growing: GrowingAxis | undefined): readonly Dim[] {
  return shape.map((dim, axis) => (axis === growing?.axis ? growing.length : dim));
}
