/** @file Headline figures of a test set as it is and at several signal-to-noise ratios, a panel for each metric. */

import { levelName, type NoiseLevelResult, percent } from '../../evaluation/index.js';
import { horizontalAxis, linearScale, percentScale, type Scale, tickText, verticalAxis } from './axes.js';
import { plottedMetrics } from './headline-plots.js';
import { element, type PlotHeading, short, svgDocument, textElement, textWidth, tooltip } from './svg.js';

const WIDTH = 720;
const COLUMNS = 2;
const PANEL_WIDTH = WIDTH / COLUMNS;
const PANEL_HEIGHT = 250;
/** From the axis to the test set as it is, and from there to the levels, so that it does not look like one of them. */
const [MARGIN, GAP] = [16, 44];
/** Room for the last value. */
const RIGHT = 44;
/** Stands for the test set as it is on the axis of ratios. */
const CLEAN = Number.POSITIVE_INFINITY;

/** Ratios fall from left to right; lines through the points are the intervals. Percent. */
export function noisePlot(levels: readonly NoiseLevelResult[], heading: PlotHeading): string {
  const panels = plottedMetrics.map((metric, i) =>
    panel(levels, metric, (i % COLUMNS) * PANEL_WIDTH, Math.floor(i / COLUMNS) * PANEL_HEIGHT),
  );
  const height = Math.ceil(plottedMetrics.length / COLUMNS) * PANEL_HEIGHT;
  return svgDocument(heading, WIDTH, height, panels.join(''));
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
  const [left, right] = [panelLeft + 44, panelLeft + PANEL_WIDTH - 8];
  const [top, bottom] = [panelTop + 40, panelTop + 204];
  const x = ratioScale(
    levels.flatMap(({ snr_db }) => snr_db ?? []),
    left,
    right,
  );
  const y = percentScale(
    levels.flatMap(({ [key]: value, intervals }) => [
      100 * value,
      ...(intervals ? [100 * intervals[key].low, 100 * intervals[key].high] : []),
    ]),
    [bottom, top],
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
          stroke: 'series1',
          'stroke-width': 1.5,
          d: `M${short(at - 4)} ${short(y.at(100 * ends.low))}h8m-4 0V${short(y.at(100 * ends.high))}m-4 0h8`,
        })
      : '';
    return element(
      'g',
      {},
      tooltip(`${levelName(level)}: ${title} ${percent(value)} %${between}`),
      whisker,
      element('circle', { cx: at, cy: height, r: 4, fill: 'series1', stroke: 'page' }),
    );
  });
  return [
    textElement(`${title}, %`, { x: left - 6, y: panelTop + 20, 'font-weight': 'bold' }),
    verticalAxis({ scale: y, label: '' }, left, right),
    horizontalAxis({ scale: x, label: 'signal-to-noise ratio, dB', format: ratioText }, bottom, top),
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
          stroke: 'series1',
          'stroke-width': 1.5,
          'stroke-dasharray': dash,
          d: `M${points.map(({ x, y }) => `${short(x)} ${short(y)}`).join('L')}`,
        });
  return first === undefined ? [] : [path([first, ...others.slice(0, 1)], '3 4'), path(others, undefined)];
}

/** The values beside their points, without those that would overlap the one before. */
function values(points: readonly Point[], text: (level: NoiseLevelResult) => string): string[] {
  let end = Number.NEGATIVE_INFINITY;
  return points.flatMap(({ level, x, y }) => {
    const shown = text(level);
    if (x < end) return [];
    end = x + 4 + textWidth(shown, 11);
    return [textElement(shown, { x: x + 6, y: y - 6, 'font-size': 11 })];
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
      at(ratio) - at(last) > 4 + (textWidth(ratioText(last)) + textWidth(ratioText(ratio))) / 2;
    if (isFree) ticks.push(ratio);
  }
  return { at, ticks, domain, range: [left, right] };
}

function ratioText(ratio: number): string {
  return ratio === CLEAN ? 'clean' : tickText(ratio);
}
