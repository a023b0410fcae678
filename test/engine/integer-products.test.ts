/** @file Products in integers of 8 and 4 bits against products in float32. */

import { describe, expect, it } from 'vitest';
import {
  addInitializer,
  addInput,
  addOutput,
  cast,
  createGraph,
  type Graph,
  gather,
  gemm,
  linear,
  productMatrices,
  reshape,
  transpose,
  useIntegerProducts,
  type Value,
} from '../../src/engine/onnx/index.js';
import { float32, normalArray, seededRandom, type Tensor, tensor } from '../../src/engine/tensor/index.js';
import { quantizeMatrix, quantizeRows } from '../../src/inference/export/integer-model.js';
import { run } from './onnx-operators.js';

const [ROWS, WIDTH, OUT] = [5, 96, 64];
const random = (name: string, shape: readonly number[], deviation = 1): Tensor<'float32'> =>
  tensor(
    'float32',
    shape,
    normalArray(
      seededRandom('integer products', name),
      shape.reduce((a, b) => a * b, 1),
      deviation,
    ),
  );
const weight = random('weight', [OUT, WIDTH]);
const filters = random('filters', [OUT, 32, 3]);
const bias = random('bias', [OUT]);

type Build = (graph: Graph, x: Value) => Value;
function graphOf(build: Build): Graph {
  const graph = createGraph('products');
  addOutput(graph, build(graph, addInput(graph, 'x', 'float32', ['rows', WIDTH])), 'y');
  return graph;
}

/** The graph with its products in integers. */
function integerGraph(build: Build, bits: 8 | 4 = 8): Graph {
  const graph = graphOf(build);
  const sources = new Map(graph.initializers.map(({ name, content }) => [name, content]));
  useIntegerProducts(graph, (matrix) => {
    const content = sources.get(matrix.key);
    if (content?.kind !== 'inside') throw new Error(`${matrix.key} is not in the graph`);
    const { data, shape } = content.tensor as Tensor<'float32'>;
    if (bits === 4) {
      const { blocks, scales, zeroPoints } = quantizeRows(data, shape, matrix);
      const [out, count] = [matrix.out, matrix.width / 32];
      const initializer = (name: string, made: Tensor): Value =>
        addInitializer(graph, `${matrix.key}.${name}`, made);
      return {
        blocks: initializer('int4', tensor('uint8', [out, count, 16], blocks)),
        scales: initializer('scale', tensor('float32', [out, count], scales)),
        zeroPoints: initializer('zero', tensor('uint8', [out, Math.ceil(count / 2)], zeroPoints)),
      };
    }
    const { integers, scales } = quantizeMatrix(data, shape, matrix);
    return {
      integers: addInitializer(
        graph,
        `${matrix.key}.int8`,
        tensor('int8', [matrix.width, matrix.out], integers),
      ),
      scales: addInitializer(graph, `${matrix.key}.scale`, float32([matrix.out], [...scales])),
    };
  });
  return graph;
}
const operators = (graph: Graph): string[] => graph.nodes.map(({ operator }) => operator);
const outputOf = async (graph: Graph, x: Tensor): Promise<Float32Array> =>
  (await run(graph, { x })).y!.data as Float32Array;

/** The largest error of each row, as a share of what its sums are made of. */
function errors(values: Float32Array, wanted: Float32Array): number[] {
  return Array.from({ length: values.length / OUT }, (_, row) => {
    const [own, exact] = [values, wanted].map((each) => each.subarray(row * OUT, (row + 1) * OUT));
    const size = Math.sqrt(exact!.reduce((sum, each) => sum + each * each, 0) / OUT);
    return Math.max(...own!.map((value, at) => Math.abs(value - exact![at]!))) / size;
  });
}

const withBias: Build = (graph, x) =>
  linear(x, addInitializer(graph, 'w', weight), addInitializer(graph, 'b', bias));
const ofWindows: Build = (graph, x) =>
  linear(x, reshape(transpose(addInitializer(graph, 'w', filters), [0, 2, 1]), [OUT, WIDTH]));

