/**
 * @file Element types with their sizes, arrays, and ONNX and safetensors names; and codecs between float32 and the
 * 16-bit formats (IEEE 754 binary16 and bfloat16, round to nearest even).
 */

/**
 * Element types. bfloat16 is carried as raw 16-bit words and never used in JavaScript arithmetic; int4 and uint4 as
 * bytes of two elements, the first in the low half, as in ONNX. Strings occur inside graphs only.
 */
export type DType =
  | 'float32'
  | 'float64'
  | 'float16'
  | 'bfloat16'
  | 'int64'
  | 'int32'
  | 'int8'
  | 'uint8'
  | 'int4'
  | 'uint4'
  | 'bool'
  | 'string';

/** The typed array that holds each element type on the host. */
export interface TypedArrayOf {
  float32: Float32Array;
  float64: Float64Array;
  float16: Uint16Array;
  bfloat16: Uint16Array;
  int64: BigInt64Array;
  int32: Int32Array;
  int8: Int8Array;
  uint8: Uint8Array;
  int4: Uint8Array;
  uint4: Uint8Array;
  bool: Uint8Array;
  string: never;
}

export type TypedArray = TypedArrayOf[DType];

interface DTypeInfo {
  /** Of one element; half a byte for 4 bits. */
  readonly bytes: number;
  /** TensorProto.DataType of the ONNX specification. */
  readonly onnx: number;
  /** Name in a safetensors header; absent if the format has no such type. */
  readonly safetensors?: string;
}

export const dtypeInfo: Readonly<Record<DType, DTypeInfo>> = {
  float32: { bytes: 4, onnx: 1, safetensors: 'F32' },
  uint8: { bytes: 1, onnx: 2, safetensors: 'U8' },
  int8: { bytes: 1, onnx: 3, safetensors: 'I8' },
  int32: { bytes: 4, onnx: 6, safetensors: 'I32' },
  int64: { bytes: 8, onnx: 7, safetensors: 'I64' },
  string: { bytes: 0, onnx: 8 },
  bool: { bytes: 1, onnx: 9, safetensors: 'BOOL' },
  float16: { bytes: 2, onnx: 10, safetensors: 'F16' },
  float64: { bytes: 8, onnx: 11, safetensors: 'F64' },
  bfloat16: { bytes: 2, onnx: 16, safetensors: 'BF16' },
  uint4: { bytes: 0.5, onnx: 21 },
  int4: { bytes: 0.5, onnx: 22 },
};

/** The types that tensors in files may have. */
export const dtypes = (Object.keys(dtypeInfo) as DType[]).filter(
  (dtype) => dtypeInfo[dtype].safetensors !== undefined,
);

/** True for float16, bfloat16, float32 and float64. */
export function isFloating(dtype: DType): boolean {
  return dtype.includes('float');
}

/** Size of so many elements; two 4-bit ones share a byte. */
export function bytesOf(dtype: DType, count: number): number {
  return Math.ceil(count * dtypeInfo[dtype].bytes);
}

/** Length of the array that holds so many elements. */
export function arrayLength(dtype: DType, count: number): number {
  return dtypeInfo[dtype].bytes < 1 ? bytesOf(dtype, count) : count;
}

/** A zeroed array of `length` elements, or a view of `buffer` at `byteOffset`. */
export function createArray<T extends DType>(
  dtype: T,
  length: number,
  buffer: ArrayBufferLike = new ArrayBuffer(bytesOf(dtype, length)),
  byteOffset = 0,
): TypedArrayOf[T] {
  if (dtype === 'string') throw new TypeError('there are no arrays of strings');
  const make = arrayConstructors[dtype as keyof typeof arrayConstructors];
  return new make(buffer as ArrayBuffer, byteOffset, arrayLength(dtype, length)) as TypedArrayOf[T];
}

const arrayConstructors = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int64: BigInt64Array,
  int32: Int32Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int4: Uint8Array,
  uint4: Uint8Array,
  bool: Uint8Array,
};

const scratchFloat = new Float32Array(1);
const scratchBits = new Uint32Array(scratchFloat.buffer);

/** binary16 bits of a float32 value, round to nearest even; overflow becomes infinity. */
export function float32ToHalf(value: number): number {
  scratchFloat[0] = value;
  const bits = scratchBits[0]!;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00; // NaN
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // 65520 and above round to infinity
  if (magnitude < 0x38800000) {
    // Below 2^-14 the result is subnormal: shift the full significand right, then round to even.
    const shift = 126 - (magnitude >>> 23);
    if (shift > 24) return sign;
    const significand = (magnitude & 0x7fffff) | 0x800000;
    const truncated = significand >>> shift;
    const remainder = significand & ((1 << shift) - 1);
    const half = 1 << (shift - 1);
    return sign | (truncated + (remainder > half || (remainder === half && (truncated & 1) === 1) ? 1 : 0));
  }
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
  return sign | ((rounded - 0x38000000) >>> 13);
}

/** float32 value of binary16 bits. */
export function halfToFloat32(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) {
    const value = fraction * 2 ** -24;
    return sign ? -value : value;
  }
  scratchBits[0] =
    exponent === 31
      ? sign | 0x7f800000 | (fraction << 13)
      : sign | ((exponent + 112) << 23) | (fraction << 13);
  return scratchFloat[0]!;
}

/** bfloat16 bits of a float32 value, round to nearest even. */
export function float32ToBfloat16(value: number): number {
  scratchFloat[0] = value;
  const bits = scratchBits[0]!;
  if ((bits & 0x7fffffff) > 0x7f800000) return ((bits >>> 16) | 0x40) & 0xffff; // NaN stays quiet NaN
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

/** float32 value of bfloat16 bits. */
export function bfloat16ToFloat32(word: number): number {
  scratchBits[0] = word << 16;
  return scratchFloat[0]!;
}

/** Encodes a float32 array as binary16 words. */
export function encodeHalf(values: Float32Array, out = new Uint16Array(values.length)): Uint16Array {
  for (let i = 0; i < values.length; i++) out[i] = float32ToHalf(values[i]!);
  return out;
}

/** Decodes binary16 words into float32. */
export function decodeHalf(words: Uint16Array, out = new Float32Array(words.length)): Float32Array {
  for (let i = 0; i < words.length; i++) out[i] = halfToFloat32(words[i]!);
  return out;
}

/** Encodes a float32 array as bfloat16 words. */
export function encodeBfloat16(values: Float32Array, out = new Uint16Array(values.length)): Uint16Array {
  for (let i = 0; i < values.length; i++) out[i] = float32ToBfloat16(values[i]!);
  return out;
}

/** Float32 values as another floating type. @throws TypeError for integers and booleans */
export function encodeFloats(values: Float32Array, dtype: DType): Float32Array | Float64Array | Uint16Array {
  if (dtype === 'float32') return values;
  if (dtype === 'bfloat16') return encodeBfloat16(values);
  if (dtype === 'float16') return encodeHalf(values);
  if (dtype === 'float64') return Float64Array.from(values);
  throw new TypeError(`float32 values cannot be stored as ${dtype}`);
}

/** Decodes bfloat16 words into float32. */
export function decodeBfloat16(words: Uint16Array, out = new Float32Array(words.length)): Float32Array {
  for (let i = 0; i < words.length; i++) out[i] = bfloat16ToFloat32(words[i]!);
  return out;
}
