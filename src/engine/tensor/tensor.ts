/** @file A host tensor: an element type, a shape and a flat row-major array. */

import {
  arrayLength,
  createArray,
  type DType,
  decodeBfloat16,
  decodeHalf,
  type TypedArrayOf,
} from './dtype.js';

/** Row-major host tensor. `data.length` is the product of `shape`, half of it for 4-bit elements. */
export interface Tensor<T extends DType = DType> {
  readonly dtype: T;
  readonly shape: readonly number[];
  readonly data: TypedArrayOf[T];
}

/** Number of elements of a shape; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/**
 * Wraps `data` as a tensor, or makes a zero tensor without it.
 * @throws RangeError when the length of `data` does not match the shape
 */
export function tensor<T extends DType>(
  dtype: T,
  shape: readonly number[],
  data: TypedArrayOf[T] = createArray(dtype, elementCount(shape)),
): Tensor<T> {
  const length = arrayLength(dtype, elementCount(shape));
  if (data.length !== length) {
    throw new RangeError(
      `tensor of shape [${shape.join(', ')}] needs ${length} elements, got ${data.length}`,
    );
  }
  return { dtype, shape, data };
}

/** float32 tensor from plain numbers. */
export function float32(shape: readonly number[], values: ArrayLike<number>): Tensor<'float32'> {
  return tensor('float32', shape, Float32Array.from(values));
}

/** int64 tensor from plain integers. */
export function int64(shape: readonly number[], values: ArrayLike<number>): Tensor<'int64'> {
  return tensor('int64', shape, BigInt64Array.from(Array.from(values, (value) => BigInt(value))));
}

/**
 * The values of a floating-point tensor as float32; a float32 tensor's own array is returned without a copy.
 * @throws TypeError for integers and booleans
 */
export function float32Of({ dtype, data }: Tensor): Float32Array {
  if (dtype === 'float32') return data as Float32Array;
  if (dtype === 'float64') return Float32Array.from(data as Float64Array);
  if (dtype === 'float16') return decodeHalf(data as Uint16Array);
  if (dtype === 'bfloat16') return decodeBfloat16(data as Uint16Array);
  throw new TypeError(`a ${dtype} tensor has no float32 values`);
}
