/** @file Gradient test cases for every operator: symbolic shapes, broadcasting, unusual axes. */

import {
  add,
  addDims,
  addNode,
  cast,
  clip,
  concat,
  cos,
  div,
  equal,
  erf,
  exp,
  expand,
  expandLike,
  gather,
  gemm,
  identity,
  int64Vector,
  layerNorm,
  log,
  matmul,
  max,
  min,
  mul,
  multiplyDims,
  neg,
  type OperatorType,
  pow,
  reduceMax,
  reduceMean,
  reduceSum,
  reduceSumSquare,
  relu,
  reshape,
  reshapeLike,
  sigmoid,
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
} from '../../src/engine/onnx/index.js';
import type { Differentiable, GradientCase } from './finite-differences.js';

/** Values of N, L and M; each case runs once for every row whose symbols it uses. */
export const bindings = [
  { N: 2, L: 3, M: 4 },
  { N: 1, L: 4, M: 1 },
  { N: 3, L: 1, M: 2 },
] as const;

const noErf = 'onnxruntime has no float64 Erf on the CPU';
const float32Statistics = 'LayerNormalization gives its statistics in float32 whatever the input';

/** The two operands of every broadcasting operator. */
const broadcasts: readonly (readonly [string, Differentiable['shape'], Differentiable['shape']])[] = [
  ['one shape', ['N', 'L'], ['N', 'L']],
  ['a vector over the last axis', ['N', 'L', 4], [4]],
  ['a symbolic vector from the left', ['L'], ['N', 'L']],
  ['both stretched', ['N', 1, 3], ['L', 1]],
  ['a scalar', ['N', 2], []],
  ['scalars alone', [], []],
  ['extra axes of size 1', [1, 'L'], ['N', 1, 1]],
];

function binary(build: (a: Value, b: Value) => Value, fill?: Differentiable['fill']): GradientCase[] {
  const filled = (shape: Differentiable['shape']): Differentiable => ({ shape, ...(fill && { fill }) });
  return [
    ...broadcasts.map(
      ([name, a, b]): GradientCase => ({
        name,
        inputs: { a: filled(a), b: filled(b) },
        build: (v) => build(v.a!, v.b!),
      }),
    ),
    { name: 'a value with itself', inputs: { a: filled(['N', 3]) }, build: ({ a }) => build(a!, a!) },
  ];
}

function unary(build: (x: Value) => Value, fill?: Differentiable['fill']): GradientCase[] {
  const shapes: Differentiable['shape'][] = [['N', 'L'], [], [5]];
  return shapes.map((shape) => ({
    name: `[${shape}]`,
    inputs: { x: { shape, ...(fill && { fill }) } },
    build: ({ x }) => build(x!),
  }));
}

function reductions(
  build: (x: Value, axes?: readonly number[], keep?: boolean) => Value,
  fill?: Differentiable['fill'],
): GradientCase[] {
  const x: Differentiable = { shape: ['N', 'L', 4], ...(fill && { fill }) };
  const choices: [string, number[] | undefined, boolean][] = [
    ['the last axis', [-1], false],
    ['the last axis, kept', [-1], true],
    ['a symbolic axis in the middle', [1], false],
    ['two axes, the outer ones', [0, 2], false],
    ['two symbolic axes, kept', [0, 1], true],
    ['all axes', undefined, false],
  ];
  return [
    ...choices.map(
      ([name, axes, keep]): GradientCase => ({
        name,
        inputs: { x },
        build: (v) => build(v.x!, axes, keep),
      }),
    ),
    { name: 'a scalar', inputs: { x: { shape: [] } }, build: (v) => build(v.x!) },
  ];
}

function gemms(): GradientCase[] {
  const cases: GradientCase[] = [];
  for (const transA of [false, true]) {
    for (const transB of [false, true]) {
      const a: Differentiable = { shape: transA ? [3, 'N'] : ['N', 3] };
      const b: Differentiable = { shape: transB ? ['L', 3] : [3, 'L'] };
      const name = `${transA ? "A'" : 'A'} ${transB ? "B'" : 'B'}`;
      cases.push({
        name: `${name}, without bias`,
        inputs: { a, b },
        build: (v) => gemm(v.a!, v.b!, undefined, { transA, transB }),
      });
      for (const shape of [['L'], ['N', 1], [1, 'L'], ['N', 'L'], []]) {
        cases.push({
          name: `${name}, alpha 0.7, bias [${shape}]`,
          inputs: { a, b, c: { shape } },
          build: (v) => gemm(v.a!, v.b!, v.c!, { transA, transB, alpha: 0.7 }),
        });
      }
    }
  }
  return cases;
}

