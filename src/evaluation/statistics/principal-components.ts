/**
 * @file Principal components of many vectors by a randomised range finder with power iterations (Halko, Martinsson and
 * Tropp, 2011, algorithm 4.4). Exact to rounding if the spectrum decays, and deterministic.
 */

import { seededRandom } from '../../engine/tensor/index.js';

/** Vectors in the coordinates of their own principal components. */
export interface PrincipalComponents {
  /** [rows, components]: centred vectors times the components, largest variance first. */
  readonly scores: Float64Array;
  readonly components: number;
  /** Share of the variance along each component; all 0 if the vectors are equal. */
  readonly varianceShares: readonly number[];
}

/** Extra directions beyond those requested, as the method's error bound requires. */
const OVERSAMPLING = 10;
const POWER_ITERATIONS = 8;
/** A direction that shrinks below this share of its length is linearly dependent. */
const DEPENDENT = 1e-10;

/**
 * Principal components of `vectors` [rows, width]: at most `most`, and no more than rows and width allow. The sign of
 * each makes its largest weight positive.
 */
export function principalComponents(
  vectors: ArrayLike<number>,
  rows: number,
  width: number,
  most: number,
): PrincipalComponents {
  const mean = columnMeans(vectors, rows, width);
  const covariance = covarianceOf(vectors, mean, rows, width); // [width, width]
  const components = Math.max(1, Math.min(most, width, rows - 1));
  const directions = Math.min(width, components + OVERSAMPLING);
  const random = seededRandom(0, 'principal components');
  let basis: Float64Array[] = Array.from({ length: directions }, () =>
    Float64Array.from({ length: width }, random.normal),
  );
  orthonormalise(basis);
  for (let iteration = 0; iteration < POWER_ITERATIONS; iteration++) {
    basis = basis.map((direction) => product(covariance, direction));
    orthonormalise(basis);
  }
  // Rayleigh-Ritz: diagonalises the covariance within the directions found.
  const images = basis.map((direction) => product(covariance, direction));
  const inside = basis.map((direction) => Float64Array.from(images, (image) => dot(direction, image)));
  const { values, vectors: turns } = symmetricEigen(inside);
  const order = [...values.keys()].sort((a, b) => values[b]! - values[a]!).slice(0, components);
  const axes = order.map((which) => withSign(combined(basis, turns[which]!)));

  let total = 0;
  for (let i = 0; i < width; i++) total += covariance[i * width + i]!;
  const scores = new Float64Array(rows * components);
  const centred = new Float64Array(width);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < width; i++) centred[i] = vectors[row * width + i]! - mean[i]!;
    for (let k = 0; k < components; k++) scores[row * components + k] = dot(centred, axes[k]!);
  }
  const varianceShares = order.map((which) => (total > 0 ? Math.max(0, values[which]!) / total : 0));
  return { scores, components, varianceShares };
}

function columnMeans(vectors: ArrayLike<number>, rows: number, width: number): Float64Array {
  const mean = new Float64Array(width);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < width; i++) mean[i]! += vectors[row * width + i]!;
  }
  return mean.map((sum) => sum / rows);
}

