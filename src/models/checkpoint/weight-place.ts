/** @file Where one tensor lies in its file. */

import type { DType } from '../../engine/tensor/index.js';

/** A range of bytes that are a tensor, row-major and little-endian. */
export interface WeightPlace {
  dtype: DType;
  shape: readonly number[];
  /** Absolute byte offset in the file. */
  offset: number;
  byteLength: number;
}
