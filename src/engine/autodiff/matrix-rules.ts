/** @file Gradients of matrix products, reductions and layer normalisation. */

import {
  cast,
  constantContent,
  countAlong,
  div,
  equal,
  expandLike,
  floatAttribute,
  type GemmOptions,
  gemm,
  intAttribute,
  matmul,
  mul,
  reduceMean,
  reduceSum,
  sub,
  transpose,
  unsqueeze,
  type Value,
} from '../onnx/index.js';
import { type Rule, type RuleContext, unbroadcast } from './rule.js';

/**
 * Y = alpha op(A) op(B) + C. With G = alpha dY: A B: dA = G B', dB = A' G. A B': dA = G B, dB = G' A. A' B: dA = B G',
 * dB = A G. A' B': dA = B' G', dB = G' A'. The factors keep their memory layout and only the flags change. dY is
 * transposed explicitly where it is the first factor, since onnxruntime's CPU kernel would otherwise transpose it again
 * for every 128 columns of the product.
 */
export const gemmGradient: Rule = ({ node, a, b, c, dy }) => {
  const alpha = floatAttribute(node, 'alpha', 1);
  const transA = intAttribute(node, 'transA') === 1;
  const transB = intAttribute(node, 'transB') === 1;
  const product = (left: Value, right: Value, flags: GemmOptions) => () =>
    gemm(left, right, undefined, { ...flags, alpha });
  return [
    transA ? product(b, dy, { transA: transB, transB: true }) : product(dy, b, { transB: !transB }),
    transB
      ? () => gemm(transpose(dy, [1, 0]), a, undefined, { transB: transA, alpha })
      : product(a, dy, { transA: !transA }),
    () => unbroadcast(dy, c),
  ];
};

/** Y = A B over leading axes: dA = dY B', dB = A' dY, summed over broadcast axes. */
export const matmulGradient: Rule = ({ a, b, dy }) => [
  () => unbroadcast(matmul(dy, swapLast(b)), a),
  () => unbroadcast(matmul(swapLast(a), dy), b),
];

function swapLast(x: Value): Value {
  const rank = x.shape.length;
  return transpose(
    x,
    [...x.shape.keys()].map((axis) => (axis === rank - 1 ? rank - 2 : axis === rank - 2 ? rank - 1 : axis)),
  );
}

/** Broadcasts the gradient of a reduction back over the reduced axes. */
export function spread({ a, y }: RuleContext, dy: Value): Value {
  return expandLike(keptAxes({ a, y, dy }), a);
}

/** The gradient of a reduction with the reduced axes as size 1, so that it broadcasts to the input. */
export function keptAxes({ a, y, dy }: Pick<RuleContext, 'a' | 'y' | 'dy'>): Value {
  if (y.shape.length === a.shape.length) return dy;
  return unsqueeze(dy, reducedAxes(y.producer!.inputs[1]!));
}

/** dy / n, where n is the number of elements in each mean. */
export function spreadMean(context: RuleContext): Value {
  return spread(context, div(context.dy, reducedCount(context)));
}

/** The largest element gets dy; ties share it. */
export const reduceMaxGradient: Rule = (context) => [
  () => {
    const { a, y, node } = context;
    const axes = reducedAxes(node.inputs[1]!);
    const chosen = cast(equal(a, keptAxes({ a, y, dy: y })), a.dtype);
    const share = div(chosen, reduceSum(chosen, axes, true));
    return mul(share, keptAxes(context));
  },
];

function reducedAxes(axes: Value): number[] {
  return Array.from(constantContent(axes)!.data as BigInt64Array, Number);
}

/** The number of elements reduced into each output, as a scalar of the same type. */
function reducedCount({ a, node, dy }: RuleContext): Value {
  return countAlong(a, reducedAxes(node.inputs[1]!), dy.dtype);
}

/**
 * y = xhat * scale + bias, xhat = (x - mean) * r with r = 1 / sqrt(var + eps). With g = dy * scale: dx = r (g - mean(g)
 * - xhat mean(g xhat)), dscale = sum(dy xhat), dbias = sum(dy). Computed in float32, like the statistics.
 */
export const layerNormGradient: Rule = ({ node, a, b, c, dy }) => {
  const [, mean, inverseDeviation] = node.outputs as [Value, Value, Value];
  const wide = (x: Value): Value => cast(x, 'float32');
  let normalized: Value | undefined;
  const xhat = (): Value => {
    normalized ??= mul(sub(wide(a), mean), inverseDeviation);
    return normalized;
  };
  return [
    () => {
      const g = mul(wide(dy), wide(b));
      const along = mul(xhat(), reduceMean(mul(g, xhat()), [-1], true));
      return cast(mul(sub(sub(g, reduceMean(g, [-1], true)), along), inverseDeviation), a.dtype);
    },
    () => cast(unbroadcast(mul(wide(dy), xhat()), b), b.dtype),
    () => unbroadcast(dy, c),
  ];
};
