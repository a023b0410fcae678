/** @file Marks of the trials of a search, the same in all its plots, and their legend. */

import { type LegendEntry, legend, niceScale, type Scale, shapePath, wideScale } from './axes.js';
import { element, PLOT_WIDTH, short, tooltip } from './svg.js';

/** A trial with a figure. */
export interface PlottedTrial {
  readonly number: number;
  /** Whether it was trained to its end, or stopped before it. */
  readonly isFinished: boolean;
  readonly isBest: boolean;
  /** The figure that it is ranked by, in the unit of the axis. */
  readonly figure: number;
}

/** The axis of the figure: its name, and whether it is in percent. */
export interface FigureAxis {
  readonly label: string;
  readonly isPercent: boolean;
}

/** A scale for figures, the same in all plots of a search. */
export function figureScale(
  figures: readonly number[],
  { isPercent }: FigureAxis,
  range: readonly [start: number, end: number],
): Scale {
  return (isPercent ? wideScale : niceScale)(figures, range, 5);
}

/** Filled where a trial was finished, hollow where it was stopped, a diamond for the best. */
export function trialMark(
  { isFinished, isBest }: Pick<PlottedTrial, 'isFinished' | 'isBest'>,
  x: number,
  y: number,
  text?: string,
): string {
  const title = text === undefined ? '' : tooltip(text);
  const position = { cx: x, cy: y };
  if (isBest) {
    const d = shapePath('diamond', x, y, 5.5);
    return element('path', { fill: 'series2', stroke: 'page', d }, title);
  }
  return isFinished
    ? element('circle', { ...position, r: 3.5, fill: 'accent', stroke: 'page', 'stroke-width': 0.75 }, title)
    : element('circle', { ...position, r: 3, fill: 'page', stroke: 'accent', 'stroke-width': 1.25 }, title);
}

/** Marks are drawn in this order, so that none hides one that matters more. */
export function byWeight<T extends PlottedTrial>(trials: readonly T[]): T[] {
  const weight = ({ isBest, isFinished }: PlottedTrial): number => (isBest ? 2 : isFinished ? 1 : 0);
  return trials.toSorted((a, b) => weight(a) - weight(b));
}

/** Of the kinds that there are, with further entries. */
export function trialLegend(
  trials: readonly PlottedTrial[],
  more: readonly LegendEntry[] = [],
): ReturnType<typeof legend> {
  const best = trials.find(({ isBest }) => isBest);
  const kinds = [
    { text: 'finished', isBest: false, isFinished: true },
    { text: 'stopped', isBest: false, isFinished: false },
    { text: `best, trial ${best?.number}`, isBest: true, isFinished: true },
  ];
  const entries = kinds
    .filter((kind) =>
      trials.some((trial) => trial.isBest === kind.isBest && trial.isFinished === kind.isFinished),
    )
    .map((kind): LegendEntry => ({ text: kind.text, mark: (x, y) => trialMark(kind, x, y) }));
  return legend([...entries, ...more], 2, 2, PLOT_WIDTH - 4);
}

/** Lines through points; a null breaks them. A point without neighbours is a dot. */
export function brokenLine(points: readonly (readonly [x: number, y: number] | null)[]): string {
  let path = '';
  let isOpen = false;
  for (const [index, point] of points.entries()) {
    if (point === null) {
      isOpen = false;
      continue;
    }
    const [x, y] = point;
    const isAlone = !isOpen && (points[index + 1] ?? null) === null;
    path += `${isOpen ? 'L' : 'M'}${short(x)} ${short(y)}${isAlone ? 'h0' : ''}`;
    isOpen = true;
  }
  return path;
}
