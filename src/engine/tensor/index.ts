/** @file Door of the tensor room. */

export {
  createArray,
  type DType,
  dtypeInfo,
  dtypes,
  isFloating,
  type TypedArray,
  type TypedArrayOf,
} from './dtype.js';
export {
  bfloat16ToFloat32,
  decodeBfloat16,
  decodeHalf,
  encodeBfloat16,
  encodeHalf,
  float32ToBfloat16,
  float32ToHalf,
  halfToFloat32,
} from './half.js';
export { normalArray, type Random, seededRandom } from './random.js';
export {
  readSafetensors,
  readSafetensorsHeader,
  readSafetensorsTensor,
  type SafetensorsHeader,
} from './safetensors.js';
export { CHECKSUM_KEY, hasWholeContent } from './safetensors-checksum.js';
export type { SafetensorsEntry } from './safetensors-header.js';
export {
  type StreamedTensor,
  stageSafetensors,
  streamSafetensors,
  type WriteOptions,
  writeSafetensors,
} from './safetensors-writer.js';
export { elementCount, float32, float32Of, int64, type Tensor, tensor } from './tensor.js';
