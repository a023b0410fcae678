/** @file Elementwise operators with NumPy broadcasting. Plain numbers become scalars of the other operand's type. */

import {
  createArray,
  type DType,
  float32ToBfloat16,
  float32ToHalf,
  isFloating,
  tensor,
} from '../tensor/index.js';
import { broadcastShapes, formatShape, sameShape } from './dims.js';
import { addNode, constant, type Graph, innermost, type Value } from './graph.js';
import type { OperatorType } from './operator-types.js';

/** A value, or a number that becomes a scalar constant of the other operand's type. */
export type Operand = Value | number;

/** A scalar constant. */
export function scalar(graph: Graph, value: number, dtype: DType = 'float32'): Value {
  const data = createArray(dtype, 1);
  if (data instanceof BigInt64Array) data[0] = BigInt(value);
  else if (dtype === 'float16') data[0] = float32ToHalf(value);
  else if (dtype === 'bfloat16') data[0] = float32ToBfloat16(value);
  else data[0] = value;
  return constant(graph, tensor(dtype, [], data));
}

function binary(operator: OperatorType, a: Operand, b: Operand, result?: DType): Value {
  const known = typeof a !== 'number' ? a : b;
  if (typeof known === 'number') throw new Error(`${operator} of two numbers needs no graph`);
  const operands = [a, b].map((x) => (typeof x === 'number' ? scalar(known.graph, x, known.dtype) : x)) as [
    Value,
    Value,
  ];
  const [left, right] = operands;
  requireOneType(operator, operands);
  const shape = broadcastShapes(left.shape, right.shape);
  return addNode(innermost(operands), operator, operands, {}, [{ dtype: result ?? left.dtype, shape }])[0]!;
}

/** @throws TypeError if the operands have different element types; ONNX never converts implicitly */
export function requireOneType(operator: OperatorType, operands: readonly Value[]): void {
  const [first, ...rest] = operands as [Value, ...Value[]];
  const other = rest.find((operand) => operand.dtype !== first.dtype);
  if (other !== undefined) {
    throw new TypeError(
      `${operator}: ${first.name} is ${first.dtype}, ${other.name} is ${other.dtype}; cast one`,
    );
  }
}

function unary(operator: OperatorType, x: Value): Value {
  return addNode(x.graph, operator, [x], {}, [{ dtype: x.dtype, shape: x.shape }])[0]!;
}

export const add = (a: Operand, b: Operand): Value => binary('Add', a, b);
export const sub = (a: Operand, b: Operand): Value => binary('Sub', a, b);
export const mul = (a: Operand, b: Operand): Value => binary('Mul', a, b);
export const div = (a: Operand, b: Operand): Value => binary('Div', a, b);
export const pow = (a: Value, exponent: Operand): Value => binary('Pow', a, exponent);
/** Integer remainder, with the sign of the divisor. */
export function mod(a: Operand, b: Operand): Value {
  if ([a, b].some((x) => typeof x !== 'number' && isFloating(x.dtype)))
    throw new TypeError('Mod needs integers');
  return binary('Mod', a, b);
}
export const less = (a: Operand, b: Operand): Value => binary('Less', a, b, 'bool');
export const greaterOrEqual = (a: Operand, b: Operand): Value => binary('GreaterOrEqual', a, b, 'bool');
export const equal = (a: Operand, b: Operand): Value => binary('Equal', a, b, 'bool');
export const and = (a: Value, b: Value): Value => binary('And', a, b);
export const not = (x: Value): Value => unary('Not', x);
export const neg = (x: Value): Value => unary('Neg', x);
export const exp = (x: Value): Value => unary('Exp', x);
export const log = (x: Value): Value => unary('Log', x);
export const sqrt = (x: Value): Value => unary('Sqrt', x);
export const erf = (x: Value): Value => unary('Erf', x);
export const tanh = (x: Value): Value => unary('Tanh', x);
/** max(x, 0). */
export const relu = (x: Value): Value => unary('Relu', x);
export const sigmoid = (x: Value): Value => unary('Sigmoid', x);
export const sin = (x: Value): Value => unary('Sin', x);
export const cos = (x: Value): Value => unary('Cos', x);
export const identity = (x: Value): Value => unary('Identity', x);

/** The same value, through which no gradient flows. */
export function detached(x: Value): Value {
  const same = identity(x);
  same.graph.detached.add(same);
  return same;
}

/** Elementwise minimum of two operands. */
export const min = (a: Operand, b: Operand): Value => binary('Min', a, b);
/** Elementwise maximum of two operands. */
export const max = (a: Operand, b: Operand): Value => binary('Max', a, b);

/** Limits values to [low, high]. */
export function clip(x: Value, low: number, high: number): Value {
  const bounds = [scalar(x.graph, low, x.dtype), scalar(x.graph, high, x.dtype)];
  return addNode(x.graph, 'Clip', [x, ...bounds], {}, [{ dtype: x.dtype, shape: x.shape }])[0]!;
}

/** Sum of several values of the same shape. */
export function sum(values: readonly Value[]): Value {
  const { dtype, shape } = values[0]!;
  const other = values.find((value) => !sameShape(value.shape, shape));
  if (other !== undefined)
    throw new RangeError(`sum of ${formatShape(shape)} and ${formatShape(other.shape)}`);
  if (values.length === 1) return values[0]!;
  if (values.length === 2) return add(values[0]!, values[1]!);
  requireOneType('Sum', values);
  return addNode(innermost(values), 'Sum', values, {}, [{ dtype, shape }])[0]!;
}

/** condition ? a : b, all three broadcast. */
export function where(condition: Value, a: Operand, b: Operand): Value {
  const typed = typeof a !== 'number' ? a : b;
  const dtype = typeof typed === 'number' ? 'float32' : typed.dtype;
  const [yes, no] = [a, b].map((x) => (typeof x === 'number' ? scalar(condition.graph, x, dtype) : x)) as [
    Value,
    Value,
  ];
  requireOneType('Where', [yes, no]);
  const shape = broadcastShapes(condition.shape, broadcastShapes(yes.shape, no.shape));
  return addNode(innermost([condition, yes, no]), 'Where', [condition, yes, no], {}, [{ dtype, shape }])[0]!;
}

/** Changes the element type; returns the value itself if it already has that type. */
export function cast(x: Value, dtype: DType): Value {
  if (x.dtype === dtype) return x;
  const to = { kind: 'dtype', value: dtype } as const;
  return addNode(x.graph, 'Cast', [x], { to }, [{ dtype, shape: x.shape }])[0]!;
}
