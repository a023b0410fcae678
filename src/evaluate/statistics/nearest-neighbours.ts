/** @file The nearest neighbours of every point among the others, exactly: every pair is looked at. */

/** Neighbours of every point, the nearest first; of equally near ones the earlier first. */
export interface NearestNeighbours {
  /** [rows][neighbours]: indices of rows. */
  readonly indices: readonly (readonly number[])[];
  /** [rows][neighbours]: Euclidean distances. */
  readonly distances: readonly (readonly number[])[];
}

/**
 * The `count` nearest other points of each of `points` [rows, width]. Takes rows^2 width / 2 products, which for 13,708
 * points of 50 numbers are seconds; a search by trees would be quicker and miss some.
 * @param onRow told how many rows have been compared with all others
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
    let place = start + count - 1;
    for (; place > start && square < squares[place - 1]!; place--) {
      squares[place] = squares[place - 1]!;
      indices[place] = indices[place - 1]!;
    }
    squares[place] = square;
    indices[place] = other;
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
  const perRow = <T>(of: (place: number) => T): T[][] =>
    Array.from({ length: rows }, (_, row) => Array.from({ length: count }, (__, k) => of(row * count + k)));
  return {
    indices: perRow((place) => indices[place]!),
    distances: perRow((place) => Math.sqrt(squares[place]!)),
  };
}
