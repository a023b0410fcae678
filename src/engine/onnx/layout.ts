/** @file Operators that move elements without changing them: reshape, transpose, slice, gather, concat and the like. */

import { type DType, int64 } from '../tensor/index.js';
import { addDims, broadcastShapes, type Dim, formatShape, productOfDims, sameShape } from './dims.js';
import { cast, identity, mul, requireOneType, scalar } from './elementwise.js';
import { addNode, constant, type Graph, innermost, type Value } from './graph.js';

const ints = (value: readonly number[]) => ({ kind: 'ints', value }) as const;
const int = (value: number) => ({ kind: 'int', value }) as const;

/** int64 vector constant. */
export function int64Vector(graph: Graph, values: readonly number[]): Value {
  return constant(graph, int64([values.length], values));
}

/** An axis counted from the front. @throws RangeError where `x` has no such axis. */
export function normalizeAxis(x: Value, axis: number): number {
  const normal = axis < 0 ? axis + x.shape.length : axis;
  if (normal < 0 || normal >= x.shape.length)
    throw new RangeError(`axis ${axis} of shape ${formatShape(x.shape)}`);
  return normal;
}

/** Axis permutation. */
export function transpose(x: Value, permutation: readonly number[]): Value {
  if ([...permutation].sort().join() !== [...x.shape.keys()].sort().join()) {
    throw new RangeError(`transpose of ${formatShape(x.shape)} by [${permutation.join(', ')}]`);
  }
  const shape = permutation.map((axis) => x.shape[axis]!);
  return addNode(x.graph, 'Transpose', [x], { perm: ints(permutation) }, [{ dtype: x.dtype, shape }])[0]!;
}

/** The shape of `x` at run time: int64 [rank]. */
export function shapeOf(x: Value): Value {
  return addNode(x.graph, 'Shape', [x], {}, [{ dtype: 'int64', shape: [x.shape.length] }])[0]!;
}

/** Size of one axis at run time: int64 scalar. */
export function sizeOf(x: Value, axis: number): Value {
  const dim = x.shape[normalizeAxis(x, axis)]!;
  if (typeof dim === 'number') return scalar(x.graph, dim, 'int64');
  return gather(shapeOf(x), scalar(x.graph, normalizeAxis(x, axis), 'int64'), 0);
}

/** Number of elements along some axes, as a factor in computation: a scalar of type `dtype`, on the device. */
export function countAlong(x: Value, axes: readonly number[], dtype: DType): Value {
  const sizes = axes.map((axis) => x.shape[normalizeAxis(x, axis)]!);
  const count = productOfDims(sizes);
  if (typeof count === 'number') return scalar(x.graph, count, dtype);
  return cast(
    onDevice(axes.map((axis) => sizeOf(x, axis)).reduce((product, size) => mul(product, size))),
    dtype,
  );
}

/**
 * Gives `x` a new shape with the same element count. Sizes may be symbolic: an axis that keeps its position is copied
 * from the input, and one other symbolic axis is left for the runtime to infer.
 * @throws Error when more than one symbolic axis moves; use {@link reshapeLike} or {@link reshapeTo}
 */
export function reshape(x: Value, shape: readonly Dim[]): Value {
  if (sameShape(x.shape, shape)) return x;
  if (productOfDims(x.shape) !== productOfDims(shape)) {
    throw new RangeError(`cannot reshape ${formatShape(x.shape)} to ${formatShape(shape)}`);
  }
  const target = shape.map((dim, axis) => (typeof dim === 'number' ? dim : dim === x.shape[axis] ? 0 : -1));
  if (target.filter((size) => size === -1).length > 1) {
    throw new Error(`reshape of ${formatShape(x.shape)} to ${formatShape(shape)} moves two symbolic axes`);
  }
  const inputs = [x, int64Vector(x.graph, target)];
  return addNode(x.graph, 'Reshape', inputs, {}, [{ dtype: x.dtype, shape }])[0]!;
}

/** {@link reshape} to sizes given as an int64 vector, of which one may be -1; `shape` is the static equivalent. */
export function reshapeTo(x: Value, sizes: Value, shape: readonly Dim[]): Value {
  if (productOfDims(x.shape) !== productOfDims(shape)) {
    throw new RangeError(`cannot reshape ${formatShape(x.shape)} to ${formatShape(shape)}`);
  }
  return addNode(innermost([x, sizes]), 'Reshape', [x, sizes], {}, [{ dtype: x.dtype, shape }])[0]!;
}

