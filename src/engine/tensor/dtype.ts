/** @file The element types that emoq handles, with their sizes, arrays and ONNX and safetensors names. */

/** Element types. bfloat16 is carried as raw 16-bit words and never enters arithmetic in JavaScript. */
export type DType =
  | 'float32'
  | 'float64'
  | 'float16'
  | 'bfloat16'
  | 'int64'
  | 'int32'
  | 'int8'
  | 'uint8'
  | 'bool';

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
  bool: Uint8Array;
}

export type TypedArray = TypedArrayOf[DType];

interface DTypeInfo {
  readonly bytes: number;
  /** TensorProto.DataType of the ONNX specification. */
  readonly onnx: number;
  /** Name in a safetensors header. */
  readonly safetensors: string;
}

export const dtypeInfo: Readonly<Record<DType, DTypeInfo>> = {
  float32: { bytes: 4, onnx: 1, safetensors: 'F32' },
  uint8: { bytes: 1, onnx: 2, safetensors: 'U8' },
  int8: { bytes: 1, onnx: 3, safetensors: 'I8' },
  int32: { bytes: 4, onnx: 6, safetensors: 'I32' },
  int64: { bytes: 8, onnx: 7, safetensors: 'I64' },
  bool: { bytes: 1, onnx: 9, safetensors: 'BOOL' },
  float16: { bytes: 2, onnx: 10, safetensors: 'F16' },
  float64: { bytes: 8, onnx: 11, safetensors: 'F64' },
  bfloat16: { bytes: 2, onnx: 16, safetensors: 'BF16' },
};

export const dtypes = Object.keys(dtypeInfo) as DType[];

/** True for float16, bfloat16, float32 and float64. */
export function isFloating(dtype: DType): boolean {
  return dtype.includes('float');
}

/** A zeroed array of `length` elements, on `buffer` at `byteOffset` if given. */
export function createArray<T extends DType>(
  dtype: T,
  length: number,
  buffer: ArrayBufferLike = new ArrayBuffer(length * dtypeInfo[dtype].bytes),
  byteOffset = 0,
): TypedArrayOf[T] {
  return new arrayConstructors[dtype](buffer as ArrayBuffer, byteOffset, length) as TypedArrayOf[T];
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
  bool: Uint8Array,
};
