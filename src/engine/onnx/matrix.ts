/** @file Matrix products, reductions, softmax, normalisation and convolution. */

import {
  addDims,
  broadcastShapes,
  type Dim,
  floorDivideDim,
  formatShape,
  productOfDims,
  sameShape,
} from './dims.js';
import {
  add,
  cast,
  div,
  erf,
  exp,
  log,
  mul,
  pow,
  requireOneType,
  sigmoid,
  sqrt,
  sub,
} from './elementwise.js';
import { addNode, innermost, type Value } from './graph.js';
import { int64Vector, normalizeAxis, reshape } from './layout.js';
import { dequantizedFor } from './quantized.js';

const int = (value: number) => ({ kind: 'int', value }) as const;
const ints = (value: readonly number[]) => ({ kind: 'ints', value }) as const;
const float = (value: number) => ({ kind: 'float', value }) as const;

/** Batched matrix product: [..., m, k] x [..., k, n] -> [..., m, n], leading axes broadcast. */
export function matmul(a: Value, b: Value): Value {
  const [m, k] = a.shape.slice(-2);
  const [inner, n] = b.shape.slice(-2);
  if (a.shape.length < 2 || b.shape.length < 2 || k !== inner) {
    throw new RangeError(`matmul of ${a.name} ${formatShape(a.shape)} and ${b.name} ${formatShape(b.shape)}`);
  }
  requireOneType('MatMul', [a, b]);
  const shape = [...broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2)), m!, n!];
  return addNode(innermost([a, b]), 'MatMul', [a, b], {}, [{ dtype: a.dtype, shape }])[0]!;
}

export interface GemmOptions {
  readonly transA?: boolean;
  readonly transB?: boolean;
  /** Factor of the product. */
  readonly alpha?: number;
}

/**
 * alpha * op(a) op(b) + c for matrices; c is broadcast to the result. A quantized `b` is dequantized for this product
 * alone, right before it.
 */
export function gemm(a: Value, b: Value, c?: Value, options: GemmOptions = {}): Value {
  const { transA = false, transB = false, alpha = 1 } = options;
  const [m, k] = transA ? [a.shape[1]!, a.shape[0]!] : [a.shape[0]!, a.shape[1]!];
  const [inner, n] = transB ? [b.shape[1]!, b.shape[0]!] : [b.shape[0]!, b.shape[1]!];
  if (a.shape.length !== 2 || b.shape.length !== 2 || k !== inner) {
    throw new RangeError(
      `gemm of ${a.name} ${formatShape(a.shape)}${transA ? "'" : ''} and ${b.name} ${formatShape(b.shape)}${transB ? "'" : ''}`,
    );
  }
  const attributes = {
    ...(transA && { transA: int(1) }),
    ...(transB && { transB: int(1) }),
    ...(alpha !== 1 && { alpha: float(alpha) }),
  };
  const factor = dequantizedFor(b, a);
  const inputs = c === undefined ? [a, factor] : [a, factor, c];
  requireOneType('Gemm', inputs);
  if (c !== undefined && !sameShape(broadcastShapes(c.shape, [m, n]), [m, n])) {
    throw new RangeError(
      `gemm: ${c.name} ${formatShape(c.shape)} cannot be a bias for ${formatShape([m, n])}`,
    );
  }
  return addNode(innermost(inputs), 'Gemm', inputs, attributes, [{ dtype: a.dtype, shape: [m, n] }])[0]!;
}

/**
 * alpha x W^T + b with the weight in its checkpoint layout [out, in], never transposed in memory. x [..., in] -> [...,
 * out].
 */
export function linear(x: Value, weight: Value, bias?: Value, alpha = 1): Value {
  const [out, width] = weight.shape as [Dim, Dim];
  const leading = x.shape.slice(0, -1);
  const rows = reshape(x, [productOfDims(leading), width]);
  const product = gemm(rows, weight, bias, { transB: true, alpha });
  const symbolic = leading.filter((dim) => typeof dim !== 'number').length;
  return symbolic <= 1 ? reshape(product, [...leading, out]) : restoreLeading(product, x, out);
}

/** [N*L, out] -> [N, L, out], with the leading sizes taken from `like` at run time. */
function restoreLeading(rows: Value, like: Value, out: Dim): Value {
  const shape = [...like.shape.slice(0, -1), out];
  const graph = innermost([rows, like]);
  const sizes = addNode(graph, 'Shape', [like], { end: int(-1) }, [
    { dtype: 'int64', shape: [shape.length - 1] },
  ])[0]!;
  const last = int64Vector(graph, [out as number]);
  const target = addNode(graph, 'Concat', [sizes, last], { axis: int(0) }, [
    { dtype: 'int64', shape: [shape.length] },
  ])[0]!;
  return addNode(graph, 'Reshape', [rows, target], {}, [{ dtype: rows.dtype, shape }])[0]!;
}

function reduce(
  operator: 'ReduceSum' | 'ReduceSumSquare' | 'ReduceMean' | 'ReduceMax',
  x: Value,
  axes: readonly number[],
  keep: boolean,
): Value {
  const positions = axes.map((axis) => normalizeAxis(x, axis));
  const shape = x.shape.map((dim, axis): Dim => (positions.includes(axis) ? 1 : dim));
  const kept = keep ? shape : shape.filter((_, axis) => !positions.includes(axis));
  const inputs = [x, int64Vector(x.graph, positions)];
  return addNode(x.graph, operator, inputs, { keepdims: int(keep ? 1 : 0) }, [
    { dtype: x.dtype, shape: kept },
  ])[0]!;
}