/** Gives `x` the shape that `like` has at run time. */
export function reshapeLike(x: Value, like: Value): Value {
  if (sameShape(x.shape, like.shape)) return x;
  const outputs = [{ dtype: x.dtype, shape: like.shape }];
  return addNode(innermost([x, like]), 'Reshape', [x, shapeOf(like)], {}, outputs)[0]!;
}

/** Broadcasts `x` to the shape that `like` has at run time. */
export function expandLike(x: Value, like: Value): Value {
  if (sameShape(x.shape, like.shape)) return x;
  requireExpandable(x, like.shape);
  const outputs = [{ dtype: x.dtype, shape: like.shape }];
  return addNode(innermost([x, like]), 'Expand', [x, shapeOf(like)], {}, outputs)[0]!;
}

/** Zeros of the type and run-time shape of `like`. */
export function zerosLike(like: Value): Value {
  const zero = scalar(like.graph, 0, like.dtype);
  return like.shape.length === 0 ? identity(zero) : expandLike(zero, like);
}

/** Broadcasts `x` to sizes given as an int64 vector; `shape` is the static equivalent. */
export function expand(x: Value, sizes: Value, shape: readonly Dim[]): Value {
  requireExpandable(x, shape);
  return addNode(innermost([x, sizes]), 'Expand', [x, sizes], {}, [{ dtype: x.dtype, shape }])[0]!;
}

function requireExpandable(x: Value, shape: readonly Dim[]): void {
  if (!sameShape(broadcastShapes(x.shape, shape), shape)) {
    throw new RangeError(`expand of ${formatShape(x.shape)} to ${formatShape(shape)}`);
  }
}

/** Inserts axes of size 1; positions refer to the result. */
export function unsqueeze(x: Value, axes: readonly number[]): Value {
  const rank = x.shape.length + axes.length;
  const positions = axes.map((axis) => (axis < 0 ? axis + rank : axis));
  const rest = [...x.shape];
  const shape = Array.from({ length: rank }, (_, axis) => (positions.includes(axis) ? 1 : rest.shift()!));
  const inputs = [x, int64Vector(x.graph, positions)];
  return addNode(x.graph, 'Unsqueeze', inputs, {}, [{ dtype: x.dtype, shape }])[0]!;
}

/** Removes axes of size 1. */
export function squeeze(x: Value, axes: readonly number[]): Value {
  const positions = axes.map((axis) => normalizeAxis(x, axis));
  const wide = positions.find((axis) => x.shape[axis] !== 1);
  if (wide !== undefined) throw new RangeError(`squeeze of axis ${wide} of ${formatShape(x.shape)}`);
  const shape = x.shape.filter((_, axis) => !positions.includes(axis));
  const inputs = [x, int64Vector(x.graph, positions)];
  return addNode(x.graph, 'Squeeze', inputs, {}, [{ dtype: x.dtype, shape }])[0]!;
}

/** Concatenates values along an axis; the other axes must be equal. */
export function concat(values: readonly Value[], axis: number): Value {
  const first = values[0]!;
  const normalAxis = normalizeAxis(first, axis);
  const shape = first.shape.map((dim, position) =>
    position === normalAxis ? values.map((value) => value.shape[normalAxis]!).reduce<Dim>(addDims, 0) : dim,
  );
  requireOneType('Concat', values);
  for (const value of values) {
    const fits = value.shape.every((dim, position) => position === normalAxis || dim === shape[position]);
    if (!fits || value.shape.length !== shape.length) {
      throw new RangeError(
        `concat on axis ${axis}: ${values.map((each) => formatShape(each.shape)).join(', ')}`,
      );
    }
  }
  const outputs = [{ dtype: first.dtype, shape }];
  return addNode(innermost(values), 'Concat', values, { axis: int(normalAxis) }, outputs)[0]!;
}

/**
 * Elements `start` to `end` of one axis, both known statically and counted from the front; to the end without `end`.
 */
export function slice(x: Value, axis: number, start: number, end?: number): Value {
  const normalAxis = normalizeAxis(x, axis);
  const size = x.shape[normalAxis]!;
  const stop = end ?? size;
  const beyond = typeof stop === 'number' && (start > stop || (typeof size === 'number' && stop > size));
  if (start < 0 || beyond) {
    throw new RangeError(`slice ${start}:${stop} of axis ${axis} of ${formatShape(x.shape)}`);
  }
  const shape = x.shape.map((dim, position) => (position === normalAxis ? addDims(stop, -start) : dim));
  const ends = typeof stop === 'number' ? stop : Number.MAX_SAFE_INTEGER;
  const bounds = [[start], [ends], [normalAxis]].map((values) => int64Vector(x.graph, values));
  return addNode(x.graph, 'Slice', [x, ...bounds], {}, [{ dtype: x.dtype, shape }])[0]!;
}

