/** @file Functions that build nodes: their shapes according to onnxruntime, their values, and rejected arguments. */

import { describe, expect, it } from 'vitest';
import * as onnx from '../../src/engine/onnx/index.js';
import { createSession } from '../../src/engine/runtime/index.js';
import { float32, seededRandom } from '../../src/engine/tensor/index.js';
import { sizes } from './finite-differences.js';
import { callFeeds, callGraph, operatorCalls, run } from './onnx-operators.js';

const { add, addOutput, cast, createGraph, layerNorm, matmul, multiplyDims, scalar, serializeModel } = onnx;
type Value = onnx.Value;
type Graph = onnx.Graph;

describe('shapes worked out when a graph is built', () => {
  /** Exported functions that do not build nodes. */
  const others = [
    ...['addDims', 'broadcastShapes', 'evaluateDim', 'floorDivideDim', 'formatShape', 'multiplyDims'],
    ...['productOfDims', 'sameShape', 'addInitializer', 'addInput', 'addNode', 'addOutput', 'constant'],
    ...['constantContent', 'createGraph', 'floatAttribute', 'innermost', 'intAttribute', 'intsAttribute'],
    ...['valuesRead', 'withScope', 'serializeInPlace', 'serializeModel', 'convLength', 'externalDataFolder'],
    ...['loadModelFile', 'readModelFile', 'asBlock', 'named', 'webGpuModel'],
    // These build tables of strings; host-integers.test.ts has them.
    ...['hostTable', 'hostColumn', 'hostEntries'],
    ...['checkCudaKernels', 'cudaKernelProblem'],
    // These work on finished graphs; integer-products.test.ts has them.
    ...['productMatrices', 'useIntegerProducts'],
  ];
  it('are tried for every function that builds nodes', () => {
    const exported = Object.entries(onnx).filter(([, value]) => typeof value === 'function');
    const expected = exported.map(([name]) => name).filter((name) => !others.includes(name));
    expect(Object.keys(operatorCalls).sort()).toEqual(expected.sort());
  });
  const random = seededRandom('sizes');
  const draws = [
    { N: 1, L: 1, T: 16 },
    ...Array.from({ length: 4 }, () => ({
      N: 1 + random.integer(4),
      L: 1 + random.integer(6),
      T: 12 + random.integer(20),
    })),
  ];
  it.each(Object.keys(operatorCalls))('are those at run time, with all that %s is made of', async (name) => {
    const { graph, inputs } = callGraph();
    operatorCalls[name]!(inputs, graph);
    const built = graph.nodes.flatMap(({ outputs }) => outputs);
    const outputs = built.map((value, i) => addOutput(graph, value, `out_${i}`));
    expect(outputs.length).toBeGreaterThan(0);
    const session = await createSession(serializeModel(graph), { device: { kind: 'cpu' }, threads: 1 });
    for (const bindings of draws) {
      const results = await session.run(callFeeds(bindings));
      for (const { name, dtype, shape, producer } of outputs) {
        const what = `${producer!.name} ${onnx.formatShape(shape)} ${JSON.stringify(bindings)}`;
        expect(results[name]!.shape, what).toEqual(sizes(shape, bindings));
        expect(results[name]!.dtype, what).toBe(dtype);
      }
    }
    await session.dispose();
  });
});

/** Runs one function on constants. */
async function valuesOf(
  build: (graph: Graph, of: (shape: number[], values: number[]) => Value) => Value,
): Promise<number[]> {
  const graph = createGraph('values');
  const y = build(graph, (shape, values) => onnx.constant(graph, float32(shape, values)));
  addOutput(graph, y, 'y');
  return Array.from((await run(graph, {})).y!.data, Number);
}

const close = (values: readonly number[]): unknown => values.map((value) => expect.closeTo(value, 5));

