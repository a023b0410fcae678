/** @file A call of every function that builds nodes, on symbolic shapes; and helpers to run the results. */

import {
  add,
  addDims,
  addInput,
  and,
  arange,
  cast,
  clip,
  concat,
  constant,
  conv1d,
  cos,
  countAlong,
  createGraph,
  type DimBindings,
  dequantizeLinear,
  detached,
  deviceRange,
  div,
  equal,
  erf,
  exp,
  expand,
  expandLike,
  type Graph,
  gather,
  gelu,
  gemm,
  greaterOrEqual,
  identity,
  int64Vector,
  l2Normalize,
  layerNorm,
  less,
  linear,
  log,
  logSoftmax,
  loop,
  matmul,
  matmulInteger,
  matmulNBits,
  max,
  min,
  mod,
  mul,
  multiplyDims,
  neg,
  not,
  onDevice,
  pad,
  pow,
  quantizedMatrix,
  quantizeLinear,
  reduceMax,
  reduceMean,
  reduceSum,
  reduceSumSquare,
  relu,
  reshape,
  reshapeLike,
  reshapeTo,
  rmsNorm,
  scalar,
  scatterAddRows,
  serializeModel,
  shapeOf,
  sigmoid,
  silu,
  sin,
  sizeOf,
  slice,
  sliceTo,
  softmax,
  split,
  sqrt,
  squeeze,
  sub,
  sum,
  tanh,
  transpose,
  unsqueeze,
  type Value,
  where,
  zerosLike,
} from '../../src/engine/onnx/index.js';
import { createSession, type Tensors } from '../../src/engine/runtime/index.js';
import { elementCount, seededRandom, type Tensor, tensor } from '../../src/engine/tensor/index.js';
import { type Fixed, floats, sizes, wholeNumbers } from './finite-differences.js';

/** Inputs available to every call. Floats are float32, positive. */
export const floatInputs = {
  x: ['N', 'L', 6],
  y: ['N', 1, 6],
  matrix: ['N', 6],
  square: [6, 6],
  row: [6],
  scale: [6],
  wave: ['N', 4, 'T'],
  kernel: [6, 2, 3],
  vector: ['T'],
} as const;

export const fixedInputs: Readonly<Record<string, Fixed>> = {
  ids: { dtype: 'int64', shape: ['N', 'L'], below: 6 },
  mask: { dtype: 'bool', shape: ['N', 'L'], below: 2 },
};

type Inputs = Readonly<Record<keyof typeof floatInputs | 'ids' | 'mask', Value>>;
type Build = (inputs: Inputs, graph: Graph) => Value | readonly Value[];

/** A size at run time as int64 [1]. */
const size = (x: Value, axis: number): Value => unsqueeze(sizeOf(x, axis), [0]);

/** A [6, 6] matrix in blocks of 2. */
function blocks(graph: Graph, dtype: 'uint4' | 'int8') {
  return {
    integers: constant(graph, tensor(dtype, [18, 2])),
    scales: constant(graph, tensor('float32', [18])),
    zeroPoints: dtype === 'int8' ? undefined : constant(graph, tensor(dtype, [18])),
  };
}

