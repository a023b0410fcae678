/** @file 16-bit graphs on the CPU round where they should, and onnxruntime leaves the rounding in place. */

import { describe, expect, it } from 'vitest';
import {
  addInput,
  addOutput,
  cast,
  constant,
  createGraph,
  type Graph,
  gemm,
  loop,
  mul,
  relu,
  scalar,
  serializeModel,
  type Value,
} from '../../src/engine/onnx/index.js';
import { createSession } from '../../src/engine/runtime/index.js';
import { float32, float32Of, type Tensor } from '../../src/engine/tensor/index.js';
import { emulatePrecision } from './emulated-precision.js';

/** Runs a graph of one float32 input `x` on the CPU, with its 16-bit operators emulated. */
async function run(x: Tensor, build: (x: Value, graph: Graph) => Value): Promise<number[]> {
  const graph = createGraph('test');
  addOutput(graph, build(addInput(graph, 'x', 'float32', x.shape), graph), 'y');
  emulatePrecision(graph);
  const session = await createSession(serializeModel(graph), { device: { kind: 'cpu' } });
  try {
    return [...float32Of((await session.run({ x })).y!)];
  } finally {
    await session.dispose();
  }
}

const vector = (values: readonly number[]): Tensor => float32([values.length], values);

/** Values with what they are in 16 bits: the nearest, and halfway the even one. */
const roundings = {
  bfloat16: [
    [1 + 2 ** -8, 1],
    [1 + 2 ** -8 + 2 ** -20, 1 + 2 ** -7],
    [1 + 3 * 2 ** -8, 1 + 2 ** -6],
    [-(1 + 3 * 2 ** -8), -(1 + 2 ** -6)],
    [70_000, 70_144],
  ],
  float16: [
    [1 + 2 ** -11, 1],
    [1 + 2 ** -11 + 2 ** -20, 1 + 2 ** -10],
    [1 + 3 * 2 ** -11, 1 + 2 ** -9],
    [-(2 ** -25), -0],
    [65_519, 65_504],
    [65_520, Number.POSITIVE_INFINITY],
  ],
} as const;
const types = ['bfloat16', 'float16'] as const;

describe.each(types)('a graph in %s', (dtype) => {
  const given = vector(roundings[dtype].map(([value]) => value));
  const expected = roundings[dtype].map(([, nearest]) => nearest);

  it('rounds what it casts to 16 bits and back', async () => {
    expect(await run(given, (x) => cast(cast(x, dtype), 'float32'))).toEqual(expected);
  });

  it('rounds what it casts in the body of a loop', async () => {
    const result = await run(given, (x, graph) => {
      const once = loop(scalar(graph, 1, 'int64'), 1, [x], (_, __, [state]) => ({
        states: [mul(cast(mul(cast(state!, dtype), 1), 'float32'), 1)],
        collected: [],
      }));
      return once.states[0]!;
    });
    expect(result).toEqual(expected);
  });

  it('rounds the result of each operator, and not its operands again', async () => {
    const step = dtype === 'bfloat16' ? 2 ** -7 : 2 ** -10; // between 1 and the next number
    const [a, b] = [1 + step, 1 + 3 * step]; // a b = 1 + 4 step + 3 step^2
    const product = await run(vector([a]), (x) => cast(mul(cast(x, dtype), b), 'float32'));
    expect(product).toEqual([1 + 4 * step]);
    const chain = await run(vector([a]), (x) => cast(mul(relu(mul(cast(x, dtype), b)), 3), 'float32'));
    expect(chain).toEqual([3 + 12 * step]);
  });

  it('sums products in float32', async () => {
    const step = dtype === 'bfloat16' ? 2 ** -7 : 2 ** -10;
    // In 16 bits each half step would be lost beside 1.
    const row = float32([1, 5], [1, step / 2, step / 2, step / 2, step / 2]);
    const result = await run(row, (x, graph) => {
      const ones = constant(graph, float32([1, 5], [1, 1, 1, 1, 1]));
      return cast(gemm(cast(x, dtype), cast(ones, dtype), undefined, { transB: true }), 'float32');
    });
    expect(result).toEqual([1 + 2 * step]);
  });
});
