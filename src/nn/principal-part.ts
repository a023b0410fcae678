/**
 * @file The largest singular values of a matrix and their vectors, by a randomized range finder with power iterations
 * (Halko, Martinsson and Tropp, 2011).
 */

import { seededRandom } from '../engine/tensor/index.js';

/** W is close to the sum over k of values[k] left[k] right[k]', the best approximation of that rank. */
export interface PrincipalPart {
  /** Singular values, the largest first: r of them. */
  readonly values: Float64Array;
  /** Left singular vectors, [r, out]. */
  readonly left: Float64Array;
  /** Right singular vectors, [r, in]. */
  readonly right: Float64Array;
}

/** Further directions that are searched, and passes over the matrix each way. */
const [OVERSAMPLING, POWER_ITERATIONS] = [16, 6];
/** With a side of up to this, all directions are searched, and the result is exact. */
const WHOLE_SIDE = 64;

/**
 * The r largest singular values of a matrix [out, in], row by row, with their vectors. Works in float64, in 14 passes
 * over the matrix, each of (r + 16) multiply-adds per element. Of values that are nearly equal, which ones count as the
 * largest depends on the draw.
 * @param rank at most the smaller side
 * @param random names what the starting directions are drawn for
 */
export function principalPart(
  matrix: Float32Array,
  [out, width]: readonly [number, number],
  rank: number,
  random: readonly [seed: number, ...what: string[]],
): PrincipalPart {
  const side = Math.min(out, width);
  const count = side <= WHOLE_SIDE ? side : Math.min(rank + OVERSAMPLING, side);
  const source = seededRandom(...random);
  let columns: Float64Array = Float64Array.from({ length: width * count }, () => source.normal()); // [in, count]
  let rows: Float64Array = times(matrix, out, width, columns, count); // [out, count]
  for (let pass = 0; pass < POWER_ITERATIONS; pass++) {
    orthonormalize(rows, out, count);
    columns = transposedTimes(matrix, out, width, rows, count);
    orthonormalize(columns, width, count);
    rows = times(matrix, out, width, columns, count);
  }
  orthonormalize(rows, out, count); // Q
  const inner = transposedTimes(matrix, out, width, rows, count); // (Q' W)' [in, count]
  const { values: squares, vectors } = symmetricEigen(gram(inner, width, count), count);
  const values = squares.slice(0, rank).map((square) => Math.sqrt(Math.max(square, 0)));
  const left = new Float64Array(rank * out);
  const right = new Float64Array(rank * width);
  for (let k = 0; k < rank; k++) {
    for (let j = 0; j < count; j++) {
      const share = vectors[j * count + k]!;
      for (let o = 0; o < out; o++) left[k * out + o]! += share * rows[o * count + j]!;
      const scaled = values[k]! > 0 ? share / values[k]! : 0;
      for (let i = 0; i < width; i++) right[k * width + i]! += scaled * inner[i * count + j]!;
    }
  }
  return { values, left, right };
}

/** W X: [out, in] [in, count] -> [out, count]. */
function times(w: Float32Array, out: number, width: number, x: Float64Array, count: number): Float64Array {
  const product = new Float64Array(out * count);
  for (let o = 0; o < out; o++) {
    const at = o * count;
    for (let i = 0; i < width; i++) {
      const value = w[o * width + i]!;
      const from = i * count;
      for (let j = 0; j < count; j++) product[at + j]! += value * x[from + j]!;
    }
  }
  return product;
}

/** W' Y: [out, in]' [out, count] -> [in, count]. */
function transposedTimes(
  w: Float32Array,
  out: number,
  width: number,
  y: Float64Array,
  count: number,
): Float64Array {
  const product = new Float64Array(width * count);
  for (let o = 0; o < out; o++) {
    const from = o * count;
    for (let i = 0; i < width; i++) {
      const value = w[o * width + i]!;
      const at = i * count;
      for (let j = 0; j < count; j++) product[at + j]! += value * y[from + j]!;
    }
  }
  return product;
}

