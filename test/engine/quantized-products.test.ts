/** @file Products with quantized weights: values, gradients, opset, and how long dequantized values live. */

import { execFile } from 'node:child_process';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { fromBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema } from 'onnx-buf';
import { describe, expect, inject, it } from 'vitest';
import { gradients } from '../../src/engine/autodiff/index.js';
import {
  add,
  addInitializer,
  addInput,
  addOutput,
  asBlock,
  checkCudaKernels,
  createGraph,
  dequantizeLinear,
  type Graph,
  gemm,
  loop,
  mul,
  OPSET,
  QUANTIZED_OPSET,
  quantizedMatrix,
  reduceSum,
  serializeModel,
  tanh,
  type Value,
} from '../../src/engine/onnx/index.js';
import {
  type DType,
  dequantizeBlocks,
  float32,
  normalArray,
  type QuantizedBits,
  quantizeBlocks,
  seededRandom,
  tensor,
} from '../../src/engine/tensor/index.js';
import { run } from './onnx-operators.js';

const [OUT, WIDTH, BLOCK] = [6, 64, 32];
const widths: readonly QuantizedBits[] = [4, 8];

/** A random matrix in blocks, and its values. */
function example(bits: QuantizedBits, name = 'weight') {
  const random = seededRandom(bits, name);
  const blocks = quantizeBlocks(normalArray(random, OUT * WIDTH, 0.5), bits, BLOCK);
  const count = (OUT * WIDTH) / BLOCK;
  const dtype: DType = bits === 4 ? 'uint4' : 'int8';
  const data = bits === 4 ? blocks.integers : new Int8Array(blocks.integers.buffer);
  return {
    values: dequantizeBlocks(blocks),
    inGraph: (graph: Graph) => ({
      integers: addInitializer(graph, name, tensor(dtype, [count, BLOCK], data as Int8Array)),
      scales: addInitializer(graph, `${name}.scale`, float32([count], decoded(blocks.scales))),
      zeroPoints:
        blocks.zeroPoints &&
        addInitializer(graph, `${name}.zero`, tensor('uint4', [count], blocks.zeroPoints)),
    }),
  };
}

/** float16 words by hand: 1 sign bit, 5 exponent bits, 10 fraction bits. */
function decoded(words: Uint16Array): number[] {
  return Array.from(words, (word) => {
    const [exponent, fraction] = [(word >> 10) & 31, word & 1023];
    const size = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
    return word & 0x8000 ? -size : size;
  });
}

const quantized = (graph: Graph, matrix: ReturnType<typeof example>): Value =>
  quantizedMatrix(matrix.inGraph(graph), [OUT, WIDTH], 'float32');