/** Cuts several axes of `x` to sizes known at run time: `ends` int64 [axes.length], `shape` the static equivalent. */
export function sliceTo(x: Value, axes: readonly number[], ends: Value, shape: readonly Dim[]): Value {
  const graph = innermost([x, ends]);
  const starts = int64Vector(
    graph,
    axes.map(() => 0),
  );
  const inputs = [x, starts, ends, int64Vector(graph, axes)];
  return addNode(graph, 'Slice', inputs, {}, [{ dtype: x.dtype, shape }])[0]!;
}

/** Rows of `x` along `axis` picked by int64 indices; the axis becomes the indices' shape. */
export function gather(x: Value, indices: Value, axis: number): Value {
  const normalAxis = normalizeAxis(x, axis);
  const shape = [...x.shape.slice(0, normalAxis), ...indices.shape, ...x.shape.slice(normalAxis + 1)];
  const outputs = [{ dtype: x.dtype, shape }];
  return addNode(innermost([x, indices]), 'Gather', [x, indices], { axis: int(normalAxis) }, outputs)[0]!;
}

/** Adds the rows `updates` [n, ...] into a copy of `x` at the row indices int64 [n] (ScatterND, reduction "add"). */
export function scatterAddRows(x: Value, indices: Value, updates: Value): Value {
  const inputs = [x, unsqueeze(indices, [-1]), updates];
  const attributes = { reduction: { kind: 'string', value: 'add' } as const };
  return addNode(innermost(inputs), 'ScatterND', inputs, attributes, [
    { dtype: x.dtype, shape: x.shape },
  ])[0]!;
}

/** Splits one axis into pieces of the given sizes (the inverse of {@link concat}). */
export function split(x: Value, axis: number, sizes: readonly Dim[], runtimeSizes: Value): Value[] {
  const normalAxis = normalizeAxis(x, axis);
  if (sizes.reduce<Dim>(addDims, 0) !== x.shape[normalAxis]) {
    throw new RangeError(`split of axis ${axis} of ${formatShape(x.shape)} into ${formatShape(sizes)}`);
  }
  const outputs = sizes.map((size) => ({
    dtype: x.dtype,
    shape: x.shape.map((dim, at) => (at === normalAxis ? size : dim)),
  }));
  return addNode(
    innermost([x, runtimeSizes]),
    'Split',
    [x, runtimeSizes],
    { axis: int(normalAxis) },
    outputs,
  );
}

/** Zero padding along one axis; `before` and `after` are int64 [1] known at run time, `dim` the new size. */
export function pad(x: Value, axis: number, before: Value, after: Value, dim: Dim): Value {
  const graph = innermost([x, before, after]);
  const normalAxis = normalizeAxis(x, axis);
  const widths = concat([before, after], 0);
  const shape = x.shape.map((size, at) => (at === normalAxis ? dim : size));
  const inputs = [x, widths, scalar(graph, 0, x.dtype), int64Vector(graph, [normalAxis])];
  return addNode(graph, 'Pad', inputs, {}, [{ dtype: x.dtype, shape }])[0]!;
}

/** int64 [0, 1, ... limit - 1] for a limit known at run time. */
export function arange(limit: Value, dim: Dim): Value {
  return range(scalar(limit.graph, 0, limit.dtype), limit, 1, dim);
}

function range(start: Value, limit: Value, step: number, dim: Dim): Value {
  const graph = innermost([start, limit]);
  const inputs = [start, limit, scalar(graph, step, limit.dtype)];
  return addNode(graph, 'Range', inputs, {}, [{ dtype: limit.dtype, shape: [dim] }])[0]!;
}

/** Above every size and counter. */
const FAR = 2 ** 40;

/**
 * A copy for the device's own arithmetic of an integer that is on the host: a size, or the counter of a loop. int64
 * scalar. A Range of one element reads its bounds on the host and writes its result on the device.
 */
export function onDevice(integer: Value): Value {
  return squeeze(range(integer, scalar(integer.graph, FAR, 'int64'), FAR, 1), [0]);
}

/** int64 [start, start + 1, ... limit - 1] on the device; both bounds int64 scalars on the host. */
export function deviceRange(start: Value, limit: Value, count: Dim): Value {
  return range(start, limit, 1, count);
}
