/** @file Axes, scales, legends and point shapes. */

import type { Paint } from './svg.js';
import { element, fitText, short, textElement, textWidth, tooltip } from './svg.js';

/** An axis: its scale, title, and tick format. */
export interface Axis {
  readonly scale: Scale;
  readonly label: string;
  readonly format?: (tick: number) => string;
}

/** A horizontal axis at height `y`, with grid lines up to `top`. */
export function horizontalAxis({ scale, label, format = tickText }: Axis, y: number, top: number): string {
  const [start, end] = scale.range;
  const ticks = scale.ticks.map((tick) => {
    const x = scale.at(tick);
    return (
      element('path', { stroke: 'grid', d: `M${short(x)} ${short(top)}V${short(y)}` }) +
      textElement(format(tick), { x, y: y + 16, 'text-anchor': 'middle', fill: 'muted' })
    );
  });
  const name =
    label === '' ? '' : textElement(label, { x: end, y: y + 34, 'text-anchor': 'end', fill: 'muted' });
  return (
    ticks.join('') +
    element('path', { stroke: 'muted', d: `M${short(start)} ${short(y)}H${short(end)}` }) +
    (scale.isCut ? cutMark(start, y, 'horizontal') : '') +
    name
  );
}

/** Two strokes across the beginning of an axis that does not begin at 0. */
function cutMark(x: number, y: number, axis: 'horizontal' | 'vertical'): string {
  const strokes =
    axis === 'horizontal'
      ? `M${short(x + 3)} ${short(y + 5)}l4-10m4 0l-4 10`
      : `M${short(x - 5)} ${short(y - 3)}l10-4m0-4l-10 4`;
  return element(
    'g',
    {},
    tooltip('This axis does not begin at 0.'),
    element('path', { fill: 'none', stroke: 'page', 'stroke-width': 5, d: strokes }),
    element('path', { fill: 'none', stroke: 'muted', 'stroke-width': 1.5, d: strokes }),
  );
}

/** A vertical axis at `x`, with grid lines to `right`; its title is above it. */
export function verticalAxis({ scale, label, format = tickText }: Axis, x: number, right: number): string {
  const [bottom, top] = scale.range;
  const ticks = scale.ticks.map((tick) => {
    const y = scale.at(tick);
    return (
      element('path', { stroke: 'grid', d: `M${short(x)} ${short(y)}H${short(right)}` }) +
      textElement(format(tick), { x: x - 6, y: y + 4, 'text-anchor': 'end', fill: 'muted' })
    );
  });
  const name =
    label === '' ? '' : textElement(label, { x: x - 6, y: top - 10, 'text-anchor': 'start', fill: 'muted' });
  return ticks.join('') + (scale.isCut ? cutMark(x, bottom, 'vertical') : '') + name;
}

/** Shapes that are distinguishable without colour at the size of a point. */
export const shapes = ['circle', 'triangle', 'square', 'plus', 'diamond', 'saltire', 'wedge'] as const;
export type Shape = (typeof shapes)[number];

/**
 * Shape of the n-th class. With more classes than shapes, pairs of colour and shape stay distinct: each cycle of
 * colours starts one shape later.
 */
export function shapeOf(index: number): Shape {
  return shapes[(index + Math.floor(index / shapes.length)) % shapes.length]!;
}

/** Path data of a shape around a point, `radius` in user units. A circle is a dot: a round cap without length. */
export function shapePath(shape: Shape, x: number, y: number, radius: number): string {
  const move = (dx: number, dy: number): string => `M${tenth(x + dx)} ${tenth(y + dy)}`;
  const [half, whole] = [tenth(1.2 * radius), tenth(2 * radius)]; // pointed shapes are slightly larger, for equal visual weight
  const base = tenth(2 * half);
  switch (shape) {
    case 'circle':
      return `${move(0, 0)}h0`;
    case 'square':
      return `${move(-radius, -radius)}h${whole}v${whole}h-${whole}z`;
    case 'diamond':
      return `${move(0, -half)}l${half} ${half}l-${half} ${half}l-${half}-${half}z`;
    case 'triangle':
      return `${move(0, -half)}l${half} ${whole}h-${base}z`;
    case 'wedge':
      return `${move(0, half)}l${half}-${whole}h-${base}z`;
    case 'plus':
      return `${move(-radius, 0)}h${whole}${move(0, -radius)}v${whole}`;
    case 'saltire':
      return `${move(-radius, -radius)}l${whole} ${whole}${move(-radius, radius)}l${whole}-${whole}`;
  }
}

