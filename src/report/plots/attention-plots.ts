/** @file Attention over the frames of a recording: the waveform coloured by it, and the map of queries by frames. */

import { element, PLOT_WIDTH, type PlotHeading, rampPaint, short, svgDocument, textElement } from './svg.js';

/** A recording and shares of attention over its frames. */
export interface AttendedRecording {
  readonly samples: ArrayLike<number>;
  readonly durationSec: number;
  /** From the start of a frame to that of the next. */
  readonly frameSec: number;
}

const [LEFT, RIGHT] = [34, PLOT_WIDTH - 10];
/** Columns of the waveform, and most columns of the map: about 3 and 4 units wide. */
const [WAVE_COLUMNS, MAP_COLUMNS] = [118, 89];
const [WAVE_TOP, WAVE_BOTTOM, CURVE_TOP, CURVE_BOTTOM] = [8, 84, 96, 140];
const TICK_STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60];
const MOST_TICKS = 6;
/** The lightest colour of a waveform, so that its shape is seen where there is no attention. */
const PALEST = 0.25;

/**
 * The share of each of `columns` spans of equal duration. A frame across a boundary is divided; the sum stays the same.
 */
export function sharesOver(
  weights: readonly number[],
  frameSec: number,
  durationSec: number,
  columns: number,
): number[] {
  const width = durationSec / columns;
  const shares: number[] = new Array(columns).fill(0);
  for (const [frame, weight] of weights.entries()) {
    const start = Math.min(frame * frameSec, durationSec - 1e-9);
    const end = Math.min(start + frameSec, durationSec);
    const first = Math.floor(start / width);
    const last = Math.min(columns - 1, Math.max(first, Math.ceil(end / width) - 1));
    for (let column = first; column <= last; column++) {
      const overlap = Math.min(end, (column + 1) * width) - Math.max(start, column * width);
      shares[column]! += first === last ? weight : weight * (overlap / (end - start));
    }
  }
  return shares;
}

/**
 * The waveform, coloured by the attention to each moment, and that attention as a curve below it.
 * @param weights [L_a], adding up to 1
 */
export function attentionWavePlot(
  heading: PlotHeading,
  { samples, durationSec, frameSec }: AttendedRecording,
  weights: readonly number[],
): string {
  const shares = sharesOver(weights, frameSec, durationSec, WAVE_COLUMNS);
  const most = Math.max(...shares, Number.MIN_VALUE);
  const step = (RIGHT - LEFT) / WAVE_COLUMNS;
  const peaks = envelope(samples, WAVE_COLUMNS);
  const loudest = Math.max(...peaks, 1e-6);
  const middle = (WAVE_TOP + WAVE_BOTTOM) / 2;
  const bars = shares.map((share, column) => {
    const half = Math.max(0.5, (peaks[column]! / loudest) * (middle - WAVE_TOP));
    const { fill } = rampPaint(PALEST + (1 - PALEST) * (share / most));
    const x = LEFT + column * step;
    return element('rect', { fill, x, y: middle - half, width: step - 0.4, height: 2 * half });
  });
  const height = (share: number): number => CURVE_BOTTOM - (share / most) * (CURVE_BOTTOM - CURVE_TOP);
  const outline = shares.map((share, column) => `H${short(LEFT + column * step)}V${short(height(share))}`);
  const even = height(1 / WAVE_COLUMNS);
  const body = [
    ...bars,
    element('path', {
      ...{ fill: 'series1', 'fill-opacity': 0.25, stroke: 'series1', 'stroke-width': 1 },
      d: `M${LEFT} ${CURVE_BOTTOM}${outline.join('')}H${RIGHT}V${CURVE_BOTTOM}z`,
    }),
    element('path', {
      ...{ fill: 'none', stroke: 'muted', 'stroke-dasharray': '3 2', d: `M${LEFT} ${short(even)}H${RIGHT}` },
    }),
    textElement('even', { x: LEFT - 4, y: even + 4, fill: 'muted', 'text-anchor': 'end' }),
    timeAxis(durationSec, CURVE_BOTTOM),
  ];
  return svgDocument(heading, PLOT_WIDTH, CURVE_BOTTOM + 30, body.join(''));
}

/**
 * A row for each query, a column for each moment, stronger in colour for more attention; to the left of each row, how much of the
 * query is in the embedding.
 * @param map [N_q][L_a], rows adding up to 1
 * @param queries [N_q], adding up to 1
 */
export function attentionMapPlot(
  heading: PlotHeading,
  { durationSec, frameSec }: Omit<AttendedRecording, 'samples'>,
  map: readonly (readonly number[])[],
  queries: readonly number[],
): string {
  const columns = Math.max(1, Math.min(MAP_COLUMNS, map[0]!.length));
  const rows = map.map((weights) => sharesOver(weights, frameSec, durationSec, columns));
  const most = Math.max(...rows.flat(), Number.MIN_VALUE);
  const row = Math.max(4, Math.min(14, 200 / rows.length));
  const column = (RIGHT - LEFT) / columns;
  const largest = Math.max(...queries, Number.MIN_VALUE);
  const bottom = WAVE_TOP + rows.length * row;
  // One path for each colour: a rectangle for each cell would be a hundred times as large.
  const cells = new Map<ReturnType<typeof rampPaint>['fill'], string>();
  for (const [i, shares] of rows.entries()) {
    for (const [j, share] of shares.entries()) {
      const { fill } = rampPaint(share / most);
      const cell = `M${short(LEFT + j * column)} ${short(WAVE_TOP + i * row)}h${short(column)}v${short(row)}h${short(-column)}z`;
      cells.set(fill, (cells.get(fill) ?? '') + cell);
    }
  }
  const bars = queries.map((share, i) => {
    const width = (share / largest) * (LEFT - 8);
    const y = WAVE_TOP + i * row + row * 0.15;
    return element('rect', { fill: 'series2', x: LEFT - 4 - width, y, width, height: row * 0.7 });
  });
  const body = [
    ...[...cells].map(([fill, d]) => element('path', { fill, d })),
    ...bars,
    timeAxis(durationSec, bottom),
  ];
  return svgDocument(heading, PLOT_WIDTH, bottom + 30, body.join(''));
}

/** The largest magnitude in each of `columns` parts of the samples. */
function envelope(samples: ArrayLike<number>, columns: number): number[] {
  return Array.from({ length: columns }, (_, column) => {
    const end = Math.ceil(((column + 1) * samples.length) / columns);
    let peak = 0;
    for (let i = Math.floor((column * samples.length) / columns); i < end; i++) {
      peak = Math.max(peak, Math.abs(samples[i]!));
    }
    return peak;
  });
}

/** Ticks in seconds below a plot. */
function timeAxis(durationSec: number, y: number): string {
  const step = TICK_STEPS.find((sec) => durationSec / sec <= MOST_TICKS) ?? durationSec / MOST_TICKS;
  const count = Math.floor(durationSec / step + 1e-9);
  const ticks = Array.from({ length: count + 1 }, (_, i) => {
    const x = LEFT + ((i * step) / durationSec) * (RIGHT - LEFT);
    const text = `${Number((i * step).toFixed(2))}${i === count ? ' s' : ''}`;
    return [
      element('path', { fill: 'none', stroke: 'muted', d: `M${short(x)} ${short(y)}v4` }),
      textElement(text, { x, y: y + 17, fill: 'muted', 'text-anchor': 'middle' }),
    ].join('');
  });
  return [
    element('path', { fill: 'none', stroke: 'muted', d: `M${LEFT} ${short(y)}H${RIGHT}` }),
    ...ticks,
  ].join('');
}