describe('a product in integers', () => {
  it.each([
    ['with a bias', withBias],
    ['without', (graph: Graph, x: Value) => linear(x, addInitializer(graph, 'w', weight))],
    ['with a convolution over windows', ofWindows],
  ] as const)('is within rounding of the product in float32, %s', async (_, build) => {
    const x = random('x', [ROWS, WIDTH]);
    const integers = integerGraph(build);
    expect(operators(integers)).toContain('MatMulInteger');
    expect(operators(integers)).not.toContain('Gemm');
    expect(integers.initializers.map(({ name }) => name)).not.toContain('w');
    const wanted = await outputOf(graphOf(build), x);
    const found = errors(await outputOf(integers, x), wanted);
    expect(Math.max(...found)).toBeLessThan(0.05);
    expect(Math.max(...found)).toBeGreaterThan(1e-4); // these are not the floats themselves
  });

  it.each([
    ['with a bias', withBias, weight, [0, 1], bias.data],
    ['with a convolution over windows', ofWindows, filters, [0, 2, 1], new Float32Array(OUT)],
  ] as const)(
    'of 4 bits is that of the dequantized blocks, %s',
    async (_, build, { data, shape }, axes, added) => {
      const x = random('x', [ROWS, WIDTH]);
      const integers = integerGraph(build, 4);
      expect(operators(integers)).toContain('MatMulNBits');
      expect(operators(integers)).not.toContain('Gemm');
      expect(integers.initializers.map(({ name }) => name)).not.toContain('w');
      const found = await outputOf(integers, x);
      expect(Math.max(...errors(found, await outputOf(graphOf(build), x)))).toBeLessThan(0.5);

      const { blocks, scales, zeroPoints } = quantizeRows(data, shape, { axes, out: OUT, width: WIDTH });
      const [count, packed] = [WIDTH / 32, Math.ceil(WIDTH / 64)];
      const half = (bytes: Uint8Array, at: number): number => (bytes[at >> 1]! >> (4 * (at & 1))) & 15;
      const element = (row: number, at: number): number => {
        const block = Math.floor(at / 32);
        const zero = half(zeroPoints.subarray(row * packed, (row + 1) * packed), block);
        return (half(blocks, row * WIDTH + at) - zero) * scales[row * count + block]!;
      };
      const wanted = Float32Array.from({ length: ROWS * OUT }, (_, index) => {
        const [row, out] = [Math.floor(index / OUT), index % OUT];
        let sum: number = added[out]!;
        for (let at = 0; at < WIDTH; at++) sum += x.data[row * WIDTH + at]! * element(out, at);
        return sum;
      });
      expect(Math.max(...errors(found, wanted))).toBeLessThan(0.05); // the activations are in 8 bits
    },
  );

  it('of 4 bits of a row has the same bits whatever the other rows are', async () => {
    const x = random('x', [ROWS, WIDTH]);
    for (let at = 0; at < WIDTH; at++) x.data[WIDTH + at]! *= 1e4;
    const graph = integerGraph(withBias, 4);
    const together = await outputOf(graph, x);
    for (let row = 0; row < ROWS; row++) {
      const own = tensor('float32', [1, WIDTH], x.data.slice(row * WIDTH, (row + 1) * WIDTH));
      expect(await outputOf(graph, own)).toEqual(together.slice(row * OUT, (row + 1) * OUT));
    }
  });

  it('of a row has the same bits whatever the other rows are, however large they are', async () => {
    const x = random('x', [ROWS, WIDTH]);
    for (let at = 0; at < WIDTH; at++) x.data[WIDTH + at]! *= 1e4;
    x.data.fill(0, 2 * WIDTH, 3 * WIDTH);
    const graph = integerGraph(withBias);
    const together = await outputOf(graph, x);
    for (let row = 0; row < ROWS; row++) {
      const own = tensor('float32', [1, WIDTH], x.data.slice(row * WIDTH, (row + 1) * WIDTH));
      expect(await outputOf(graph, own)).toEqual(together.slice(row * OUT, (row + 1) * OUT));
    }
    expect(together.slice(2 * OUT, 3 * OUT)).toEqual(bias.data); // a row of zeros
    expect(Math.max(...errors(together, await outputOf(graphOf(withBias), x)))).toBeLessThan(0.05);
  });

  it('shares the integers of its rows with other products of them', () => {
    const graph = integerGraph((own, x) => {
      const [a, b] = ['a', 'b'].map((name) =>
        linear(x, addInitializer(own, name, random(name, [OUT, WIDTH]))),
      );
      return gemm(a!, b!, undefined, { transB: true });
    });
    const count = (operator: string): number => operators(graph).filter((each) => each === operator).length;
    expect([count('QuantizeLinear'), count('MatMulInteger'), count('Gemm')]).toEqual([1, 2, 1]);
  });
});

describe('the matrices that can be in integers', () => {
  it('are those of products, as stored or in another order', () => {
    const [plain, windows] = [withBias, ofWindows].map((build) => productMatrices(graphOf(build)));
    expect(plain).toEqual([{ key: 'w', axes: [0, 1], out: OUT, width: WIDTH }]);
    expect(windows).toEqual([{ key: 'w', axes: [0, 2, 1], out: OUT, width: WIDTH }]);
    const stored = graphOf((graph, x) =>
      linear(x, cast(addInitializer(graph, 'w', tensor('bfloat16', [OUT, WIDTH])), 'float32')),
    );
    expect(productMatrices(stored).map(({ key }) => key)).toEqual(['w']);
  });

  it.each([
    ['small', (graph: Graph, x: Value) => linear(x, addInitializer(graph, 'w', random('w', [8, WIDTH])))],
    [
      'read by something else too',
      (graph: Graph, x: Value) => {
        const w = addInitializer(graph, 'w', weight);
        const ids = addInitializer(graph, 'ids', tensor('int64', [OUT]));
        return gemm(linear(x, w), linear(gather(w, ids, 0), w), undefined, { transB: true });
      },
    ],
    [
      'in a product with a factor',
      (graph: Graph, x: Value) => linear(x, addInitializer(graph, 'w', weight), undefined, 2),
    ],
    ['computed', (_: Graph, x: Value) => gemm(x, x, undefined, { transB: true })],
  ] as const)('are not those that are %s', (_, build) => {
    expect(productMatrices(graphOf(build))).toEqual([]);
    expect(operators(integerGraph(build))).not.toContain('MatMulInteger');
  });
});