function matmuls(): GradientCase[] {
  const shapes: [string, Differentiable['shape'], Differentiable['shape']][] = [
    ['two matrices', ['N', 3], [3, 'L']],
    ['one matrix for the whole batch', ['N', 'L', 3], [3, 2]],
    ['one matrix before the batch', [2, 3], ['N', 3, 'L']],
    ['batches of the same size', ['N', 2, 'L', 3], ['N', 2, 3, 'M']],
    ['batch axes stretched on both sides', ['N', 1, 2, 3], ['L', 3, 2]],
    ['a batch axis of size 1', ['N', 'L', 2, 3], ['N', 1, 3, 2]],
  ];
  return shapes.map(([name, a, b]) => ({
    name,
    inputs: { a: { shape: a }, b: { shape: b } },
    build: (v) => matmul(v.a!, v.b!),
  }));
}

function gathers(): GradientCase[] {
  const shapes: [string, Differentiable['shape'], Differentiable['shape'], axis?: number][] = [
    ['a batch of token ids', [3, 2], ['N', 'L']],
    ['a vector of indices', [3, 2, 2], ['L']],
    ['one row', [4, 2], []],
    ['elements of a vector', [3], ['N', 'L']],
    ['rows of a symbolic table', ['M', 3], [5]],
    ['rows of a symbolic width', [3, 'M'], ['L']],
    ['columns', [4, 3], ['N'], 1],
    ['pairs of columns', [2, 3], ['N', 'L'], 1],
    ['places of a middle axis', [2, 3, 4], ['N', 'L'], 1],
    ['one place of the last axis', [4, 2, 3], [], 2],
    ['places of a last axis of symbolic rows', ['M', 2, 3], ['L'], 2],
  ];
  return shapes.map(([name, x, indices, axis = 0]) => ({
    name,
    inputs: { x: { shape: x } },
    // Many draws from few rows: most rows are picked more than once.
    fixed: { i: { dtype: 'int64', shape: indices, below: typeof x[axis] === 'number' ? x[axis] : 1 } },
    build: (v) => gather(v.x!, v.i!, axis),
  }));
}