const allAxes = (x: Value): number[] => x.shape.map((_, axis) => axis);

/** Sum over axes (default: all). */
export function reduceSum(x: Value, axes: readonly number[] = allAxes(x), keepDims = false): Value {
  return reduce('ReduceSum', x, axes, keepDims);
}

/** Sum of squares over axes (default: all), in one pass without storing the squares. */
export function reduceSumSquare(x: Value, axes: readonly number[] = allAxes(x), keepDims = false): Value {
  return reduce('ReduceSumSquare', x, axes, keepDims);
}

/** Mean over axes (default: all). */
export function reduceMean(x: Value, axes: readonly number[] = allAxes(x), keepDims = false): Value {
  return reduce('ReduceMean', x, axes, keepDims);
}

/** Maximum over axes (default: all). */
export function reduceMax(x: Value, axes: readonly number[] = allAxes(x), keepDims = false): Value {
  return reduce('ReduceMax', x, axes, keepDims);
}

/** Softmax over one axis. */
export function softmax(x: Value, axis = -1): Value {
  const attributes = { axis: int(normalizeAxis(x, axis)) };
  return addNode(x.graph, 'Softmax', [x], attributes, [{ dtype: x.dtype, shape: x.shape }])[0]!;
}

/** Layer normalisation over the last axis (Ba et al., 2016); statistics in float32. */
export function layerNorm(x: Value, scale: Value, bias: Value, epsilon: number): Value {
  const reduced = x.shape.map((dim, axis): Dim => (axis === x.shape.length - 1 ? 1 : dim));
  const outputs = [
    { dtype: x.dtype, shape: x.shape },
    { dtype: 'float32', shape: reduced }, // mean
    { dtype: 'float32', shape: reduced }, // 1 / standard deviation
  ] as const;
  const attributes = { axis: int(-1), epsilon: float(epsilon) };
  return addNode(
    innermost([x, scale, bias]),
    'LayerNormalization',
    [x, scale, bias],
    attributes,
    outputs,
  )[0]!;
}

/**
 * Root-mean-square normalisation over the last axis (Zhang and Sennrich, 2019), in float32: x / sqrt(mean(x^2) + eps)
 * as sqrt(n) x (sum(x^2) + n eps)^(-1/2), which takes few nodes, also in its gradient. A frozen scale takes up sqrt(n)
 * when a session loads it.
 */
export function rmsNorm(x: Value, scale: Value, epsilon: number): Value {
  const dtype = x.dtype === 'float64' ? 'float64' : 'float32';
  const wide = cast(x, dtype);
  const width = x.shape.at(-1) as number;
  const factor = pow(add(reduceSumSquare(wide, [-1], true), width * epsilon), -0.5);
  const wideScale = mul(cast(scale, dtype), Math.sqrt(width));
  return cast(mul(mul(wide, factor), wideScale), x.dtype);
}

/** x / ||x|| over the last axis; a zero vector stays zero. */
export function l2Normalize(x: Value, epsilon = 1e-12): Value {
  return div(x, sqrt(add(reduceSum(mul(x, x), [-1], true), epsilon)));
}

/** log(softmax(x)) over the last axis, shifted by the maximum so that exp cannot overflow. */
export function logSoftmax(x: Value): Value {
  const shifted = sub(x, reduceMax(x, [-1], true));
  return sub(shifted, log(reduceSum(exp(shifted), [-1], true)));
}

/** Gaussian error linear unit, exact form: x/2 (1 + erf(x / sqrt 2)) (Hendrycks and Gimpel, 2016). */
export function gelu(x: Value): Value {
  return mul(mul(x, add(erf(div(x, Math.SQRT2)), 1)), 0.5);
}

/** x sigmoid(x), also called swish. */
export function silu(x: Value): Value {
  return mul(x, sigmoid(x));
}

export interface ConvOptions {
  readonly stride?: number;
  readonly padding?: readonly [number, number];
  readonly groups?: number;
}

/** 1-D convolution: x [N, in, T], weight [out, in / groups, k], bias [out] -> [N, out, T']. */
export function conv1d(x: Value, weight: Value, bias: Value | undefined, options: ConvOptions = {}): Value {
  const { stride = 1, padding = [0, 0], groups = 1 } = options;
  const [out, perGroup, kernel] = weight.shape as [number, number, number];
  if (x.shape.length !== 3 || x.shape[1] !== perGroup * groups) {
    throw new RangeError(
      `conv1d of ${formatShape(x.shape)} with weight ${formatShape(weight.shape)}, ${groups} groups`,
    );
  }
  const frames = convLength(x.shape[2]!, kernel, stride, padding);
  const attributes = {
    kernel_shape: ints([kernel]),
    strides: ints([stride]),
    pads: ints(padding),
    group: int(groups),
  };
  const inputs = bias === undefined ? [x, weight] : [x, weight, bias];
  return addNode(innermost(inputs), 'Conv', inputs, attributes, [
    { dtype: x.dtype, shape: [x.shape[0]!, out, frames] },
  ])[0]!;
}

/** Output length of a 1-D convolution: floor((length + padding - kernel) / stride) + 1. */
export function convLength(
  length: Dim,
  kernel: number,
  stride: number,
  padding: readonly [number, number] = [0, 0],
): Dim {
  const span = addDims(length, padding[0] + padding[1] - kernel);
  return addDims(floorDivideDim(span, stride), 1);
}
