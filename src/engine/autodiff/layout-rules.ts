/**
 * @file Gradients of the operators that move elements: the inverse moves, with zeros for elements that were dropped.
 */

import {
  concat,
  constantContent,
  int64Vector,
  intAttribute,
  pad,
  productOfDims,
  reshape,
  scatterAddRows,
  sizeOf,
  split,
  sub,
  transpose,
  unsqueeze,
  type Value,
  zerosLike,
} from '../onnx/index.js';
import type { Rule } from './rule.js';

/** y = [a; b; ...]: each input gets its slice of dy. One Split serves all inputs. */
export const concatGradient: Rule = ({ node, dy }) => {
  const axis = intAttribute(node, 'axis');
  const inputs = node.inputs as readonly Value[];
  const sizes = inputs.map((input) => input.shape[axis]!);
  let pieces: Value[] | undefined;
  const piece = (position: number): Value => {
    pieces ??= split(dy, axis, sizes, runtimeSizes(dy, inputs, axis));
    return pieces[position]!;
  };
  return inputs.map((_, position) => () => piece(position));
};

/** Sizes of the inputs along an axis: int64 [inputs], a constant if all are known. */
function runtimeSizes(dy: Value, inputs: readonly Value[], axis: number): Value {
  const sizes = inputs.map((input) => input.shape[axis]!);
  if (sizes.every((size) => typeof size === 'number')) return int64Vector(dy.graph, sizes);
  return concat(
    inputs.map((input) => unsqueeze(sizeOf(input, axis), [0])),
    0,
  );
}

/** x is split into y_i: dx concatenates their gradients. */
export const splitGradient: Rule = ({ node, outputGradients }) => {
  const pieces = node.outputs.map((output, position) => outputGradients[position] ?? zerosLike(output));
  return [() => concat(pieces, intAttribute(node, 'axis'))];
};

/** y = x[start:end] on one axis: dx is dy padded with zeros. */
export const sliceGradient: Rule = ({ node, a, y, dy }) => [
  () => {
    const [starts, axes] = [constantContent(node.inputs[1]!), constantContent(node.inputs[3]!)];
    if (starts?.data.length !== 1 || axes?.data.length !== 1) {
      throw new Error(`${node.name}: the gradient of Slice needs one axis and a start known at build time`);
    }
    const axis = Number(axes.data[0]);
    const start = int64Vector(dy.graph, [Number(starts.data[0])]);
    const used = unsqueeze(sizeOf(y, axis), [0]);
    const rest = sub(sub(unsqueeze(sizeOf(a, axis), [0]), used), start);
    return pad(dy, axis, start, rest, a.shape[axis]!);
  },
];

/** y = x[indices] on one axis: dx adds each row of dy at its index (rows picked twice add up). */
export const gatherGradient: Rule = ({ node, a, b, dy }) => [
  () => {
    const axis = intAttribute(node, 'axis');
    const rows = productOfDims(b.shape);
    const [first, slopes] = [axisFirst(a, axis, 1), axisFirst(dy, axis, b.shape.length)];
    const width = first.shape.slice(1);
    if (b.shape.length !== 1 && width.some((dim) => typeof dim !== 'number')) {
      throw new Error(`${node.name}: the gradient of Gather needs rows of a width known at build time`);
    }
    const added = scatterAddRows(zerosLike(first), reshape(b, [rows]), reshape(slopes, [rows, ...width]));
    if (axis === 0) return added;
    const others = [...a.shape.keys()].slice(1);
    return transpose(added, [...others.slice(0, axis), 0, ...others.slice(axis)]);
  },
];

/** The `count` axes from `axis` on before all others. */
function axisFirst(x: Value, axis: number, count: number): Value {
  if (axis === 0) return x;
  const axes = [...x.shape.keys()];
  return transpose(x, [
    ...axes.slice(axis, axis + count),
    ...axes.slice(0, axis),
    ...axes.slice(axis + count),
  ]);
}