describe('functions made of several operators', () => {
  it('linear is x W^T + b with the weight as its checkpoint has it', async () => {
    const y = await valuesOf((_, of) =>
      onnx.linear(of([1, 2, 2], [1, 2, 3, 4]), of([3, 2], [1, 0, 0, 1, 1, 1]), of([3], [10, 20, 30])),
    );
    expect(y).toEqual([11, 22, 33, 13, 24, 37]);
  });
  it('gelu and silu have their known values', async () => {
    // Phi(1) = 0.841345, Phi(-2) = 0.0227501; sigmoid(1) = 0.731059, sigmoid(-2) = 0.119203
    expect(await valuesOf((_, of) => onnx.gelu(of([3], [0, 1, -2])))).toEqual(
      close([0, 0.841345, -0.0455003]),
    );
    expect(await valuesOf((_, of) => onnx.silu(of([3], [0, 1, -2])))).toEqual(
      close([0, 0.731059, -0.238406]),
    );
  });
  it('logSoftmax bears large logits', async () => {
    const y = await valuesOf((_, of) => onnx.logSoftmax(of([2, 3], [1000, 1000, 999, -1, 0, 1])));
    const tail = Math.log(2 + Math.exp(-1));
    const low = Math.log(1 + Math.exp(-1) + Math.exp(-2));
    expect(y).toEqual(close([-tail, -tail, -1 - tail, -2 - low, -1 - low, -low]));
  });
  it('l2Normalize gives unit vectors and leaves zero alone', async () => {
    expect(await valuesOf((_, of) => onnx.l2Normalize(of([2, 2], [3, -4, 0, 0])))).toEqual(
      close([0.6, -0.8, 0, 0]),
    );
  });
  it('rmsNorm and layerNorm divide by what they say', async () => {
    const scale = [2, 1];
    // mean square (9 + 16) / 2 = 12.5, + 0.5 = 13
    const rms = await valuesOf((_, of) => onnx.rmsNorm(of([1, 2], [3, -4]), of([2], scale), 0.5));
    expect(rms).toEqual(close([6 / Math.sqrt(13), -4 / Math.sqrt(13)]));
    // mean -0.5, variance 12.25, + 0.75 = 13
    const layer = await valuesOf((_, of) =>
      layerNorm(of([1, 2], [3, -4]), of([2], scale), of([2], [1, 1]), 0.75),
    );
    expect(layer).toEqual(close([1 + 7 / Math.sqrt(13), 1 - 3.5 / Math.sqrt(13)]));
  });
  it('conv1d with stride, padding and groups', async () => {
    const x = [1, 2, 3, 4, 10, 20, 30, 40]; // [1, 2 channels, 4]
    const y = await valuesOf((_, of) =>
      onnx.conv1d(of([1, 2, 4], x), of([2, 1, 3], [1, 1, 1, 1, 0, -1]), of([2], [0.5, 0]), {
        stride: 2,
        padding: [1, 0],
        groups: 2,
      }),
    );
    expect(y).toEqual([1 + 2 + 0.5, 2 + 3 + 4 + 0.5, -20, 20 - 40]);
  });
  it('mod has the sign of the divisor', async () => {
    const y = await valuesOf((graph) => onnx.mod(onnx.int64Vector(graph, [-1, 5, -4]), 4));
    expect(y).toEqual([3, 1, 0]);
  });
  it('scalars of 16-bit floats are encoded, not cut to whole words', async () => {
    for (const dtype of ['float16', 'bfloat16'] as const) {
      expect(await valuesOf((graph) => cast(scalar(graph, -1.5, dtype), 'float32'))).toEqual([-1.5]);
    }
  });
  it('constants tell 0 from -0', async () => {
    const y = await valuesOf((graph) =>
      onnx.concat(
        [0, -0].map((zero) => onnx.constant(graph, float32([1], [zero]))),
        0,
      ),
    );
    expect(y.map((zero) => 1 / zero)).toEqual([Infinity, -Infinity]);
  });
});

describe('wrong shapes and types are refused where they are written', () => {
  const { graph, inputs: v } = callGraph();
  const wrong: [string, () => unknown, string][] = [
    ['an inner size that differs', () => matmul(v.x, v.matrix), 'matmul of x [N, L, 6] and matrix [N, 6]'],
    ['float32 with int64', () => add(v.x, onnx.unsqueeze(v.ids, [2])), 'Add: x is float32,'],
    [
      'float32 with float64 in a product',
      () => matmul(v.matrix, cast(v.square, 'float64')),
      'MatMul: matrix is float32,',
    ],
    [
      'a bias that does not fit',
      () => onnx.gemm(v.matrix, v.square, v.vector),
      'shapes [T] and [N, 6] do not broadcast',
    ],
    [
      'a bias that would stretch the product',
      () => onnx.gemm(v.square, v.square, onnx.unsqueeze(v.square, [0])),
      'cannot be a bias for [6, 6]',
    ],
    [
      'another element count',
      () => onnx.reshape(v.x, ['N', 'L', 5]),
      'cannot reshape [N, L, 6] to [N, L, 5]',
    ],
    [
      'two symbolic axes at once',
      () => onnx.reshape(onnx.reshape(v.x, [multiplyDims('N', 'L'), 6]), ['N', 'L', 6]),
      'moves two symbolic axes',
    ],
    ['an axis that is not there', () => onnx.softmax(v.x, 3), 'axis 3 of shape [N, L, 6]'],
    ['a negative begin', () => onnx.slice(v.x, 1, -2), 'slice -2:L of axis 1 of [N, L, 6]'],
    ['an end behind the axis', () => onnx.slice(v.x, 2, 0, 7), 'slice 0:7 of axis 2 of [N, L, 6]'],
    ['an end before the begin', () => onnx.slice(v.x, 1, 3, 2), 'slice 3:2 of axis 1 of [N, L, 6]'],
    ['squeezing a full axis', () => onnx.squeeze(v.x, [1]), 'squeeze of axis 1 of [N, L, 6]'],
    [
      'pieces that are not the whole',
      () => onnx.split(v.x, 2, [2, 3], onnx.int64Vector(graph, [2, 3])),
      'split of axis 2 of [N, L, 6] into [2, 3]',
    ],
    ['joining unequal axes', () => onnx.concat([v.x, v.y], 0), 'concat on axis 0'],
    ['joining unequal ranks', () => onnx.concat([v.row, v.square], 0), 'concat on axis 0'],
    ['expanding to fewer axes', () => onnx.expandLike(v.x, v.row), 'expand of [N, L, 6] to [6]'],
    [
      'a permutation that forgets an axis',
      () => onnx.transpose(v.x, [0, 2]),
      'transpose of [N, L, 6] by [0, 2]',
    ],
    ['a sum of unequal shapes', () => onnx.sum([v.x, v.y]), 'sum of [N, L, 6] and [N, 1, 6]'],
    [
      'branches of two types',
      () => onnx.where(v.mask, v.ids, cast(v.ids, 'float32')),
      'Where: ids is int64,',
    ],
    ['a remainder of floats', () => onnx.mod(v.x, 2), 'Mod needs integers'],
    [
      'a convolution over other channels',
      () => onnx.conv1d(v.x, v.kernel, undefined),
      'conv1d of [N, L, 6] with weight [6, 2, 3], 1 groups',
    ],
  ];
  it.each(wrong)('%s', (_, build, message) => {
    const known = graph.nodes.length;
    expect(build).toThrow(message);
    // Nodes built on the way stay unused and do no harm; the invalid node itself is never added.
    for (const node of graph.nodes.slice(known))
      expect(['Unsqueeze', 'Cast', 'Reshape']).toContain(node.operator);
  });
});
