/** @file Places in a sequence: which come before which, and counts of a mask up to each. */

import { arange, cast, gemm, greaterOrEqual, sizeOf, unsqueeze, type Value } from '../engine/onnx/index.js';

/** True where the column is not after the row: [N, L] -> bool [L, L]. */
export function causalMask(sequences: Value): Value {
  const order = arange(sizeOf(sequences, 1), sequences.shape[1]!);
  return greaterOrEqual(unsqueeze(order, [1]), unsqueeze(order, [0]));
}

/**
 * How many ones a mask holds up to and with each place.
 * @param mask [N, L], ones and zeros
 * @param causal bool [L, L], see `causalMask`
 * @returns float32 [N, L]; counts exactly up to 16,777,216
 */
export function runningCount(mask: Value, causal: Value): Value {
  // As a product with the triangle: ones and zeros, exact in any precision.
  return gemm(cast(mask, 'float32'), cast(causal, 'float32'), undefined, { transB: true });
}
