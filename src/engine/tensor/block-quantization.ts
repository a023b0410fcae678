/**
 * @file Blockwise quantization of weights to 8 or 4 bits, round to nearest, with a float16 scale per block. A value is
 * (integer - zero point) * scale, as in ONNX's DequantizeLinear. 8 bits are signed and have no zero point; 4 bits are
 * unsigned and have one per block, whose squared error on real weights is a third less than that of signed ones.
 */

import { decodeHalf, float32ToHalf, halfToFloat32 } from './dtype.js';

/** Widths of the integers. */
export type QuantizedBits = 4 | 8;

/** A row-major array in blocks of consecutive elements. */
export interface QuantizedBlocks {
  /** int8: one byte per element. uint4: two elements per byte, the first in the low half. */
  readonly integers: Uint8Array;
  /** float16 words, one per block. */
  readonly scales: Uint16Array;
  /** uint4, packed like the integers, one per block; absent for 8 bits. */
  readonly zeroPoints: Uint8Array | undefined;
}

/** Ranges tried for 4 bits, as fractions of the block's own: clipping an outlier can lower the error of the others. */
const RANGES = [1, 0.95, 0.9, 0.85, 0.8];

/**
 * Quantizes an array.
 * @param values finite; a whole number of blocks
 * @param blockSize even
 * @throws RangeError if a value is not finite, or too large for a float16 scale
 */
export function quantizeBlocks(
  values: Float32Array,
  bits: QuantizedBits,
  blockSize: number,
): QuantizedBlocks {
  const blocks = values.length / blockSize;
  const integers = new Uint8Array((values.length * bits) / 8);
  const scales = new Uint16Array(blocks);
  if (bits === 8) {
    for (let block = 0; block < blocks; block++) {
      scales[block] = quantizeTo8(values, block * blockSize, blockSize, integers);
    }
    return { integers, scales, zeroPoints: undefined };
  }
  const zeroPoints = new Uint8Array(Math.ceil(blocks / 2));
  const best = { scale: 0, zeroPoint: 0 };
  for (let block = 0; block < blocks; block++) {
    const start = block * blockSize;
    chooseScale(values, start, start + blockSize, best);
    scales[block] = float32ToHalf(best.scale);
    zeroPoints[block >> 1]! |= best.zeroPoint << (4 * (block & 1));
    packTo4(values, start, start + blockSize, best, integers);
  }
  return { integers, scales, zeroPoints };
}

/** Writes a block as int8; returns its scale. */
function quantizeTo8(values: Float32Array, start: number, blockSize: number, integers: Uint8Array): number {
  let largest = 0;
  for (let i = start; i < start + blockSize; i++) {
    const size = Math.abs(values[i]!);
    if (size > largest || Number.isNaN(size)) largest = size;
  }
  const word = scaleWord(largest / 127);
  const inverse = inverseOf(halfToFloat32(word));
  for (let i = start; i < start + blockSize; i++) {
    const rounded = Math.floor(values[i]! * inverse + 0.5);
    integers[i] = rounded > 127 ? 127 : rounded < -127 ? -127 : rounded; // the array keeps the lowest 8 bits
  }
  return word;
}

/** The scale and zero point of a block with the smallest squared error over the tried ranges. */
function chooseScale(
  values: Float32Array,
  start: number,
  end: number,
  best: { scale: number; zeroPoint: number },
): void {
  // 0 is in the range, so that it stays exactly 0.
  let [low, high] = [0, 0];
  for (let i = start; i < end; i++) {
    const value = values[i]!;
    if (value < low) low = value;
    else if (value > high || Number.isNaN(value)) high = value;
  }
  let least = Number.POSITIVE_INFINITY;
  for (const range of RANGES) {
    const scale = halfToFloat32(scaleWord(((high - low) * range) / 15));
    const inverse = inverseOf(scale);
    const zeroPoint = Math.min(Math.floor(-low * range * inverse + 0.5), 15);
    const top = 15 - zeroPoint;
    let error = 0;
    for (let i = start; i < end && error < least; i++) {
      const value = values[i]!;
      const rounded = Math.floor(value * inverse + 0.5);
      const steps = rounded > top ? top : rounded < -zeroPoint ? -zeroPoint : rounded;
      const difference = steps * scale - value;
      error += difference * difference;
    }
    if (error >= least) continue;
    least = error;
    best.scale = scale;
    best.zeroPoint = zeroPoint;
  }
}

function packTo4(
  values: Float32Array,
  start: number,
  end: number,
  { scale, zeroPoint }: { readonly scale: number; readonly zeroPoint: number },
  integers: Uint8Array,
): void {
  const inverse = inverseOf(scale);
  for (let i = start; i < end; i += 2) {
    const first = Math.floor(values[i]! * inverse + 0.5) + zeroPoint;
    const second = Math.floor(values[i + 1]! * inverse + 0.5) + zeroPoint;
    integers[i >> 1] =
      (first > 15 ? 15 : first < 0 ? 0 : first) | ((second > 15 ? 15 : second < 0 ? 0 : second) << 4);
  }
}

function scaleWord(scale: number): number {
  const word = float32ToHalf(scale);
  if (word >= 0x7c00) {
    throw new RangeError('the values are not numbers, or too large for a scale in float16');
  }
  return word;
}

/** A block whose scale rounds to 0 becomes zeros. */
function inverseOf(scale: number): number {
  return scale === 0 ? 0 : 1 / scale;
}

/** The values of an array, each rounded to float32 once. */
export function dequantizeBlocks({ integers, scales, zeroPoints }: QuantizedBlocks): Float32Array {
  const factors = decodeHalf(scales);
  const signed = zeroPoints === undefined;
  const values = new Float32Array(signed ? integers.length : 2 * integers.length);
  const blockSize = values.length / scales.length;
  for (let block = 0; block < scales.length; block++) {
    const factor = factors[block]!;
    const zeroPoint = signed ? 0 : (zeroPoints[block >> 1]! >> (4 * (block & 1))) & 15;
    for (let i = block * blockSize; i < (block + 1) * blockSize; i++) {
      const integer = signed ? (integers[i]! << 24) >> 24 : (integers[i >> 1]! >> (4 * (i & 1))) & 15;
      values[i] = (integer - zeroPoint) * factor;
    }
  }
  return values;
}
