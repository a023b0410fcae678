/** @file Axes, legends and the marks that stand for a series. */

import type { Paint } from './palette.js';
import { type Scale, tickText } from './scale.js';
import { element, short, textElement } from './svg.js';
import { fitText, textWidth } from './text-width.js';

/** An axis: its scale, its name, and how a tick is written. */
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
  const name = textElement(label, {
    x: (start + end) / 2,
    y: y + 34,
    'text-anchor': 'middle',
    fill: 'muted',
  });
  return (
    ticks.join('') +
    element('path', { stroke: 'muted', d: `M${short(start)} ${short(y)}H${short(end)}` }) +
    name
  );
}

/** A vertical axis at `x`, with grid lines to `right`; its name stands above it. */
export function verticalAxis({ scale, label, format = tickText }: Axis, x: number, right: number): string {
  const [bottom, top] = scale.range;
  const ticks = scale.ticks.map((tick) => {
    const y = scale.at(tick);
    return (
      element('path', { stroke: 'grid', d: `M${short(x)} ${short(y)}H${short(right)}` }) +
      textElement(format(tick), { x: x - 6, y: y + 4, 'text-anchor': 'end', fill: 'muted' })
    );
  });
  const name = textElement(label, { x: x - 6, y: top - 10, 'text-anchor': 'start', fill: 'muted' });
  return (
    ticks.join('') +
    element('path', { stroke: 'muted', d: `M${short(x)} ${short(bottom)}V${short(top)}` }) +
    name
  );
}

/** Shapes that stay apart without colour, at the size of a point. */
export const shapes = ['circle', 'triangle', 'square', 'plus', 'diamond', 'saltire', 'wedge'] as const;
export type Shape = (typeof shapes)[number];

/**
 * Shape of the n-th class. With more classes than shapes the pairs of colour and shape go on differing: each round
 * of colours begins one shape later.
 */
export function shapeOf(index: number): Shape {
  return shapes[(index + Math.floor(index / shapes.length)) % shapes.length]!;
}

/** Path data of a shape around a point, `radius` in user units. A circle is a dot: a round cap without length. */
export function shapePath(shape: Shape, x: number, y: number, radius: number): string {
  const place = (dx: number, dy: number): string => `M${tenth(x + dx)} ${tenth(y + dy)}`;
  const [half, whole] = [tenth(1.2 * radius), tenth(2 * radius)]; // pointed shapes are a little larger, to weigh the same
  const base = tenth(2 * half);
  switch (shape) {
    case 'circle':
      return `${place(0, 0)}h0`;
    case 'square':
      return `${place(-radius, -radius)}h${whole}v${whole}h-${whole}z`;
    case 'diamond':
      return `${place(0, -half)}l${half} ${half}l-${half} ${half}l-${half}-${half}z`;
    case 'triangle':
      return `${place(0, -half)}l${half} ${whole}h-${base}z`;
    case 'wedge':
      return `${place(0, half)}l${half}-${whole}h-${base}z`;
    case 'plus':
      return `${place(-radius, 0)}h${whole}${place(0, -radius)}v${whole}`;
    case 'saltire':
      return `${place(-radius, -radius)}l${whole} ${whole}${place(-radius, radius)}l${whole}-${whole}`;
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

/** One entry of a legend; `mark` draws around the middle of a place 20 wide. */
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
