/**
 * @file The gradient rule of every operator. A missing operator is a compile error; tests check every rule against
 * finite differences.
 */

import {
  and,
  cast,
  cos,
  div,
  exp,
  greaterOrEqual,
  intAttribute,
  intsAttribute,
  less,
  log,
  mul,
  neg,
  type OperatorType,
  pow,
  reduceSum,
  sin,
  sub,
  transpose,
  type Value,
  where,
} from '../onnx/index.js';
import { concatGradient, gatherGradient, sliceGradient, splitGradient } from './layout-rules.js';
import {
  gemmGradient,
  keptAxes,
  layerNormGradient,
  matmulGradient,
  reduceMaxGradient,
  spread,
  spreadMean,
} from './matrix-rules.js';
import { type NoGradient, type Rule, type RuleContext, restoreShape, unbroadcast } from './rule.js';

/** y = f(x) elementwise: dx = dy f'(x). */
const elementwise =
  (derivative: (context: RuleContext) => Value): Rule =>
  (context) => [() => mul(context.dy, derivative(context))];

/** y picks one of its inputs at each position; the gradient goes to the input that was picked. */
const choice =
  (chooseFirst: (context: RuleContext) => Value): Rule =>
  (context) => {
    const { a, b, dy } = context;
    return [
      () => unbroadcast(where(chooseFirst(context), dy, 0), a),
      () => unbroadcast(where(chooseFirst(context), 0, dy), b),
    ];
  };

export const rules: Readonly<Record<OperatorType, Rule | NoGradient>> = {
  // y = a + b
  Add: ({ a, b, dy }) => [() => unbroadcast(dy, a), () => unbroadcast(dy, b)],
  And: 'integer',
  Cast: ({ a, dy }) => [() => cast(dy, a.dtype)],
  // y = min(max(x, low), high): dy inside the bounds, 0 outside
  Clip: ({ a, b, c, dy }) => [() => where(and(greaterOrEqual(a, b), greaterOrEqual(c, a)), dy, 0)],
  Concat: concatGradient,
  ConstantOfShape: 'integer',
  Conv: { refuse: 'the convolutional encoder is frozen; train on its features' },
  // d cos x = -sin x
  Cos: elementwise(({ a }) => neg(sin(a))),
  DequantizeLinear: { refuse: 'quantized weights are frozen' },
  // y = a / b: da = dy / b, db = -dy y / b
  Div: ({ a, b, y, dy }) => [() => unbroadcast(div(dy, b), a), () => unbroadcast(neg(div(mul(dy, y), b)), b)],
  Equal: 'integer',
  // d erf x = 2 / sqrt(pi) exp(-x^2)
  Erf: elementwise(({ a }) => mul(exp(neg(mul(a, a))), 2 / Math.sqrt(Math.PI))),
  Exp: elementwise(({ y }) => y),
  Expand: ({ a, dy }) => [() => unbroadcast(dy, a)],
  Gather: gatherGradient,
  Gemm: gemmGradient,
  GreaterOrEqual: 'integer',
  Identity: ({ dy }) => [() => dy],
  LayerNormalization: layerNormGradient,
  Less: 'integer',
  // d log x = 1 / x
  Log: ({ a, dy }) => [() => div(dy, a)],
  Loop: { refuse: 'differentiate inside the loop body instead' },
  MatMul: matmulGradient,
  MatMulInteger: { refuse: 'integer products are for inference' },
  MatMulNBits: { refuse: 'integer products are for inference' },
  // ties go to the first
  Max: choice(({ a, b }) => greaterOrEqual(a, b)),
  Min: choice(({ a, b }) => greaterOrEqual(b, a)),
  Mod: 'integer',
  // y = a b: da = dy b, db = dy a
  Mul: ({ a, b, dy }) => [() => unbroadcast(mul(dy, b), a), () => unbroadcast(mul(dy, a), b)],
  Neg: ({ dy }) => [() => neg(dy)],
  Not: 'integer',
  Pad: { refuse: 'made by the gradient of Slice only' },
  // y = a^b: da = dy b a^(b-1), db = dy y log a
  Pow: ({ a, b, y, dy }) => [
    () => unbroadcast(mul(dy, mul(b, pow(a, sub(b, 1)))), a),
    () => unbroadcast(mul(dy, mul(y, log(a))), b),
  ],
  QuantizeLinear: { refuse: 'integer products are for inference' },
  Range: 'integer',
  ReduceMax: reduceMaxGradient,
  // every element of x gets dy, or dy / n
  ReduceMean: (context) => [() => spreadMean(context)],
  ReduceSum: (context) => [() => spread(context, context.dy)],
  // d sum(x^2) = 2 x
  ReduceSumSquare: (context) => [() => mul(context.a, mul(keptAxes(context), 2))],
  // dy where x > 0; the derivative at 0 is taken as 0, as in PyTorch
  Relu: ({ y, dy }) => [() => where(less(0, y), dy, 0)],
  Reshape: ({ a, dy }) => [() => restoreShape(dy, a)],
  ScatterND: { refuse: 'made by the gradient of Gather only' },
  Shape: 'integer',
  // d sigmoid = y (1 - y)
  Sigmoid: elementwise(({ y }) => mul(y, sub(1, y))),
  Sin: elementwise(({ a }) => cos(a)),
  Slice: sliceGradient,
  // dx = y (dy - sum(dy y))
  Softmax: ({ node, y, dy }) => {
    const axis = intAttribute(node, 'axis', -1);
    return [() => mul(y, sub(dy, reduceSum(mul(dy, y), [axis], true)))];
  },
  Split: splitGradient,
  // y = sqrt x: dx = dy / (2 y)
  Sqrt: ({ y, dy }) => [() => div(mul(dy, 0.5), y)],
  Squeeze: ({ a, dy }) => [() => restoreShape(dy, a)],
  Sub: ({ a, b, dy }) => [() => unbroadcast(dy, a), () => unbroadcast(neg(dy), b)],
  Sum: ({ node, dy }) => node.inputs.map((input) => () => unbroadcast(dy, input!)),
  // d tanh = 1 - y^2
  Tanh: elementwise(({ y }) => sub(1, mul(y, y))),
  Transpose: ({ node, dy }) => {
    const permutation = intsAttribute(node, 'perm');
    return [
      () =>
        transpose(
          dy,
          permutation.map((_, axis) => permutation.indexOf(axis)),
        ),
    ];
  },
  Unsqueeze: ({ a, dy }) => [() => restoreShape(dy, a)],
  // y = condition ? b : c
  Where: ({ a, b, c, dy }) => [
    undefined,
    () => unbroadcast(where(a, dy, 0), b),
    () => unbroadcast(where(a, 0, dy), c),
  ],
};