describe.each(widths)('weights in %i bits', (bits) => {
  const matrix = example(bits);

  it('are dequantized as they are outside of onnxruntime', async () => {
    const graph = createGraph('dequantization');
    addOutput(graph, dequantizeLinear(matrix.inGraph(graph)), 'values');
    const { values } = await run(graph, {});
    expect([...(values!.data as Float32Array)]).toEqual([...matrix.values]);
  });

  /** sum(tanh(x W') g), with gradients of x and g, over a quantized or a float weight. */
  const lossGraph = (weightOf: (graph: Graph) => Value, recompute: boolean): Graph => {
    const graph = createGraph('loss');
    const x = addInput(graph, 'x', 'float32', ['N', WIDTH]);
    const g = addInput(graph, 'g', 'float32', ['N', OUT]);
    const weight = weightOf(graph);
    const y = asBlock(graph, [x], () => tanh(gemm(x, weight, undefined, { transB: true })));
    const back = gemm(mul(y, g), weight); // a product from the other side
    const loss = reduceSum(mul(back, x));
    addOutput(graph, loss, 'loss');
    const [dx, dg] = gradients(loss, [x, g], { recompute });
    addOutput(graph, dx!, 'dx');
    addOutput(graph, dg!, 'dg');
    return graph;
  };
  const random = seededRandom(5, 'inputs');
  const feeds = {
    x: float32([3, WIDTH], normalArray(random, 3 * WIDTH, 0.3)),
    g: float32([3, OUT], normalArray(random, 3 * OUT, 1)),
  };
  const asFloats = (graph: Graph): Value =>
    addInitializer(graph, 'weight', float32([OUT, WIDTH], matrix.values));

  it.each([false, true])(
    'give the values and gradients of the same float weights (recomputed: %s)',
    async (recompute) => {
      const exact = await run(lossGraph(asFloats, recompute), feeds);
      const made = await run(
        lossGraph((graph) => quantized(graph, matrix), recompute),
        feeds,
      );
      for (const name of ['loss', 'dx', 'dg']) {
        const [ours, theirs] = [made[name]!.data, exact[name]!.data] as [Float32Array, Float32Array];
        ours.forEach((value, i) => {
          expect(Math.abs(value - theirs[i]!), name).toBeLessThan(1e-5 * (1 + Math.abs(theirs[i]!)));
        });
      }
    },
  );

  it('give gradients that agree with finite differences', async () => {
    const graph = lossGraph((inner) => quantized(inner, matrix), false);
    const { dx } = await run(graph, feeds);
    for (const element of [0, 50, 130, 191]) {
      const step = 1e-2;
      const losses = [];
      for (const sign of [1, -1]) {
        const moved = Float32Array.from(feeds.x.data);
        moved[element]! += sign * step;
        losses.push(Number((await run(graph, { ...feeds, x: float32([3, WIDTH], moved) })).loss!.data[0]));
      }
      const difference = (losses[0]! - losses[1]!) / (2 * step);
      expect((dx!.data as Float32Array)[element]).toBeCloseTo(difference, 1);
      expect(Math.abs(difference)).toBeGreaterThan(1e-3);
    }
  });

  it('are dequantized once for each product, in the graph of the product', () => {
    const graph = lossGraph((inner) => quantized(inner, matrix), false);
    const products = graph.nodes.filter(({ operator }) => operator === 'Gemm');
    const factors = products.map(({ inputs }) => inputs[1]!.producer!.inputs[0]!.producer!);
    expect(factors.every(({ operator }) => operator === 'DequantizeLinear')).toBe(true);
    expect(new Set(factors).size).toBe(products.length);
    expect(graph.nodes.filter(({ operator }) => operator === 'DequantizeLinear')).toHaveLength(
      products.length,
    );

    const root = createGraph('root');
    const x = addInput(root, 'x', 'float32', [3, WIDTH]);
    const trips = addInput(root, 'trips', 'int64', []);
    const weight = quantized(root, matrix);
    const { states } = loop(trips, 'K', [x], (body, _, [state]) => {
      const y = gemm(gemm(state!, weight, undefined, { transB: true }), weight);
      expect(body.nodes.filter(({ operator }) => operator === 'DequantizeLinear')).toHaveLength(2);
      return { states: [y], collected: [] };
    });
    addOutput(root, states[0]!, 'y');
    expect(root.nodes.map(({ operator }) => operator)).toEqual(
      ['Loop', 'Identity'].slice(0, root.nodes.length),
    );
  });
});

describe('graphs with quantized weights', () => {
  const imported = (graph: Graph): number =>
    Number(fromBinary(ModelProtoSchema, serializeModel(graph)).opsetImport[0]!.version);
  it('import the opset that has 4-bit integers, others the usual one', () => {
    const plain = createGraph('plain');
    addOutput(plain, addInput(plain, 'x', 'float32', [1]), 'y');
    const nested = createGraph('nested');
    const x = addInput(nested, 'x', 'float32', [3, WIDTH]);
    const trips = addInput(nested, 'trips', 'int64', []);
    const weight = quantized(nested, example(4));
    const { states } = loop(trips, 'K', [x], (_, __, [state]) => ({
      states: [gemm(gemm(state!, weight, undefined, { transB: true }), weight)],
      collected: [],
    }));
    addOutput(nested, add(states[0]!, x), 'y');
    expect(imported(plain)).toBe(OPSET);
    expect(imported(nested)).toBe(QUANTIZED_OPSET);
  });
  it.each([4, 8] as const)('have kernels on CUDA: %i bits', (bits) => {
    for (const dtype of ['float32', 'float16', 'bfloat16'] as const) {
      const graph = createGraph('cuda');
      const blocks = example(bits).inGraph(graph);
      const scales = addInitializer(graph, 'half', tensor('float16', blocks.scales.shape as number[]));
      const x = addInput(graph, 'x', dtype, ['N', WIDTH]);
      const weight = quantizedMatrix({ ...blocks, scales }, [OUT, WIDTH], dtype);
      addOutput(graph, gemm(x, weight, undefined, { transB: true }), 'y');
      expect(() => checkCudaKernels(graph)).not.toThrow();
    }
  });
  it('are refused if the scales or the shape do not fit', () => {
    const graph = createGraph('wrong');
    const blocks = example(8).inGraph(graph);
    const scales = addInitializer(graph, 'others', float32([3], [1, 2, 3]));
    expect(() => dequantizeLinear({ ...blocks, scales })).toThrow('others [3] is not one value for each row');
    expect(() => quantizedMatrix(blocks, [OUT, WIDTH + 1], 'float32')).toThrow('is no matrix [6, 65]');
    const weight = quantizedMatrix(blocks, [OUT, WIDTH], 'float32');
    expect(() => tanh(weight)).toThrow(
      'Tanh reads weight/dequantized; quantized weights can only be factors of gemm',
    );
  });
});

