/** @file Points that fill a cube evenly: Sobol' sequences, moved by a random digital shift. */

import { seededRandom } from '../../engine/tensor/index.js';

/**
 * For dimensions from the second: a primitive polynomial over GF(2), as bits, and initial direction numbers m_1, m_2,
 * ... (Joe and Kuo 2008, "Constructing Sobol sequences with better two-dimensional projections", table D6).
 */
const DIRECTIONS: readonly (readonly [polynomial: number, ...initial: number[]])[] = [
  [3, 1],
  [7, 1, 3],
  [11, 1, 3, 1],
  [13, 1, 1, 1],
  [19, 1, 1, 3, 3],
  [25, 1, 3, 5, 13],
  [37, 1, 1, 5, 5, 17],
  [41, 1, 1, 5, 5, 5],
  [47, 1, 1, 7, 11, 19],
  [55, 1, 1, 5, 1, 1],
  [59, 1, 1, 1, 3, 11],
  [61, 1, 3, 5, 5, 31],
  [67, 1, 3, 3, 9, 7, 49],
  [91, 1, 1, 1, 15, 21, 21],
  [97, 1, 3, 1, 13, 27, 49],
  [103, 1, 1, 1, 15, 7, 5],
  [109, 1, 3, 1, 15, 13, 25],
  [115, 1, 1, 5, 5, 19, 61],
  [131, 1, 3, 7, 11, 23, 15, 103],
  [137, 1, 3, 7, 13, 13, 15, 69],
  [143, 1, 1, 3, 13, 7, 35, 63],
  [145, 1, 3, 5, 9, 1, 25, 53],
  [157, 1, 3, 1, 13, 9, 35, 107],
  [167, 1, 3, 1, 5, 27, 61, 31],
  [171, 1, 1, 5, 11, 19, 41, 61],
  [185, 1, 3, 5, 3, 3, 13, 69],
  [191, 1, 1, 7, 13, 1, 19, 1],
  [193, 1, 3, 7, 5, 13, 19, 59],
  [203, 1, 1, 3, 9, 25, 29, 41],
  [211, 1, 3, 5, 13, 23, 1, 55],
  [213, 1, 3, 7, 3, 13, 59, 17],
];

/** The most dimensions of a point. */
export const MOST_DIMENSIONS = DIRECTIONS.length + 1;

/** Bits of a coordinate. */
const BITS = 30;

/** Coordinates of the point `index` from 0, unshifted, as integers of 30 bits, in the order of the Gray code. */
export function sobolPoint(index: number, dimensions: number): number[] {
  const gray = index ^ (index >>> 1);
  return Array.from({ length: dimensions }, (_, dimension) => {
    let x = 0;
    directionNumbers(dimension).forEach((direction, bit) => {
      if ((gray >>> bit) & 1) x ^= direction;
    });
    return x;
  });
}

/**
 * The point `index` from 0 of a sequence in [0, 1)^dimensions that is moved by a shift drawn from the seed: every
 * coordinate is exclusive-ored with bits of its own, which keeps how evenly points are spread.
 */
export function shiftedSobolPoint(index: number, dimensions: number, seed: number): number[] {
  return sobolPoint(index, dimensions).map((x, dimension) => {
    const shift = seededRandom(seed, 'search shift', dimension).uint32() >>> (32 - BITS);
    return (x ^ shift) / 2 ** BITS;
  });
}

const known = new Map<number, readonly number[]>();

/** v_1, ..., v_30 of a dimension from 0, as integers of 30 bits. */
function directionNumbers(dimension: number): readonly number[] {
  const found = known.get(dimension);
  if (found !== undefined) return found;
  const numbers: number[] = [];
  const [polynomial, ...initial] = DIRECTIONS[dimension - 1] ?? [1];
  const degree = initial.length;
  for (let bit = 0; bit < BITS; bit++) {
    if (dimension === 0) numbers.push(1 << (BITS - 1 - bit));
    else if (bit < degree) numbers.push(initial[bit]! << (BITS - 1 - bit));
    else {
      // The recurrence by the polynomial's coefficients; its highest and lowest are 1.
      let v = numbers[bit - degree]! ^ (numbers[bit - degree]! >>> degree);
      for (let k = 1; k < degree; k++) {
        if ((polynomial >>> (degree - k)) & 1) v ^= numbers[bit - k]!;
      }
      numbers.push(v);
    }
  }
  known.set(dimension, numbers);
  return numbers;
}