/** By the exported function's name. */
export const operatorCalls: Readonly<Record<string, Build>> = {
  add: (v) => [add(v.x, v.y), add(v.x, 1), add(2, v.row), add(v.row, v.x)],
  and: (v) => and(v.mask, not(v.mask)),
  arange: (v) => arange(sizeOf(v.x, 1), 'L'),
  cast: (v) => [cast(v.x, 'float64'), cast(v.ids, 'float32'), cast(v.mask, 'int64'), cast(v.x, 'float16')],
  clip: (v) => clip(v.x, -1, 1),
  concat: (v) => [concat([v.x, v.x], 1), concat([v.x, v.x, v.x], -1), concat([v.matrix, v.square], 0)],
  conv1d: (v) => [
    conv1d(v.wave, v.kernel, v.row, { stride: 2, padding: [2, 1], groups: 2 }),
    conv1d(conv1d(v.wave, v.kernel, undefined, { stride: 3, groups: 2 }), v.kernel, v.row, {
      padding: [1, 2],
      groups: 3,
      stride: 2,
    }),
  ],
  cos: (v) => cos(v.x),
  countAlong: (v) => [identity(countAlong(v.x, [2], 'float32')), countAlong(v.x, [0, 1], 'float32')],
  deviceRange: (v) => deviceRange(sizeOf(v.x, 1), add(sizeOf(v.x, 1), sizeOf(v.x, 0)), 'N'),
  dequantizeLinear: (_, graph) => [
    dequantizeLinear(blocks(graph, 'uint4')),
    dequantizeLinear(blocks(graph, 'int8')),
  ],
  detached: (v) => detached(v.x),
  div: (v) => [div(v.x, v.y), div(v.x, 3), div(1, v.x)],
  equal: (v) => [equal(v.x, v.y), equal(v.ids, 2)],
  erf: (v) => erf(v.x),
  exp: (v) => exp(v.x),
  expand: (v, graph) => expand(v.row, concat([size(v.x, 1), int64Vector(graph, [6])], 0), ['L', 6]),
  expandLike: (v) => [expandLike(v.row, v.x), expandLike(v.y, v.x), expandLike(v.x, v.x)],
  gather: (v) => [
    gather(v.square, v.ids, 0),
    gather(v.square, v.ids, 1),
    gather(v.x, scalar(v.x.graph, 3, 'int64'), -1),
  ],
  gelu: (v) => gelu(v.x),
  gemm: (v) => [
    gemm(v.matrix, v.square, v.row),
    gemm(v.matrix, v.matrix, undefined, { transA: true, alpha: 0.5 }),
    gemm(v.matrix, v.matrix, scalar(v.x.graph, 1), { transB: true }),
    gemm(v.square, v.matrix, undefined, { transA: true, transB: true }),
  ],
  greaterOrEqual: (v) => greaterOrEqual(v.x, v.y),
  identity: (v) => identity(v.x),
  int64Vector: (_, graph) => identity(int64Vector(graph, [3, 1, 4])),
  l2Normalize: (v) => l2Normalize(v.x),
  layerNorm: (v) => layerNorm(v.x, v.scale, v.row, 1e-5),
  less: (v) => less(v.x, 1),
  linear: (v) => [linear(v.x, v.square, v.row), linear(v.matrix, v.square), linear(v.row, v.square, v.row)],
  log: (v) => log(v.x),
  logSoftmax: (v) => logSoftmax(v.x),
  loop: (v) => {
    const { states, collected } = loop(sizeOf(v.x, 1), 'L', [v.row], (_, iteration, [state]) => {
      const one = gather(v.x, iteration, 1); // [N, 6]
      return {
        states: [add(state!, reduceSum(one, [0]))],
        collected: [{ name: 'one', value: one }],
      };
    });
    return [...states, ...collected];
  },
  matmul: (v) => [matmul(v.x, v.square), matmul(v.y, transpose(v.x, [0, 2, 1])), matmul(v.square, v.square)],
  matmulInteger: (v) =>
    matmulInteger(quantizeLinear(v.matrix, 0.1, 128), constant(v.matrix.graph, tensor('int8', [6, 5])), 128),
  matmulNBits: ({ matrix }) => {
    const initializer = (dtype: 'float32' | 'uint8', shape: number[]) =>
      constant(matrix.graph, tensor(dtype, shape));
    return matmulNBits(matmul(matrix, initializer('float32', [6, 32])), {
      blocks: initializer('uint8', [5, 1, 16]),
      scales: initializer('float32', [5, 1]),
      zeroPoints: initializer('uint8', [5, 1]),
    });
  },
  max: (v) => [max(v.x, v.y), max(v.x, 1)],
  min: (v) => [min(v.x, v.y), min(1, v.x)],
  mod: (v) => mod(v.ids, 4),
  mul: (v) => [mul(v.x, v.y), mul(v.x, v.x), mul(2, v.ids)],
  neg: (v) => neg(v.x),
  not: (v) => not(v.mask),
  onDevice: (v) => onDevice(sizeOf(v.x, 0)),
  pad: (v, graph) => [
    pad(v.x, 1, size(v.x, 0), int64Vector(graph, [2]), addDims(addDims('N', 'L'), 2)),
    pad(v.x, -1, int64Vector(graph, [1]), int64Vector(graph, [0]), 7),
  ],
  pow: (v) => [pow(v.x, 2), pow(v.x, v.y)],
  quantizeLinear: (v) => [quantizeLinear(v.x, 0.1, 128), quantizeLinear(v.matrix, 2, 0)],
  quantizedMatrix: (v, graph) => [
    gemm(v.matrix, quantizedMatrix(blocks(graph, 'uint4'), [6, 6], 'float32')),
    gemm(v.matrix, quantizedMatrix(blocks(graph, 'int8'), [6, 6], 'float32'), v.row, { transB: true }),
  ],
  reduceMax: (v) => [reduceMax(v.x), reduceMax(v.x, [1]), reduceMax(v.x, [0, -1], true)],
  reduceMean: (v) => [reduceMean(v.x), reduceMean(v.x, [1]), reduceMean(v.x, [0, -1], true)],
  reduceSum: (v) => [
    reduceSum(v.x),
    reduceSum(v.x, [1]),
    reduceSum(v.x, [0, -1], true),
    reduceSum(reduceSum(v.x)),
  ],
  reduceSumSquare: (v) => [reduceSumSquare(v.x), reduceSumSquare(v.x, [1, 2], true)],
  reshape: (v) => [
    reshape(v.x, ['N', 'L', 2, 3]),
    reshape(v.x, [multiplyDims('N', 'L'), 6]),
    reshape(v.x, [multiplyDims(multiplyDims('N', 'L'), 6)]),
    reshape(v.matrix, [2, multiplyDims('N', 3)]),
    reshape(v.x, v.x.shape),
  ],
  reshapeLike: (v) => reshapeLike(reshape(v.x, [multiplyDims('N', 'L'), 6]), v.x),
  reshapeTo: (v, graph) =>
    reshapeTo(v.x, concat([int64Vector(graph, [-1]), int64Vector(graph, [6])], 0), [
      multiplyDims('N', 'L'),
      6,
    ]),
  rmsNorm: (v) => [
    rmsNorm(v.x, v.scale, 1e-6),
    rmsNorm(cast(v.x, 'float16'), cast(v.scale, 'float16'), 1e-6),
  ],
  scalar: (_, graph) => [identity(scalar(graph, 2.5)), identity(scalar(graph, -3, 'int64'))],
  scatterAddRows: (v) =>
    scatterAddRows(
      v.square,
      reshape(v.ids, [multiplyDims('N', 'L')]),
      reshape(v.x, [multiplyDims('N', 'L'), 6]),
    ),
  shapeOf: (v) => shapeOf(v.x),
  sigmoid: (v) => sigmoid(v.x),
  silu: (v) => silu(v.x),
  sin: (v) => sin(v.x),
  sizeOf: (v) => [sizeOf(v.x, 1), sizeOf(v.x, -3), identity(sizeOf(v.x, 2))],
  slice: (v) => [
    slice(v.x, 2, 1, 4),
    slice(v.x, -1, 5),
    slice(concat([v.x, v.x], 1), 1, 1),
    slice(v.x, 1, 0, 1),
  ],
  sliceTo: (v, graph) =>
    sliceTo(concat([v.x, v.x], 1), [1, 2], concat([size(v.x, 1), int64Vector(graph, [3])], 0), ['N', 'L', 3]),
  softmax: (v) => [softmax(v.x), softmax(v.x, 1)],
  split: (v, graph) => [
    ...split(v.x, -1, [1, 2, 3], int64Vector(graph, [1, 2, 3])),
    ...split(concat([v.x, v.x], 1), 1, ['L', 'L'], concat([size(v.x, 1), size(v.x, 1)], 0)),
  ],
  sqrt: (v) => sqrt(v.x),
  squeeze: (v) => [squeeze(v.y, [1]), squeeze(unsqueeze(v.row, [0, -1]), [-1, 0])],
  sub: (v) => [sub(v.x, v.y), sub(1, v.x), sub(v.ids, 1)],
  sum: (v) => [sum([v.x, v.x, v.x]), sum([v.x, v.x])],
  tanh: (v) => tanh(v.x),
  relu: (v) => relu(v.x),
  transpose: (v) => [transpose(v.x, [2, 0, 1]), transpose(v.matrix, [1, 0])],
  unsqueeze: (v) => [unsqueeze(v.x, [0, -1]), unsqueeze(v.row, [1]), unsqueeze(reduceSum(v.x), [0])],
  where: (v) => [
    where(unsqueeze(v.mask, [2]), v.x, v.y),
    where(v.mask, 1, 0),
    where(less(v.row, 1), -1, v.x),
  ],
  zerosLike: (v) => [zerosLike(v.x), zerosLike(v.ids), zerosLike(reduceSum(v.x))],
};

