/** @file Headline figures of a test set as it is and at several signal-to-noise ratios, a panel for each metric. */

import { levelName, type NoiseLevelResult, percent } from '../../evaluation/index.js';
import { horizontalAxis, linearScale, type Scale, tickText, verticalAxis, wideScale } from './axes.js';
import { plottedMetrics } from './headline-plots.js';
import {
  element,
  PLOT_WIDTH,
  type PlotHeading,
  RIMMED,
  short,
  svgDocument,
  textElement,
  textWidth,
  tooltip,
} from './svg.js';

const COLUMNS = 2;
const PANEL_WIDTH = PLOT_WIDTH / COLUMNS;
const PANEL_HEIGHT = 178;
/** From the axis to the test set as it is, and from there to the levels, so that it does not look like one of them. */
const [MARGIN, GAP] = [12, 28];
/** Room for the last value. */
const RIGHT = 22;
/** Stands for the test set as it is on the axis of ratios. */
const CLEAN = Number.POSITIVE_INFINITY;

/** Ratios fall from left to right; lines through the points are the intervals. Percent. */
export function noisePlot(levels: readonly NoiseLevelResult[], heading: PlotHeading): string {
  const panels = plottedMetrics.map((metric, i) =>
    panel(levels, metric, (i % COLUMNS) * PANEL_WIDTH, Math.floor(i / COLUMNS) * PANEL_HEIGHT),
  );
  const height = Math.ceil(plottedMetrics.length / COLUMNS) * PANEL_HEIGHT;
  return svgDocument(heading, PLOT_WIDTH, height, panels.join(''));
}

interface Point {
  readonly level: NoiseLevelResult;
  readonly x: number;
  readonly y: number;
}

function panel(
  levels: readonly NoiseLevelResult[],
  { key, title }: (typeof plottedMetrics)[number],
  panelLeft: number,
  panelTop: number,
): string {
  const [left, right] = [panelLeft + 26, panelLeft + PANEL_WIDTH - 6];
  const [top, bottom] = [panelTop + 30, panelTop + 138];
  const x = ratioScale(
    levels.flatMap(({ snr_db }) => snr_db ?? []),
    left,
    right,
  );
  const y = wideScale(
    levels.flatMap(({ [key]: value, intervals }) => [
      100 * value,
      ...(intervals ? [100 * intervals[key].low, 100 * intervals[key].high] : []),
    ]),
    [bottom, top],
    5,
  );
  const points = levels
    .map((level): Point => ({ level, x: x.at(level.snr_db ?? CLEAN), y: y.at(100 * level[key]) }))
    .sort((a, b) => a.x - b.x);
  const marks = points.map(({ level, x: at, y: height }) => {
    const { [key]: value, intervals } = level;
    const ends = intervals?.[key];
    const between = ends ? ` [${percent(ends.low)}, ${percent(ends.high)}]` : '';
    const whisker = ends
      ? element('path', {
          fill: 'none',
          stroke: 'accent',
          'stroke-width': 1.5,
          d: `M${short(at - 4)} ${short(y.at(100 * ends.low))}h8m-4 0V${short(y.at(100 * ends.high))}m-4 0h8`,
        })
      : '';
    return element(
      'g',
      {},
      tooltip(`${levelName(level)}: ${title} ${percent(value)} %${between}`),
      whisker,
      element('circle', { cx: at, cy: height, r: 3, fill: 'accent', stroke: 'page' }),
    );
  });
  return [
    textElement(`${title}, %`, { x: left - 6, y: panelTop + 16, 'font-weight': 'bold' }),
    verticalAxis({ scale: y, label: '' }, left, right),
    horizontalAxis({ scale: x, label: 'dB', format: ratioText }, bottom, top),
    ...lines(points),
    ...marks,
    ...values(points, ({ [key]: value }) => percent(value)),
  ].join('');
}

/** A dashed line leads from the test set as it is to the highest ratio: there is nothing between them. */
function lines([first, ...others]: readonly Point[]): string[] {
  const path = (points: readonly Point[], dash: string | undefined): string =>
    points.length < 2
      ? ''
      : element('path', {
          fill: 'none',
          stroke: 'accent',
          'stroke-width': 1.5,
          'stroke-dasharray': dash,
          d: `M${points.map(({ x, y }) => `${short(x)} ${short(y)}`).join('L')}`,
        });
  return first === undefined ? [] : [path([first, ...others.slice(0, 1)], '3 4'), path(others, undefined)];
}

/** The values above their points, or below if there is one already; without those that would overlap in both places. */
function values(points: readonly Point[], text: (level: NoiseLevelResult) => string): string[] {
  const ends = { above: Number.NEGATIVE_INFINITY, below: Number.NEGATIVE_INFINITY };
  return points.flatMap(({ level, x, y }) => {
    const shown = text(level);
    const half = textWidth(shown, 10) / 2;
    const place = (['above', 'below'] as const).find((each) => x - half >= ends[each]);
    if (place === undefined) return [];
    ends[place] = x + half + 2;
    const [dx, dy] = place === 'above' ? [4, -7] : [-4, 15];
    const at = { x: x + dx, y: y + dy, 'text-anchor': 'middle', 'font-size': 10 };
    return [textElement(shown, { ...at, ...RIMMED })];
  });
}

/** The ratios, highest first, with the test set as it is at their left; no two ticks so close that they touch. */
function ratioScale(ratios: readonly number[], left: number, right: number): Scale {
  const descending = ratios.toSorted((a, b) => b - a);
  const domain = [descending[0] ?? 0, descending.at(-1) ?? 0] as const;
  const linear = linearScale(domain, [left + MARGIN + GAP, right - RIGHT]);
  const at = (ratio: number): number => (ratio === CLEAN ? left + MARGIN : linear.at(ratio));
  const ticks: number[] = [];
  for (const ratio of [CLEAN, ...descending]) {
    const last = ticks.at(-1);
    const isFree =
      last === undefined ||
      at(ratio) - at(last) > 2 + (textWidth(ratioText(last)) + textWidth(ratioText(ratio))) / 2;
    if (isFree) ticks.push(ratio);
  }
  return { at, ticks, domain, range: [left, right] };
}

function ratioText(ratio: number): string {
  return ratio === CLEAN ? 'clean' : tickText(ratio);
}