/** Sum over the rows of (x - mean)(x - mean)^T, four rows at a time, so the matrix is traversed a quarter as often. */
function covarianceOf(
  vectors: ArrayLike<number>,
  mean: Float64Array,
  rows: number,
  width: number,
): Float64Array {
  const covariance = new Float64Array(width * width);
  const four = [0, 1, 2, 3].map(() => new Float64Array(width));
  const [a, b, c, d] = four as [Float64Array, Float64Array, Float64Array, Float64Array];
  for (let row = 0; row < rows; row += 4) {
    for (const [offset, centred] of four.entries()) {
      const start = (row + offset) * width;
      for (let i = 0; i < width; i++) centred[i] = row + offset < rows ? vectors[start + i]! - mean[i]! : 0;
    }
    for (let i = 0; i < width; i++) {
      const [ai, bi, ci, di] = [a[i]!, b[i]!, c[i]!, d[i]!];
      const start = i * width;
      for (let j = i; j < width; j++) {
        covariance[start + j]! += ai * a[j]! + bi * b[j]! + ci * c[j]! + di * d[j]!;
      }
    }
  }
  for (let i = 0; i < width; i++) {
    for (let j = 0; j < i; j++) covariance[i * width + j] = covariance[j * width + i]!;
  }
  return covariance;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** [width, width] times [width]. */
function product(matrix: Float64Array, vector: Float64Array): Float64Array {
  const width = vector.length;
  const result = new Float64Array(width);
  for (let i = 0; i < width; i++) result[i] = dot(matrix.subarray(i * width, (i + 1) * width), vector);
  return result;
}

/**
 * In-place Gram-Schmidt, twice for each direction: once is not enough for nearly dependent ones. Dependent ones become
 * 0.
 */
function orthonormalise(basis: readonly Float64Array[]): void {
  for (const [index, direction] of basis.entries()) {
    const before = Math.sqrt(dot(direction, direction));
    for (let pass = 0; pass < 2; pass++) {
      for (let earlier = 0; earlier < index; earlier++) {
        const other = basis[earlier]!;
        const along = dot(direction, other);
        for (let i = 0; i < direction.length; i++) direction[i]! -= along * other[i]!;
      }
    }
    const length = Math.sqrt(dot(direction, direction));
    const scale = length > DEPENDENT * before ? 1 / length : 0;
    for (let i = 0; i < direction.length; i++) direction[i]! *= scale;
  }
}

function combined(basis: readonly Float64Array[], weights: Float64Array): Float64Array {
  const sum = new Float64Array(basis[0]!.length);
  for (const [index, direction] of basis.entries()) {
    for (let i = 0; i < sum.length; i++) sum[i]! += weights[index]! * direction[i]!;
  }
  return sum;
}

/** The sign of an eigenvector is arbitrary. */
function withSign(axis: Float64Array): Float64Array {
  let largest = 0;
  for (const weight of axis) if (Math.abs(weight) > Math.abs(largest)) largest = weight;
  return largest < 0 ? axis.map((weight) => -weight) : axis;
}

const MAX_SWEEPS = 60;

/** Eigenvalues and eigenvectors of a small symmetric matrix, by Jacobi rotations. */
function symmetricEigen(matrix: readonly Float64Array[]): { values: number[]; vectors: Float64Array[] } {
  const size = matrix.length;
  const a = matrix.map((row) => row.slice());
  const turned = a.map((_, i) => Float64Array.from({ length: size }, (__, j) => (i === j ? 1 : 0)));
  const scale = Math.max(...a.flatMap((row) => [...row].map(Math.abs)));
  for (let sweep = 0; sweep < MAX_SWEEPS; sweep++) {
    let largest = 0;
    for (let p = 0; p < size; p++) {
      for (let q = p + 1; q < size; q++) {
        largest = Math.max(largest, Math.abs(a[p]![q]!));
        if (a[p]![q] !== 0) rotate(a, turned, p, q);
      }
    }
    if (largest <= Number.EPSILON * scale) break;
  }
  return { values: a.map((row, i) => row[i]!), vectors: turned };
}

/** Rotates the plane of p and q so that a[p][q] becomes 0; the rows of `turned` are the eigenvectors so far. */
function rotate(a: readonly Float64Array[], turned: readonly Float64Array[], p: number, q: number): void {
  const [rowP, rowQ] = [a[p]!, a[q]!];
  const theta = (rowQ[q]! - rowP[p]!) / (2 * rowP[q]!);
  const tangent = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
  const cosine = 1 / Math.sqrt(tangent * tangent + 1);
  const sine = tangent * cosine;
  for (const row of a) {
    const [atP, atQ] = [row[p]!, row[q]!];
    row[p] = cosine * atP - sine * atQ;
    row[q] = sine * atP + cosine * atQ;
  }
  for (const matrix of [a, turned]) {
    const [first, second] = [matrix[p]!, matrix[q]!];
    for (let i = 0; i < first.length; i++) {
      const [atP, atQ] = [first[i]!, second[i]!];
      first[i] = cosine * atP - sine * atQ;
      second[i] = sine * atP + cosine * atQ;
    }
  }
  a[p]![q] = 0;
  a[q]![p] = 0;
}
