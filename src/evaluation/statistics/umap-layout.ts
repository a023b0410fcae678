/**
 * @file UMAP (McInnes, Healy and Melville, 2018) by umap-js, given what it computes slowly or at random: reduced
 * dimensions, exact neighbours, and a start that preserves the global structure.
 */

import { UMAP } from 'umap-js';
import { seededRandom } from '../../engine/tensor/index.js';
import { principalComponents } from './principal-components.js';
import { LEAST_UMAP_POINTS, type UmapLayout, type UmapProgress, type UmapSettings } from './umap.js';

/** Share of the total time at which each part ends, measured with 13,708 vectors of 768 numbers. */
const REDUCED = 0.13;
const NEIGHBOURS_FOUND = 0.3;
const GRAPH_MADE = 0.5;
/** Dimensions of the neighbour search. The rest holds little variance and would cost fifteen times as much. */
const COMPONENTS = 50;
/** Width of the first two components at the start: about that of the final map. */
const START_WIDTH = 10;
const START_NOISE = 1e-4;

/**
 * Lays out vectors [rows, width] in the plane. Vectors are scaled to unit length first, so that Euclidean distance
 * sorts neighbours as cosine distance does (|x - y|^2 = 2 - 2 cos). The same input gives the same bytes.
 * @throws RangeError with fewer than LEAST_UMAP_POINTS rows
 */
export function umapLayout(
  vectors: Float32Array,
  width: number,
  { neighbours: wanted, minDistance, seed }: UmapSettings,
  onProgress: UmapProgress = () => undefined,
): UmapLayout {
  const rows = vectors.length / width;
  if (rows < LEAST_UMAP_POINTS) throw new RangeError(`${rows} points have no map`);
  const neighbours = Math.min(wanted, rows - 1);
  const reduced = principalComponents(unitVectors(vectors, width), rows, width, COMPONENTS);
  onProgress(REDUCED);
  const near = nearestNeighbours(reduced.scores, rows, reduced.components, neighbours - 1, (done) =>
    onProgress(REDUCED + (NEIGHBOURS_FOUND - REDUCED) * (done / rows)),
  );

  const random = seededRandom(seed, 'umap');
  const umap = new UMAP({ nNeighbors: neighbours, minDist: minDistance, random: random.uniform });
  umap.setPrecomputedKNN(
    near.indices.map((others, row) => [row, ...others]),
    near.distances.map((others) => [0, ...others]),
  );
  // With neighbours given, umap-js only reads the number of points.
  const epochs = umap.initializeFit(Array.from({ length: rows }, () => []));
  const points = umap.getEmbedding(); // the arrays that umap-js updates in place
  initialisePoints(points, reduced.scores, reduced.components, random.normal);
  for (let epoch = 1; epoch <= epochs; epoch++) {
    umap.step();
    onProgress(GRAPH_MADE + (1 - GRAPH_MADE) * (epoch / epochs));
  }
  return {
    coordinates: Float64Array.from(points.flat()),
    neighbours,
    epochs,
    components: reduced.components,
    varianceShare: reduced.varianceShares.reduce((sum, share) => sum + share, 0),
  };
}

function unitVectors(vectors: Float32Array, width: number): Float64Array {
  const unit = Float64Array.from(vectors);
  for (let start = 0; start < unit.length; start += width) {
    const row = unit.subarray(start, start + width);
    const length = Math.hypot(...row);
    if (length > 0) for (let i = 0; i < width; i++) row[i]! /= length;
  }
  return unit;
}

/**
 * Starts from the first two principal components instead of umap-js's random points, which would make distances between
 * far points random.
 */
function initialisePoints(
  points: readonly number[][],
  scores: Float64Array,
  components: number,
  normal: () => number,
): void {
  const widest = scores.reduce((most, score) => Math.max(most, Math.abs(score)), 0);
  for (const [row, point] of points.entries()) {
    for (let axis = 0; axis < 2; axis++) {
      const score = axis < components && widest > 0 ? scores[row * components + axis]! / widest : 0;
      point[axis] = START_WIDTH * (score + START_NOISE * normal());
    }
  }
}

/** Neighbours of every point, nearest first; the earlier row first on a tie. */
export interface NearestNeighbours {
  /** [rows][neighbours]: indices of rows. */
  readonly indices: readonly (readonly number[])[];
  /** [rows][neighbours]: Euclidean distances. */
  readonly distances: readonly (readonly number[])[];
}

/**
 * The `count` nearest other points of each of `points` [rows, width]. Takes rows^2 width / 2 multiplications, a few
 * seconds for 13,708 points of 50 numbers; a tree search would be faster but not exact.
 * @param onRow receives the number of rows compared with all others so far
 */
export function nearestNeighbours(
  points: Float64Array,
  rows: number,
  width: number,
  count: number,
  onRow?: (done: number) => void,
): NearestNeighbours {
  const indices = new Int32Array(rows * count).fill(-1);
  const squares = new Float64Array(rows * count).fill(Number.POSITIVE_INFINITY);
  const offer = (row: number, other: number, square: number): void => {
    const start = row * count;
    let slot = start + count - 1;
    for (; slot > start && square < squares[slot - 1]!; slot--) {
      squares[slot] = squares[slot - 1]!;
      indices[slot] = indices[slot - 1]!;
    }
    squares[slot] = square;
    indices[slot] = other;
  };
  for (let row = 0; row < rows; row++) {
    const own = points.subarray(row * width, (row + 1) * width);
    const worstOfRow = (row + 1) * count - 1;
    for (let other = row + 1; other < rows; other++) {
      const start = other * width;
      let square = 0;
      for (let i = 0; i < width; i++) {
        const difference = own[i]! - points[start + i]!;
        square += difference * difference;
      }
      if (square < squares[worstOfRow]!) offer(row, other, square);
      if (square < squares[(other + 1) * count - 1]!) offer(other, row, square);
    }
    onRow?.(row + 1);
  }
  const perRow = <T>(of: (at: number) => T): T[][] =>
    Array.from({ length: rows }, (_, row) => Array.from({ length: count }, (__, k) => of(row * count + k)));
  return {
    indices: perRow((at) => indices[at]!),
    distances: perRow((at) => Math.sqrt(squares[at]!)),
  };
}
