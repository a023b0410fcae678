/**
 * @file Plots of the headline figures with intervals, next to the paper's; of their spread over folds or seeds; and of
 * ablation rows.
 */

import {
  type BootstrapIntervals,
  type FoldMetrics,
  type PaperFigures,
  type PaperRow,
  percent,
  type SeedMetrics,
  scorePartsOf,
} from '../../evaluation/index.js';
import {
  countMetrics,
  type Metric,
  type MetricKey,
  type Metrics,
  type PaperKey,
  paperMetrics,
} from '../../evaluation/metrics/index.js';
import {
  horizontalAxis,
  type LegendEntry,
  legend,
  linearScale,
  percentScale,
  type Scale,
  type Shape,
  shapeElement,
  shapePath,
} from './axes.js';
import type { Paint } from './svg.js';
import {
  element,
  fitText,
  type PlotHeading,
  short,
  svgDocument,
  textElement,
  textWidth,
  tooltip,
} from './svg.js';

const WIDTH = 720;
const [LEFT, RIGHT] = [90, 560];
const ROW = 46;

/** The plotted metrics; axes are in percent. */
export const plottedMetrics = countMetrics.filter(({ unit }) => unit === '%');

/** Dots for this run over all utterances, lines for its intervals, marks for published figures. Percent. */
export function headlinePlot(
  metrics: Metrics,
  intervals: BootstrapIntervals | null,
  paper: PaperRow | null,
  heading: PlotHeading,
): string {
  const published = [
    { text: 'EmoQ (paper)', figures: paper, shape: 'diamond', paint: 'series2' },
    { text: 'best earlier (paper)', figures: paper?.best_earlier ?? null, shape: 'square', paint: 'series5' },
  ] as const satisfies readonly { text: string; figures: PaperFigures | null; shape: Shape; paint: Paint }[];
  const values = plottedMetrics.flatMap(({ key }) => [
    100 * metrics[key],
    ...(intervals ? [100 * intervals.metrics[key].low, 100 * intervals.metrics[key].high] : []),
    ...published.flatMap(({ figures }) => figureOf(figures, key) ?? []),
  ]);
  const rows = (scale: Scale, top: number): string[] =>
    plottedMetrics.map((metric, i) => {
      const { key } = metric;
      const y = top + (i + 0.5) * ROW;
      const isPublished = published.some(({ figures }) => figureOf(figures, key) !== null);
      const own = isPublished ? y - 6 : y; // above the published figures
      const interval = intervals?.metrics[key];
      const between = interval ? ` [${percent(interval.low)}, ${percent(interval.high)}]` : '';
      const marks = published.flatMap(({ text, figures, shape, paint }) => {
        const value = figureOf(figures, key);
        if (value === null) return [];
        const mark = shapeElement(shape, paint, 5, shapePath(shape, scale.at(value), y + 10, 5));
        return [element('g', {}, tooltip(`${text}: ${value.toFixed(1)} %`), mark)];
      });
      return [
        rowName(metric, y),
        interval
          ? element('path', {
              stroke: 'series1',
              'stroke-width': 3,
              d: whiskers(scale.at(100 * interval.low), scale.at(100 * interval.high), own),
              fill: 'none',
            })
          : '',
        dot(scale.at(100 * metrics[key]), own, 5),
        ...marks,
        textElement(percent(metrics[key]) + between, { x: RIGHT + 20, y: y + 4 }),
      ].join('');
    });
  const entries: LegendEntry[] = [
    {
      text: intervals ? `this run, ${Math.round(100 * intervals.level)} % interval` : 'this run',
      mark: dotMark,
    },
    ...published
      .filter(({ figures }) => figures !== null)
      .map(({ text, shape, paint }) => ({
        text,
        mark: (x: number, y: number) => shapeElement(shape, paint, 5, shapePath(shape, x, y, 5)),
      })),
  ];
  return rowsPlot(entries, values, rows, heading);
}

/** A dot for each fold or seed, a line at the mean, a band of one standard deviation on each side. Percent. */
export function spreadPlot(scores: FoldMetrics | SeedMetrics, heading: PlotHeading): string {
  const what = scores.kind === 'folds' ? 'fold' : 'seed';
  const parts = scorePartsOf(scores);
  const { mean, sd } = scores;
  const values = plottedMetrics.flatMap(({ key }) => {
    const deviation = sd[key] ?? 0;
    return [
      ...parts.map(({ metrics }) => 100 * metrics[key]),
      100 * (mean[key] - deviation),
      100 * (mean[key] + deviation),
    ];
  });
  const rows = (scale: Scale, top: number): string[] =>
    plottedMetrics.map((metric, i) => {
      const { key } = metric;
      const y = top + (i + 0.5) * ROW;
      const [centre, deviation] = [mean[key], sd[key]];
      const spread = deviation === null ? '' : ` ± ${percent(deviation)}`;
      const band =
        deviation === null
          ? ''
          : element('rect', {
              x: scale.at(100 * (centre - deviation)),
              y: y - 14,
              width: scale.at(100 * (centre + deviation)) - scale.at(100 * (centre - deviation)),
              height: 28,
              fill: 'series1',
              'fill-opacity': 0.18,
            });
      const dots = parts.map(({ part, metrics }) =>
        element(
          'g',
          {},
          tooltip(`${what} ${part}: ${percent(metrics[key])} %`),
          dot(scale.at(100 * metrics[key]), y, 4),
        ),
      );
      const line = element('path', {
        stroke: 'ink',
        'stroke-width': 2,
        d: `M${short(scale.at(100 * centre))} ${y - 16}v32`,
      });
      return [
        rowName(metric, y),
        band,
        line,
        ...dots,
        textElement(percent(centre) + spread, { x: RIGHT + 20, y: y + 4 }),
      ].join('');
    });
  const entries: LegendEntry[] = [
    { text: `a ${what}`, mark: dotMark },
    {
      text: 'mean',
      mark: (x, y) =>
        element('path', { stroke: 'ink', 'stroke-width': 2, d: `M${short(x)} ${short(y - 8)}v16` }),
    },
    {
      text: 'one standard deviation',
      mark: (x, y) =>
        element('rect', { x: x - 9, y: y - 7, width: 18, height: 14, fill: 'series1', 'fill-opacity': 0.18 }),
    },
  ];
  return rowsPlot(entries, values, rows, heading);
}