/** Makes the columns of x [rows, count] orthonormal, in place; a column that depends on those before it becomes 0. */
function orthonormalize(x: Float64Array, rows: number, count: number): void {
  for (let j = 0; j < count; j++) {
    const before = norm(x, rows, count, j);
    // Twice is enough for orthogonality to rounding.
    for (let round = 0; round < 2; round++) {
      for (let k = 0; k < j; k++) {
        let dot = 0;
        for (let row = 0; row < rows; row++) dot += x[row * count + k]! * x[row * count + j]!;
        for (let row = 0; row < rows; row++) x[row * count + j]! -= dot * x[row * count + k]!;
      }
    }
    const length = norm(x, rows, count, j);
    const scale = length > 1e-12 * before ? 1 / length : 0;
    for (let row = 0; row < rows; row++) x[row * count + j]! *= scale;
  }
}

function norm(x: Float64Array, rows: number, count: number, column: number): number {
  let sum = 0;
  for (let row = 0; row < rows; row++) sum += x[row * count + column]! ** 2;
  return Math.sqrt(sum);
}

/** X' X of x [rows, count]: [count, count]. */
function gram(x: Float64Array, rows: number, count: number): Float64Array {
  const product = new Float64Array(count * count);
  for (let row = 0; row < rows; row++) {
    for (let j = 0; j < count; j++) {
      const value = x[row * count + j]!;
      for (let k = 0; k < count; k++) product[j * count + k]! += value * x[row * count + k]!;
    }
  }
  return product;
}

/** Jacobi rotations end when no off-diagonal element is larger than this share of the largest on the diagonal. */
const [MOST_SWEEPS, NEGLIGIBLE] = [60, 1e-15];

/**
 * Eigenvalues of a symmetric matrix [n, n], the largest first, and their eigenvectors as columns, by Jacobi's method.
 * Changes the matrix.
 */
function symmetricEigen(a: Float64Array, n: number): { values: Float64Array; vectors: Float64Array } {
  const v = new Float64Array(n * n);
  for (let i = 0; i < n; i++) v[i * n + i] = 1;
  for (let sweep = 0; sweep < MOST_SWEEPS; sweep++) {
    let largest = 0;
    let rotated = false;
    for (let i = 0; i < n; i++) largest = Math.max(largest, Math.abs(a[i * n + i]!));
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        const off = a[p * n + q]!;
        if (Math.abs(off) <= NEGLIGIBLE * largest) continue;
        rotated = true;
        const theta = (a[q * n + q]! - a[p * n + p]!) / (2 * off);
        const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        const c = 1 / Math.sqrt(t * t + 1);
        rotate(a, n, p, q, c, t * c);
        rotateColumns(v, n, p, q, c, t * c);
      }
    }
    if (!rotated) break;
  }
  const order = [...Array(n).keys()].sort((i, j) => a[j * n + j]! - a[i * n + i]!);
  const vectors = new Float64Array(n * n);
  order.forEach((from, to) => {
    for (let row = 0; row < n; row++) vectors[row * n + to] = v[row * n + from]!;
  });
  return { values: Float64Array.from(order, (i) => a[i * n + i]!), vectors };
}

/** J' A J for the rotation J of p and q. */
function rotate(a: Float64Array, n: number, p: number, q: number, c: number, s: number): void {
  rotateColumns(a, n, p, q, c, s);
  for (let k = 0; k < n; k++) {
    const [x, y] = [a[p * n + k]!, a[q * n + k]!];
    a[p * n + k] = c * x - s * y;
    a[q * n + k] = s * x + c * y;
  }
}

function rotateColumns(a: Float64Array, n: number, p: number, q: number, c: number, s: number): void {
  for (let k = 0; k < n; k++) {
    const [x, y] = [a[k * n + p]!, a[k * n + q]!];
    a[k * n + p] = c * x - s * y;
    a[k * n + q] = s * x + c * y;
  }
}