/** A graph with all inputs that a call may use. */
export function callGraph(): { graph: Graph; inputs: Inputs } {
  const graph = createGraph('calls');
  const floating = Object.entries(floatInputs).map(([name, shape]) =>
    addInput(graph, name, 'float32', shape),
  );
  const whole = Object.entries(fixedInputs).map(([name, { dtype, shape }]) =>
    addInput(graph, name, dtype, shape),
  );
  const inputs = Object.fromEntries([...floating, ...whole].map((value) => [value.name, value]));
  return { graph, inputs: inputs as unknown as Inputs };
}

/** Random feeds for all of them. */
export function callFeeds(bindings: DimBindings): Tensors {
  const random = seededRandom('calls', JSON.stringify(bindings));
  const feeds: Record<string, Tensor> = {};
  for (const [name, shape] of Object.entries(floatInputs)) {
    const numbers = sizes(shape, bindings);
    const values = Array.from({ length: elementCount(numbers) }, () => 0.1 + random.uniform());
    feeds[name] = floats('float32', numbers, values);
  }
  for (const [name, { dtype, shape, below }] of Object.entries(fixedInputs)) {
    feeds[name] = wholeNumbers(dtype, sizes(shape, bindings), below, random);
  }
  return feeds;
}

/** Serialises a graph and runs it once. */
export async function run(graph: Graph, feeds: Tensors, weightsFolder?: string): Promise<Tensors> {
  const location = weightsFolder === undefined ? {} : { weightsFolder };
  const session = await createSession(serializeModel(graph, location), {
    device: { kind: 'cpu' },
    threads: 1,
    ...location,
  });
  try {
    return await session.run(feeds);
  } finally {
    await session.dispose();
  }
}