/** One path of many equal marks. @param data of `shapePath`, joined */
export function shapeElement(shape: Shape, paint: Paint, radius: number, data: string): string {
  if (shape === 'circle') {
    return element('path', {
      fill: 'none',
      stroke: paint,
      'stroke-width': 2 * radius,
      'stroke-linecap': 'round',
      d: data,
    });
  }
  if (shape === 'plus' || shape === 'saltire') {
    return element('path', {
      fill: 'none',
      stroke: paint,
      'stroke-width': Math.max(1, radius * 0.6),
      d: data,
    });
  }
  return element('path', { fill: paint, d: data });
}

/** One entry of a legend; `mark` draws around the middle of a box of width 20. */
export interface LegendEntry {
  readonly text: string;
  readonly mark: (x: number, y: number) => string;
}

/** A legend in rows of at most `width`. Returns its height too; `y` is its top. */
export function legend(
  entries: readonly LegendEntry[],
  x: number,
  y: number,
  width: number,
): { readonly svg: string; readonly height: number } {
  let [left, top] = [x, y];
  const parts: string[] = [];
  for (const { text, mark } of entries) {
    const shown = fitText(text, Math.min(260, width - 28));
    const wide = 28 + textWidth(shown) + 14;
    if (left > x && left + wide - 14 > x + width) [left, top] = [x, top + LEGEND_ROW];
    parts.push(mark(left + 12, top + 9), textElement(shown, { x: left + 28, y: top + 13 }, text));
    left += wide;
  }
  return { svg: parts.join(''), height: entries.length === 0 ? 0 : top - y + LEGEND_ROW };
}

const LEGEND_ROW = 20;

function tenth(value: number): number {
  return Math.round(value * 10) / 10;
}

/** Maps values to user units. */
export interface Scale {
  readonly at: (value: number) => number;
  /** Round values inside the domain, ascending. */
  readonly ticks: readonly number[];
  readonly domain: readonly [low: number, high: number];
  readonly range: readonly [start: number, end: number];
  /** The axis leaves out a part between 0 and its beginning, and marks that. */
  readonly isCut?: boolean;
}

/** Multiples of 1, 2 or 5 times a power of ten: the smallest step with at most `most` multiples in [low, high]. */
export function niceTicks(low: number, high: number, most: number): number[] {
  if (!(high > low)) return [low];
  const { tick, first, last } = finestStep((high - low) / most, most, (step) => [
    Math.ceil(low / step - SLACK),
    Math.floor(high / step + SLACK),
  ]);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => tick(first + i));
}

/** Tolerance, in steps, for bounds that miss a tick by rounding. */
const SLACK = 1e-9;

/** The smallest step with at most `most` ticks between the multiples that `ends` returns, counted in steps. */
function finestStep(
  start: number,
  most: number,
  ends: (step: number) => readonly [first: number, last: number],
): { readonly tick: (k: number) => number; readonly first: number; readonly last: number } {
  for (let power = Math.floor(Math.log10(start)); ; power++) {
    for (const factor of [1, 2, 5]) {
      // Fractional steps are applied as a division: 3 / 10 is 0.3, but 3 * 0.1 is not. The addition turns -0 into 0.
      const tick = (k: number): number =>
        (power < 0 ? (k * factor) / 10 ** -power : k * factor * 10 ** power) + 0;
      const [first, last] = ends(tick(1));
      if (last - first + 1 <= most) return { tick, first, last };
    }
  }
}

/** A linear scale over exactly the domain; an empty domain maps every value to the middle. */
export function linearScale(
  domain: readonly [low: number, high: number],
  range: readonly [start: number, end: number],
  mostTicks = 6,
): Scale {
  const [low, high] = domain;
  const [start, end] = range;
  const at = (value: number): number =>
    high === low ? (start + end) / 2 : start + ((value - low) / (high - low)) * (end - start);
  return { at, ticks: niceTicks(low, high, mostTicks), domain, range };
}