/** Differentiable operators with their test cases. */
export const cases: Readonly<Partial<Record<OperatorType, readonly GradientCase[]>>> = {
  Add: binary(add),
  Cast: [
    {
      name: 'float32 to float64',
      dtype: 'float32',
      why: 'the cast is from float32',
      inputs: { x: { shape: ['N', 'L'] } },
      build: (v) => cast(v.x!, 'float64'),
    },
    {
      name: 'through float64 and back',
      dtype: 'float32',
      why: 'the cast is from float32',
      inputs: { x: { shape: [3] } },
      build: (v) => cast(exp(cast(v.x!, 'float64')), 'float32'),
    },
  ],
  Clip: unary((x) => clip(x, -0.5, 0.25), 'spaced'),
  Concat: [
    {
      name: 'a symbolic axis in the middle',
      inputs: { a: { shape: ['N', 'L', 2] }, b: { shape: ['N', 'M', 2] } },
      build: (v) => concat([v.a!, v.b!], 1),
    },
    {
      name: 'three pieces, one of fixed size',
      inputs: { a: { shape: ['L', 2] }, b: { shape: [2, 2] }, c: { shape: ['M', 2] } },
      build: (v) => concat([v.a!, v.b!, v.c!], 0),
    },
    {
      name: 'fixed sizes on the last axis',
      inputs: { a: { shape: ['N', 2] }, b: { shape: ['N', 3] } },
      build: (v) => concat([v.a!, v.b!], -1),
    },
    {
      name: 'one value twice',
      inputs: { a: { shape: ['L', 2] } },
      build: (v) => concat([v.a!, v.a!], 0),
    },
  ],
  Cos: unary(cos),
  Div: binary(div, 'positive'),
  Erf: unary(erf).map((each) => ({ ...each, dtype: 'float32', why: noErf })),
  Exp: unary(exp),
  Expand: [
    {
      name: 'to the shape of another value',
      inputs: { x: { shape: ['L', 1] }, like: { shape: ['N', 'L', 4] } },
      build: (v) => [expandLike(v.x!, v.like!), v.like!],
    },
    {
      name: 'to a size known at run time',
      inputs: { x: { shape: [1, 3] }, like: { shape: ['N'] } },
      build: (v, graph) => {
        const target = concat([unsqueeze(sizeOf(v.like!, 0), [0]), int64Vector(graph, [3])], 0);
        return [expand(v.x!, target, ['N', 3]), v.like!];
      },
    },
    {
      name: 'a scalar',
      inputs: { x: { shape: [] }, like: { shape: ['N', 'L'] } },
      build: (v) => [expandLike(v.x!, v.like!), v.like!],
    },
  ],
  Gather: gathers(),
  Gemm: gemms(),
  Identity: unary(identity),
  LayerNormalization: [
    {
      name: 'scale and bias over the last axis',
      dtype: 'float32',
      why: float32Statistics,
      inputs: { x: { shape: ['N', 'L', 6] }, scale: { shape: [6] }, bias: { shape: [6] } },
      build: (v) => layerNorm(v.x!, v.scale!, v.bias!, 1e-5),
    },
    {
      name: 'a matrix, epsilon not small',
      dtype: 'float32',
      why: float32Statistics,
      inputs: { x: { shape: ['N', 4] }, scale: { shape: [4] }, bias: { shape: [4] } },
      build: (v) => layerNorm(v.x!, v.scale!, v.bias!, 0.5),
    },
  ],
  Log: unary(log, 'positive'),
  MatMul: matmuls(),
  Max: binary(max, 'spaced').filter(({ name }) => name !== 'a value with itself'),
  Min: binary(min, 'spaced').filter(({ name }) => name !== 'a value with itself'),
  Mul: binary(mul),
  Neg: unary(neg),
  Pow: [
    ...binary(pow, 'positive'),
    { name: 'a square', inputs: { x: { shape: ['N', 3] } }, build: (v) => pow(v.x!, 2) },
    {
      name: 'a fixed exponent that is no whole number',
      inputs: { x: { shape: ['N', 3], fill: 'positive' } },
      build: (v) => pow(v.x!, -1.5),
    },
  ],
  ReduceMax: reductions(reduceMax, 'spaced'),
  ReduceMean: reductions(reduceMean),
  ReduceSum: reductions(reduceSum),
  ReduceSumSquare: reductions(reduceSumSquare),
  Relu: unary(relu),
  Reshape: [
    {
      name: 'the last axis cut into heads',
      inputs: { x: { shape: ['N', 'L', 6] } },
      build: (v) => reshape(v.x!, ['N', 'L', 2, 3]),
    },
    {
      name: 'leading axes made one',
      inputs: { x: { shape: ['N', 'L', 3] } },
      build: (v) => reshape(v.x!, [multiplyDims('N', 'L'), 3]),
    },
    {
      name: 'a symbolic axis made two, as another value has it',
      inputs: { x: { shape: [multiplyDims('N', 'L'), 2] }, like: { shape: ['N', 'L', 2] } },
      build: (v) => [reshapeLike(v.x!, v.like!), v.like!],
    },
    { name: 'fixed sizes', inputs: { x: { shape: [2, 6] } }, build: (v) => reshape(v.x!, [3, 4]) },
    { name: 'a scalar to a vector', inputs: { x: { shape: [] } }, build: (v) => reshape(v.x!, [1]) },
  ],
  Sigmoid: unary(sigmoid),
  Sin: unary(sin),
  Slice: [
    {
      name: 'a window of a fixed axis',
      inputs: { x: { shape: ['N', 5, 2] } },
      build: (v) => slice(v.x!, 1, 1, 4),
    },
    {
      name: 'the rest of a symbolic axis in the middle',
      inputs: { x: { shape: ['N', addDims('L', 2), 2] } },
      build: (v) => slice(v.x!, 1, 2),
    },
    {
      name: 'the begin of a symbolic axis',
      inputs: { x: { shape: [addDims('L', 1), 2] } },
      build: (v) => slice(v.x!, 0, 0, 1),
    },
    {
      name: 'overlapping windows',
      inputs: { x: { shape: [6] } },
      build: (v) => [slice(v.x!, 0, 0, 4), slice(v.x!, 0, 2, 6)],
    },
    {
      name: 'cut to a size known at run time',
      inputs: { x: { shape: [addDims('L', 2), 2] }, like: { shape: ['L'] } },
      build: (v) => [sliceTo(v.x!, [0], unsqueeze(sizeOf(v.like!, 0), [0]), ['L', 2]), v.like!],
    },
  ],
  Softmax: [-1, 0, 1].map((axis) => ({
    name: `axis ${axis}`,
    inputs: { x: { shape: ['N', 'L', 4] } },
    build: (v) => softmax(v.x!, axis),
  })),
  Split: [
    {
      name: 'three pieces of a fixed axis',
      inputs: { x: { shape: ['N', 6, 2] } },
      build: (v, graph) => split(v.x!, 1, [1, 2, 3], int64Vector(graph, [1, 2, 3])),
    },
    {
      name: 'symbolic pieces, one of them unread',
      inputs: { x: { shape: [addDims('L', 'M'), 2] }, like: { shape: ['L', 'M'] } },
      build: (v) => {
        const pieces = concat(
          [0, 1].map((axis) => unsqueeze(sizeOf(v.like!, axis), [0])),
          0,
        );
        return [split(v.x!, 0, ['L', 'M'], pieces)[1]!, v.like!];
      },
    },
  ],
  Sqrt: unary(sqrt, 'positive'),
  Squeeze: [
    {
      name: 'two axes',
      inputs: { x: { shape: ['N', 1, 'L', 1] } },
      build: (v) => squeeze(v.x!, [1, -1]),
    },
    { name: 'to a scalar', inputs: { x: { shape: [1] } }, build: (v) => squeeze(v.x!, [0]) },
  ],
  Sub: binary(sub),
  Sum: [
    {
      name: 'three values',
      inputs: { a: { shape: ['N', 'L'] }, b: { shape: ['N', 'L'] }, c: { shape: ['N', 'L'] } },
      build: (v) => sum([v.a!, v.b!, v.c!]),
    },
    {
      name: 'one value four times',
      inputs: { a: { shape: ['N'] } },
      build: (v) => sum([v.a!, v.a!, v.a!, v.a!]),
    },
    {
      name: 'values of several shapes, as other exporters write them',
      inputs: { a: { shape: ['N', 1] }, b: { shape: ['L'] }, c: { shape: [] } },
      build: (v, graph) =>
        addNode(graph, 'Sum', [v.a!, v.b!, v.c!], {}, [{ dtype: v.a!.dtype, shape: ['N', 'L'] }]),
    },
  ],
  Tanh: unary(tanh),
  Transpose: [
    {
      name: 'four axes, rotated',
      inputs: { x: { shape: ['N', 'L', 2, 3] } },
      build: (v) => transpose(v.x!, [1, 2, 3, 0]),
    },
    {
      name: 'heads before frames',
      inputs: { x: { shape: ['N', 'L', 2, 3] } },
      build: (v) => transpose(v.x!, [0, 2, 1, 3]),
    },
  ],
  Unsqueeze: [
    {
      name: 'before, between and behind',
      inputs: { x: { shape: ['N', 'L'] } },
      build: (v) => unsqueeze(v.x!, [0, 2, -1]),
    },
    { name: 'a scalar', inputs: { x: { shape: [] } }, build: (v) => unsqueeze(v.x!, [0]) },
  ],
  Where: [
    {
      name: 'three different shapes',
      inputs: { a: { shape: ['N', 1, 3] }, b: { shape: ['L', 1] } },
      fixed: { c: { dtype: 'bool', shape: ['N', 'L', 3], below: 2 } },
      build: (v) => where(v.c!, v.a!, v.b!),
    },
    {
      name: 'a condition that is stretched',
      inputs: { a: { shape: ['N', 'L'] }, b: { shape: [] } },
      fixed: { c: { dtype: 'bool', shape: ['L'], below: 2 } },
      build: (v) => where(v.c!, v.a!, v.b!),
    },
    {
      name: 'a number for what is masked',
      inputs: { a: { shape: ['N', 'L'] } },
      fixed: { c: { dtype: 'bool', shape: ['N', 1], below: 2 } },
      build: (v) => where(v.c!, -1e4, v.a!),
    },
    {
      name: 'a condition made of the values themselves',
      inputs: { a: { shape: ['N', 3], fill: 'spaced' } },
      build: (v) => where(equal(v.a!, reduceMax(v.a!, [1], true)), exp(v.a!), v.a!),
    },
  ],
};