function rowsPlot(
  entries: readonly LegendEntry[],
  values: readonly number[],
  rows: (scale: Scale, top: number) => string[],
  heading: PlotHeading,
): string {
  const key = legend(entries, LEFT, 4, WIDTH - LEFT);
  const top = key.height + 14;
  const bottom = top + plottedMetrics.length * ROW;
  const scale = percentScale(values, [LEFT, RIGHT], 8);
  const body = key.svg + horizontalAxis({ scale, label: '%' }, bottom, top) + rows(scale, top).join('');
  return svgDocument(heading, WIDTH, bottom + 42, body);
}

function figureOf(figures: PaperFigures | null, key: MetricKey): number | null {
  return (figures as Partial<Record<MetricKey, number | null>> | null)?.[key] ?? null;
}

function rowName({ title }: Metric, y: number): string {
  return textElement(title, { x: LEFT - 10, y: y + 4, 'text-anchor': 'end' });
}

function dot(x: number, y: number, radius: number): string {
  return element('circle', { cx: x, cy: y, r: radius, fill: 'series1', stroke: 'page' });
}

function dotMark(x: number, y: number): string {
  return dot(x, y, 5);
}

function whiskers(from: number, to: number, y: number): string {
  return `M${short(from)} ${short(y - 5)}v10m0-5H${short(to)}m0-5v10`;
}

/** A row's figures as fractions, and the paper's in percent. */
export interface AblationPlotRow extends Readonly<Record<PaperKey, number>> {
  readonly label: string;
  readonly paper: PaperFigures;
}

const DOT_WIDTH = 720;
const DOT_LABEL = 190;
const DOT_ROW = 34;
const VALUE = 40;

/** One panel for each metric in the paper's tables, from 0 to 100 percent. */
export function ablationPlot(rows: readonly AblationPlotRow[], heading: PlotHeading): string {
  const left = 14 + Math.min(DOT_LABEL, Math.max(60, ...rows.map(({ label }) => textWidth(label))));
  const panel = (DOT_WIDTH - left) / paperMetrics.length;
  const key = legend(
    [
      {
        text: 'this toolkit',
        mark: (x, y) => element('rect', { x: x - 9, y: y - 6, width: 18, height: 12, fill: 'series1' }),
      },
      { text: 'paper', mark: (x, y) => shapeElement('diamond', 'series2', 5, shapePath('diamond', x, y, 5)) },
    ],
    left,
    4,
    DOT_WIDTH - left,
  );
  const top = key.height + 34;
  const bottom = top + rows.length * DOT_ROW;
  const panels = paperMetrics.map(({ key: metric, title }, i) => {
    const start = left + i * panel;
    const scale = linearScale([0, 100], [start, start + panel - VALUE], 3);
    const bars = rows.map((row, k) => {
      const y = top + k * DOT_ROW + 5;
      const [end, printed] = [scale.at(100 * row[metric]), row.paper[metric]];
      const said = printed === null ? '' : `, paper ${printed.toFixed(1)} %`;
      // Below the bar, so that neither hides the other.
      const mark =
        printed === null
          ? ''
          : shapeElement('diamond', 'series2', 5, shapePath('diamond', scale.at(printed), y + 18, 5));
      return element(
        'g',
        {},
        tooltip(`${row.label}, ${title}: ${percent(row[metric])} %${said}`),
        element('rect', { x: start, y, width: end - start, height: 14, fill: 'series1' }),
        mark,
        textElement(percent(row[metric]), { x: end + 5, y: y + 11, 'font-size': 11 }),
      );
    });
    return (
      textElement(title, { x: start, y: top - 12, 'font-weight': 'bold' }) +
      horizontalAxis({ scale, label: '%' }, bottom, top) +
      bars.join('')
    );
  });
  const names = rows.map(({ label }, k) =>
    textElement(
      fitText(label, DOT_LABEL),
      { x: left - 10, y: top + k * DOT_ROW + 18, 'text-anchor': 'end' },
      label,
    ),
  );
  return svgDocument(heading, DOT_WIDTH, bottom + 42, key.svg + panels.join('') + names.join(''));
}
