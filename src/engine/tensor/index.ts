/** @file Tensors, element types, seeded random numbers and safetensors files. */

export {
  dequantizeBlocks,
  type QuantizedBits,
  type QuantizedBlocks,
  quantizeBlocks,
} from './block-quantization.js';
export {
  bfloat16ToFloat32,
  bytesOf,
  createArray,
  type DType,
  decodeBfloat16,
  decodeHalf,
  dtypeInfo,
  dtypes,
  encodeBfloat16,
  encodeFloats,
  encodeHalf,
  float32ToBfloat16,
  float32ToHalf,
  halfToFloat32,
  isFloating,
  type TypedArray,
  type TypedArrayOf,
} from './dtype.js';
export { normalArray, type Random, seededRandom } from './random.js';
export {
  readSafetensors,
  readSafetensorsHeader,
  readSafetensorsTensor,
  type SafetensorsHeader,
} from './safetensors.js';
export type { SafetensorsEntry } from './safetensors-header.js';
export {
  CHECKSUM_KEY,
  hasWholeContent,
  type StreamedTensor,
  stageSafetensors,
  streamSafetensors,
  type WriteOptions,
  writeSafetensors,
} from './safetensors-writer.js';
export { elementCount, float32, float32Of, int64, type Tensor, tensor } from './tensor.js';
