/** @file The map of embeddings: a point for each utterance, coloured by label or by correctness. */

import { countText, extentOf, legend, type Shape, shapeElement, shapeOf, shapePath } from './axes.js';
import { element, type Paint, PLOT_WIDTH, type PlotHeading, seriesPaint, svgDocument } from './svg.js';

/** A group of points: legend text and appearance. */
export interface MapGroup {
  readonly text: string;
  readonly paint: Paint;
  readonly shape: Shape;
}

/** Positions of the points in the plot. */
export interface MapLayout {
  readonly width: number;
  /** Side of the square that contains the points, starting at the plot's upper left corner. */
  readonly height: number;
  /** In user units, one decimal; null if a point is missing. */
  readonly positions: readonly (readonly [x: number, y: number] | null)[];
}

const MARGIN = 10;
/**
 * The points of each group are drawn in this many portions, alternating with the other groups, so that no group covers
 * the rest.
 */
const PORTIONS = 12;

/** Groups by label. */
export function labelGroups(labels: readonly string[]): MapGroup[] {
  return labels.map((text, i) => ({ text, paint: seriesPaint(i), shape: shapeOf(i) }));
}

/** Groups by correctness: right, wrong. */
export const correctnessGroups: readonly MapGroup[] = [
  { text: 'right', paint: 'muted', shape: 'circle' },
  { text: 'wrong', paint: 'ink', shape: 'saltire' },
];

/** Fits the points into the plot with one scale for both axes; y points up. */
export function mapLayout(points: readonly (readonly [x: number, y: number] | null)[]): MapLayout {
  const present = points.filter((point) => point !== null);
  const [left, right] = extentOf(present.map(([x]) => x));
  const [bottom, top] = extentOf(present.map(([, y]) => y));
  const scale = Math.min(
    (PLOT_WIDTH - 2 * MARGIN) / Math.max(right - left, 1e-9),
    (PLOT_WIDTH - 2 * MARGIN) / Math.max(top - bottom, 1e-9),
  );
  const height = Math.max(160, 2 * MARGIN + scale * (top - bottom));
  const scaled = (value: number, low: number, high: number, size: number): number =>
    Math.round(10 * (size / 2 + scale * (value - (low + high) / 2))) / 10;
  return {
    width: PLOT_WIDTH,
    height: Math.ceil(height),
    positions: points.map((point) =>
      point === null
        ? null
        : [scaled(point[0], left, right, PLOT_WIDTH), scaled(-point[1], -top, -bottom, Math.ceil(height))],
    ),
  };
}

/**
 * The points in their groups, with the legend below.
 * @param groupOf the group of each point, an index into `groups`
 */
export function mapPlot(
  { width, height, positions }: MapLayout,
  groups: readonly MapGroup[],
  groupOf: readonly number[],
  heading: PlotHeading,
): string {
  const members = groups.map((): number[] => []);
  for (const [i, position] of positions.entries()) if (position !== null) members[groupOf[i]!]!.push(i);
  const total = members.reduce((sum, each) => sum + each.length, 0);
  const radius = total > 3000 ? 1.3 : total > 500 ? 1.8 : 2.6;
  const portions: string[] = [];
  for (let portion = 0; portion < PORTIONS; portion++) {
    for (const [g, { paint, shape }] of groups.entries()) {
      const data = members[g]!.filter((_, k) => k % PORTIONS === portion)
        .map((i) => shapePath(shape, ...positions[i]!, radius))
        .join('');
      if (data !== '') portions.push(shapeElement(shape, paint, radius, data));
    }
  }
  const key = legend(
    groups.map(({ text, paint, shape }, g) => ({
      text: `${text} (${countText(members[g]!.length)})`,
      mark: (x, y) => shapeElement(shape, paint, 4.5, shapePath(shape, x, y, 4.5)),
    })),
    MARGIN,
    height + 8,
    width - 2 * MARGIN,
  );
  const frame = element('rect', {
    x: 0.5,
    y: 0.5,
    width: width - 1,
    height: height - 1,
    fill: 'none',
    stroke: 'grid',
  });
  const points = element('g', { 'fill-opacity': 0.85, 'stroke-opacity': 0.85 }, ...portions);
  return svgDocument(heading, width, height + key.height + 12, frame + points + key.svg);
}