/** A logarithmic scale over exactly the domain, both ends positive. Ticks at 1, 2 and 5 times powers of ten. */
export function logScale(
  domain: readonly [low: number, high: number],
  range: readonly [start: number, end: number],
  mostTicks = 6,
): Scale {
  const [low, high] = domain;
  const linear = linearScale([Math.log10(low), Math.log10(high)], range);
  const powers = Array.from(
    { length: Math.ceil(linear.domain[1]) - Math.floor(linear.domain[0]) + 1 },
    (_, i) => Math.floor(linear.domain[0]) + i,
  );
  const inside = (factors: readonly number[], every = 1): number[] =>
    powers
      .filter((_, i) => i % every === 0)
      .flatMap((power) => factors.map((factor) => Number(`${factor}e${power}`)))
      .filter((tick) => tick >= low && tick <= high);
  const choices = [inside([1, 2, 5]), inside([1, 3]), ...powers.map((_, i) => inside([1], i + 1))];
  const ticks = choices.find((choice) => choice.length <= mostTicks) ?? [];
  return { at: (value) => linear.at(Math.log10(value)), ticks, domain, range };
}

/**
 * A linear scale over the smallest domain that contains the values and ends at ticks, with at most `mostTicks` of them.
 */
export function niceScale(
  values: readonly number[],
  range: readonly [start: number, end: number],
  mostTicks = 6,
): Scale {
  let [low, high] = extentOf(values);
  if (low === high) {
    const margin = low === 0 ? 1 : Math.abs(low) / 10;
    [low, high] = [low - margin, high + margin];
  }
  const { tick, first, last } = finestStep((high - low) / mostTicks, mostTicks, (step) => [
    Math.floor(low / step + SLACK),
    Math.ceil(high / step - SLACK),
  ]);
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => tick(first + i));
  return { ...linearScale([ticks[0]!, ticks.at(-1)!], range), ticks };
}

/** Percentages that are near each other still get an axis of this length: a point must not look like a world. */
const LEAST_PERCENT_SPAN = 20;

/**
 * A scale for percentages that begins at 0 unless all values are high up; then its beginning is a multiple of ten, and
 * the axis has a mark there. It ends at 100 at the latest, unless a value is larger.
 */
export function wideScale(
  values: readonly number[],
  range: readonly [start: number, end: number],
  mostTicks = 6,
): Scale {
  const [least, largest] = extentOf(values);
  let high = Math.max(10, 10 * Math.ceil(largest / 10 - SLACK));
  let low = least < 0 ? 10 * Math.floor(least / 10) : 10 * Math.floor(least / 10 + SLACK);
  if (high - low < LEAST_PERCENT_SPAN) {
    low = Math.max(Math.min(low, 0), high - LEAST_PERCENT_SPAN);
    high = Math.max(high, low + LEAST_PERCENT_SPAN);
  }
  if (low > 0 && low <= (high - low) / 2) low = 0;
  return { ...linearScale([low, high], range, mostTicks), isCut: low > 0 };
}

/**
 * Moves labels along a line until none overlaps the next, each as near to its place as possible.
 * @param places wanted middles
 * @param sizes lengths along the line, gaps included
 * @returns middles, in the order of the input, inside [low, high] if there is room for all
 */
export function separate(
  places: readonly number[],
  sizes: readonly number[],
  low: number,
  high: number,
): number[] {
  const order = [...places.keys()].sort((a, b) => places[a]! - places[b]!);
  const middles = [...places];
  let end = low;
  for (const i of order) {
    middles[i] = Math.max(middles[i]!, end + sizes[i]! / 2);
    end = middles[i]! + sizes[i]! / 2;
  }
  let start = high;
  for (const i of order.reverse()) {
    middles[i] = Math.min(middles[i]!, start - sizes[i]! / 2);
    start = middles[i]! - sizes[i]! / 2;
  }
  return middles;
}

/** Minimum and maximum of the finite values; [0, 1] if there are none. */
export function extentOf(values: readonly number[]): [low: number, high: number] {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : [0, 1];
}

/** A tick's label: 12,000, 0.25, 1e-5. */
export function tickText(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) {
    return Number(value.toPrecision(6)).toExponential().replace('e+', 'e');
  }
  return value.toLocaleString('en-US', { maximumFractionDigits: 6 });
}

/** An integer with thousands separators. */
export function countText(value: number): string {
  return value.toLocaleString('en-US');
}