describe('the memory of a step over quantized weights', () => {
  const [LAYERS, SIDE] = [24, 1024];
  /** A layer in float32: 1024 x 1024 x 4 = 4 MiB. */
  const LAYER_BYTES = 4 * SIDE * SIDE;

  /**
   * Growth of memory in a training run of one step, apart from the weights in their file.
   * @param kept dequantize each weight once, outside of the step
   */
  const growth = async (bits: QuantizedBits, recompute: boolean, kept = false): Promise<number> => {
    const folder = await mkdtemp(join(inject('diskFolder'), 'emoq-quantized-'));
    const engine = new URL('../../dist/engine/', import.meta.url).href;
    const path = join(folder, 'run.mjs');
    await writeFile(
      path,
      `
      import { ftruncateSync, openSync, readFileSync, writeFileSync } from 'node:fs';
      import * as onnx from '${engine}onnx/index.js';
      import { createSession } from '${engine}runtime/index.js';
      import { bytesOf, float32, int64, tensor } from '${engine}tensor/index.js';
      import { buildTrainingGraph, stackBatches } from '${engine}training/index.js';
      const [layers, side, bits] = [${LAYERS}, ${SIDE}, ${bits}];
      const file = '${join(folder, 'weights.bin')}';
      let end = 0;
      const stored = (graph, name, dtype, shape) => {
        const byteLength = bytesOf(dtype, shape.reduce((a, b) => a * b, 1));
        const offset = end;
        end += byteLength;
        return onnx.addInitializer(graph, name, { path: file, offset, byteLength }, dtype, shape);
      };
      const frozen = (graph, i) => {
        const blocks = (side * side) / 32;
        const integers = stored(graph, 'w' + i, bits === 4 ? 'uint4' : 'int8', [blocks, 32]);
        const scales = stored(graph, 's' + i, 'float16', [blocks]);
        const zeroPoints = bits === 4 ? stored(graph, 'z' + i, 'uint4', [blocks]) : undefined;
        const matrix = { integers, scales, zeroPoints };
        return ${kept}
          ? onnx.identity(onnx.cast(onnx.reshape(onnx.dequantizeLinear(matrix), [side, side]), 'float32'))
          : onnx.quantizedMatrix(matrix, [side, side], 'float32');
      };
      const batchInputs = [{ name: 'x', dtype: 'float32', shape: ['batch', side] }];
      const training = buildTrainingGraph({
        name: 'frozen',
        parameters: [{ key: 'scale', shape: [side] }],
        batch: batchInputs,
        optimizer: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, clipNorm: 1 },
        schedule: { warmupSteps: 0, totalSteps: 10 },
        recompute: ${recompute},
        step: ({ root, body, parameters, batch }) => {
          let h = onnx.mul(batch.x, parameters.get('scale'));
          for (let i = 0; i < layers; i++) {
            const weight = frozen(root, i);
            const x = h;
            h = onnx.asBlock(body, [x], () => onnx.add(x, onnx.tanh(onnx.linear(x, weight))));
          }
          return { loss: onnx.reduceMean(onnx.mul(h, h)), reported: {} };
        },
      });
      ftruncateSync(openSync(file, 'w'), end);
      const { model, weightsFolder } = onnx.serializeInPlace(training.graph);
      const session = await createSession(model, { device: { kind: 'cpu' }, threads: 1, weightsFolder, disablePrepacking: true, withoutArena: true });
      const status = (kind) => 1024 * Number(new RegExp(kind + ':\\\\s+(\\\\d+)').exec(readFileSync('/proc/self/status', 'utf8'))[1]);
      const state = Object.fromEntries(training.state.map(({ input, shape }) => [input, tensor('float32', shape)]));
      const before = status('VmRSS');
      writeFileSync('/proc/self/clear_refs', '5'); // the peak counts from here
      await session.run({
        ...state,
        ...stackBatches(batchInputs, [{ tensors: { x: tensor('float32', [8, side]) }, sizes: { batch: 8 } }]),
        learning_rate: float32([], [1e-5]), step: int64([], [0]),
      });
      console.log(status('VmHWM') - before - end);
    `,
    );
    const { stdout } = await promisify(execFile)(process.execPath, [path]);
    return Number(stdout);
  };

  it.each([
    [4, false],
    [4, true],
    [8, false],
    [8, true],
  ] as const)('holds about one layer in float32: %i bits, recomputed %s', async (bits, recompute) => {
    const bytes = await growth(bits, recompute);
    console.log(
      `${bits} bits, recomputed ${recompute}: ${(bytes / LAYER_BYTES).toFixed(1)} of ${LAYERS} layers`,
    );
    expect(bytes).toBeLessThan(5 * LAYER_BYTES);
  });

  it('would hold all of them if each were dequantized once', async () => {
    expect(await growth(8, false, true)).toBeGreaterThan(0.9 * LAYERS * LAYER_BYTES);
  });
});
