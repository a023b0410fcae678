/** @file Reduces curves for plotting: thousands of steps to a few hundred points, and many runs to one summary. */

import { quantile } from '../../data/corpora/index.js';
import type { LegendEntry } from './axes.js';
import type { Paint } from './svg.js';
import { element, short } from './svg.js';

/** More curves than this would overlap too much. */
export const MOST_RUNS = 8;

/** Summary over runs at an x position. */
export interface RunSummary {
  readonly x: number;
  readonly least: number;
  readonly lowerQuartile: number;
  readonly median: number;
  readonly upperQuartile: number;
  readonly largest: number;
}

type Point = { readonly x: number; readonly y: number };

/**
 * Quantiles over the runs at each x. If there are more than `most` x values, the axis is divided into bins, and a run
 * contributes its mean in each bin. A run that ended earlier does not contribute to later bins.
 */
export function summarizeRuns(runs: readonly (readonly Point[])[], most: number): RunSummary[] {
  const all = runs.flat().filter(({ y }) => Number.isFinite(y));
  const xs = [...new Set(all.map(({ x }) => x))].sort((a, b) => a - b);
  const parts = thin(
    xs.map((x) => ({ x, y: 0 })),
    most,
  ).map(({ x }) => x);
  const partOf = (x: number): number => {
    let [low, high] = [0, parts.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (x <= (parts[middle]! + parts[middle + 1]!) / 2) high = middle;
      else low = middle + 1;
    }
    return low;
  };
  const values = parts.map((): number[] => []);
  for (const run of runs) {
    const sums = new Map<number, { sum: number; count: number }>();
    for (const { x, y } of run) {
      if (!Number.isFinite(y)) continue;
      const part = partOf(x);
      const { sum, count } = sums.get(part) ?? { sum: 0, count: 0 };
      sums.set(part, { sum: sum + y, count: count + 1 });
    }
    for (const [part, { sum, count }] of sums) values[part]!.push(sum / count);
  }
  return parts.flatMap((x, part) => {
    const sorted = values[part]!.sort((a, b) => a - b);
    if (sorted.length === 0) return [];
    const [least, lowerQuartile, median, upperQuartile, largest] = [0, 0.25, 0.5, 0.75, 1].map((p) =>
      quantile(sorted, p),
    ) as [number, number, number, number, number];
    return [{ x, least, lowerQuartile, median, upperQuartile, largest }];
  });
}

const PAINT: Paint = 'accent';

/** Two bands and a line. */
export function summaryMarks(
  points: readonly RunSummary[],
  x: (value: number) => number,
  y: (value: number) => number,
): string {
  if (points.length === 0) return '';
  const ends = (of: (point: RunSummary) => number): string[] =>
    points.map((point) => `${short(x(point.x))} ${short(y(of(point)))}`);
  const band = (upper: string[], lower: string[], opacity: number): string =>
    element('path', {
      fill: PAINT,
      'fill-opacity': opacity,
      d: `M${[...upper, ...lower.reverse()].join('L')}z`,
    });
  return [
    band(
      ends(({ largest }) => largest),
      ends(({ least }) => least),
      ALL_OPACITY,
    ),
    band(
      ends(({ upperQuartile }) => upperQuartile),
      ends(({ lowerQuartile }) => lowerQuartile),
      HALF_OPACITY,
    ),
    element('path', {
      fill: 'none',
      stroke: PAINT,
      'stroke-width': 2,
      'stroke-linejoin': 'round',
      d: `M${ends(({ median }) => median).join('L')}`,
    }),
  ].join('');
}

const [ALL_OPACITY, HALF_OPACITY] = [0.12, 0.25];

/** Explains the marks. @param runs their number */
export function summaryLegend(runs: number): LegendEntry[] {
  const box =
    (opacity: number) =>
    (x: number, y: number): string =>
      element('rect', { x: x - 9, y: y - 7, width: 18, height: 14, fill: PAINT, 'fill-opacity': opacity });
  return [
    {
      text: `median of ${runs} runs`,
      mark: (x, y) =>
        element('path', { stroke: PAINT, 'stroke-width': 2, d: `M${short(x - 10)} ${short(y)}h20` }),
    },
    { text: 'the middle half', mark: box(ALL_OPACITY + HALF_OPACITY) },
    { text: 'all', mark: box(ALL_OPACITY) },
  ];
}

/** Adjacent points merged into one: their mean and range. */
export interface ThinnedPoint {
  readonly x: number;
  readonly mean: number;
  readonly low: number;
  readonly high: number;
}

/**
 * Divides the x axis into at most `most` equal bins and returns mean x, mean y, smallest and largest y of each. Returns
 * fewer points unchanged. Skips points that are not finite.
 * @param points ascending in x
 */
export function thin(
  points: readonly { readonly x: number; readonly y: number }[],
  most: number,
): ThinnedPoint[] {
  const finite = points.filter(({ y }) => Number.isFinite(y));
  if (finite.length <= most) return finite.map(({ x, y }) => ({ x, mean: y, low: y, high: y }));
  const [first, last] = [finite[0]!.x, finite.at(-1)!.x];
  const thinned: ThinnedPoint[] = [];
  for (let start = 0; start < finite.length; ) {
    const part = Math.min(most - 1, Math.floor(((finite[start]!.x - first) / (last - first)) * most));
    const limit = part === most - 1 ? Infinity : first + ((part + 1) / most) * (last - first);
    let end = start;
    let [sumX, sumY, low, high] = [0, 0, Infinity, -Infinity];
    while (end < finite.length && (end === start || finite[end]!.x < limit)) {
      const { x, y } = finite[end]!;
      [sumX, sumY, low, high] = [sumX + x, sumY + y, Math.min(low, y), Math.max(high, y)];
      end++;
    }
    thinned.push({ x: sumX / (end - start), mean: sumY / (end - start), low, high });
    start = end;
  }
  return thinned;
}

/** Of a running mean, as a share of the points. */
const SMOOTHED_SHARE = 0.05;

/**
 * The running mean over a twentieth of the points; at the ends, of those that are there, placed at the mean of their x,
 * so that the curve does not lag behind the points. Skips points that are not finite.
 * @param points ascending in x
 */
export function smooth(points: readonly Point[]): Point[] {
  const finite = points.filter(({ y }) => Number.isFinite(y));
  const reach = Math.floor((SMOOTHED_SHARE * finite.length) / 2);
  const [sumsX, sumsY] = [[0], [0]];
  for (const { x, y } of finite) {
    sumsX.push(sumsX.at(-1)! + x);
    sumsY.push(sumsY.at(-1)! + y);
  }
  return finite.map((_, i) => {
    const [start, end] = [Math.max(0, i - reach), Math.min(finite.length, i + reach + 1)];
    const meanOf = (sums: readonly number[]): number => (sums[end]! - sums[start]!) / (end - start);
    return { x: meanOf(sumsX), y: meanOf(sumsY) };
  });
}
