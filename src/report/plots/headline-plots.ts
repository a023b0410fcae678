/**
 * @file Plots of the headline figures with intervals, next to the paper's; of their spread over folds or seeds; and of
 * ablation rows.
 */

import {
  type Baselines,
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
  type MetricKey,
  type Metrics,
  type PaperKey,
  paperMetrics,
} from '../../evaluation/metrics/index.js';
import {
  horizontalAxis,
  linearScale,
  type Scale,
  type Shape,
  separate,
  shapePath,
  wideScale,
} from './axes.js';
import {
  element,
  fitText,
  PLOT_WIDTH,
  type PlotHeading,
  short,
  svgDocument,
  textElement,
  textWidth,
  tooltip,
} from './svg.js';

const [LEFT, RIGHT] = [10, PLOT_WIDTH - 22];

/** The plotted metrics; axes are in percent. */
export const plottedMetrics = countMetrics.filter(({ unit }) => unit === '%');

const HEADLINE_ROW = 62;

/** Figures that a run is compared with, of one metric, in percent. */
interface Reference {
  readonly text: string;
  readonly value: number;
  readonly shape: Shape | 'line';
}

/** What this run is compared with: the paper, the best earlier system, the majority class and chance. */
function referencesOf(paper: PaperRow | null, baselines: Baselines, key: MetricKey): Reference[] {
  const published = (text: string, figures: PaperFigures | null, shape: Shape): Reference[] => {
    const value = figureOf(figures, key);
    return value === null ? [] : [{ text, value, shape }];
  };
  return [
    ...published('paper', paper, 'diamond'),
    ...published('earlier', paper?.best_earlier ?? null, 'square'),
    { text: 'majority', value: 100 * baselines.majority[key], shape: 'line' },
    { text: 'chance', value: 100 * baselines.chance[key], shape: 'line' },
  ];
}

/**
 * A row for each metric, from 0 to 100 percent: a dot and a bar for this run and its interval over all utterances, and
 * below them what it is compared with, by name.
 */
export function headlinePlot(
  metrics: Metrics,
  intervals: BootstrapIntervals | null,
  paper: PaperRow | null,
  baselines: Baselines,
  heading: PlotHeading,
): string {
  const scale = linearScale([0, 100], [LEFT, RIGHT], 6);
  const bottom = plottedMetrics.length * HEADLINE_ROW + 4;
  const rows = plottedMetrics.map((metric, i) => {
    const { key, title } = metric;
    const top = i * HEADLINE_ROW;
    const y = top + 28;
    const interval = intervals?.metrics[key];
    const between = interval ? ` [${percent(interval.low)}, ${percent(interval.high)}]` : '';
    const bar = interval
      ? element('rect', {
          x: scale.at(100 * interval.low),
          y: y - 5,
          width: Math.max(1, scale.at(100 * interval.high) - scale.at(100 * interval.low)),
          height: 10,
          rx: 2,
          fill: 'accent',
          'fill-opacity': 0.35,
        })
      : '';
    return element(
      'g',
      {},
      textElement(title, { x: LEFT, y: top + 14, 'font-weight': 'bold' }),
      textElement(`${percent(metrics[key])}${between}`, {
        x: RIGHT,
        y: top + 14,
        'text-anchor': 'end',
      }),
      element('path', {
        stroke: 'grid',
        'stroke-width': 2,
        d: `M${LEFT} ${y}H${RIGHT}`,
      }),
      bar,
      dot(scale.at(100 * metrics[key]), y, 5),
      ...referenceMarks(referencesOf(paper, baselines, key), scale, y),
    );
  });
  const axis = horizontalAxis({ scale, label: '', format: percentTick }, bottom, 20);
  return svgDocument(heading, PLOT_WIDTH, bottom + 22, axis + rows.join(''));
}

/** Marks below the line at y, with their names and figures where there is room for each. */
function referenceMarks(references: readonly Reference[], scale: Scale, y: number): string[] {
  const texts = references.map(({ text, value }) => `${text} ${value.toFixed(1)}`);
  const sizes = texts.map((text) => textWidth(text, 10) + 6);
  const middles = separate(
    references.map(({ value }) => scale.at(value)),
    sizes,
    0,
    PLOT_WIDTH,
  );
  return references.map(({ text, value, shape }, i) => {
    const x = scale.at(value);
    const drawn =
      shape === 'line'
        ? element('path', { stroke: 'muted', 'stroke-width': 1.5, d: `M${short(x)} ${y - 7}v14` })
        : element('path', {
            fill: 'page',
            stroke: 'ink',
            'stroke-width': 1.5,
            d: shapePath(shape, x, y, 4),
          });
    return element(
      'g',
      {},
      tooltip(`${text}: ${value.toFixed(1)} %`),
      drawn,
      element('path', {
        fill: 'none',
        stroke: 'grid',
        d: `M${short(x)} ${y + 8}L${short(middles[i]!)} ${y + 14}`,
      }),
      textElement(texts[i]!, {
        x: middles[i]!,
        y: y + 24,
        'text-anchor': 'middle',
        'font-size': 10,
        fill: 'muted',
      }),
    );
  });
}

const SPREAD_ROW = 58;
/** More dots than this have no names. */
const MOST_NAMED = 8;

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
  const scale = wideScale(values, [LEFT, RIGHT], 6);
  const rows = plottedMetrics.map(({ key, title }, i) => {
    const top = i * SPREAD_ROW;
    const y = top + 44;
    const [centre, deviation] = [mean[key], sd[key]];
    const spread = deviation === null ? '' : ` ± ${percent(deviation)}`;
    const band =
      deviation === null
        ? ''
        : element('rect', {
            x: scale.at(100 * (centre - deviation)),
            y: y - 8,
            width: scale.at(100 * (centre + deviation)) - scale.at(100 * (centre - deviation)),
            height: 16,
            fill: 'accent',
            'fill-opacity': 0.18,
          });
    const places = parts.map(({ metrics }) => scale.at(100 * metrics[key]));
    const names = parts.map(({ part }) => part);
    const middles = separate(
      places,
      names.map((name) => textWidth(name, 10) + 3),
      0,
      PLOT_WIDTH,
    );
    const dots = parts.map(({ part, metrics }, k) =>
      element(
        'g',
        {},
        tooltip(`${what} ${part}: ${percent(metrics[key])} %`),
        element('circle', {
          cx: places[k]!,
          cy: y,
          r: 4,
          fill: 'accent',
          'fill-opacity': 0.75,
          stroke: 'page',
        }),
        parts.length > MOST_NAMED
          ? ''
          : textElement(fitText(part, 40, 10), {
              x: middles[k]!,
              y: y - 11,
              'text-anchor': 'middle',
              'font-size': 10,
              fill: 'muted',
            }),
      ),
    );
    const line = element('path', {
      stroke: 'ink',
      'stroke-width': 2,
      d: `M${short(scale.at(100 * centre))} ${y - 8}v16`,
    });
    return [
      textElement(title, { x: LEFT, y: top + 16, 'font-weight': 'bold' }),
      textElement(`mean ${percent(centre)}${spread}`, { x: RIGHT, y: top + 16, 'text-anchor': 'end' }),
      band,
      line,
      ...dots,
    ].join('');
  });
  const bottom = plottedMetrics.length * SPREAD_ROW + 4;
  const axis = horizontalAxis({ scale, label: '%' }, bottom, 24);
  return svgDocument(heading, PLOT_WIDTH, bottom + 40, axis + rows.join(''));
}

function figureOf(figures: PaperFigures | null, key: MetricKey): number | null {
  return (figures as Partial<Record<MetricKey, number | null>> | null)?.[key] ?? null;
}

function dot(x: number, y: number, radius: number): string {
  return element('circle', { cx: x, cy: y, r: radius, fill: 'accent', stroke: 'page' });
}

function percentTick(value: number): string {
  return value === 100 ? '100 %' : String(value);
}

/** A row's figures as fractions, and the paper's in percent. */
export interface AblationPlotRow extends Readonly<Record<PaperKey, number>> {
  readonly label: string;
  readonly paper: PaperFigures;
}

const ABLATION_ROW = 48;
const VALUE = 34;

/** One panel for each metric in the paper's tables, from 0 to 100 percent; the name of a row is above its bars. */
export function ablationPlot(rows: readonly AblationPlotRow[], heading: PlotHeading): string {
  const panel = (PLOT_WIDTH - LEFT) / paperMetrics.length;
  const top = 24;
  const bottom = top + rows.length * ABLATION_ROW;
  const panels = paperMetrics.map(({ key: metric, title }, i) => {
    const start = LEFT + i * panel;
    const scale = linearScale([0, 100], [start, start + panel - VALUE], 3);
    const bars = rows.map((row, k) => {
      const y = top + k * ABLATION_ROW + 22;
      const [end, printed] = [scale.at(100 * row[metric]), row.paper[metric]];
      const said = printed === null ? '' : `, paper ${printed.toFixed(1)} %`;
      const mark =
        printed === null
          ? ''
          : element('path', {
              fill: 'page',
              stroke: 'ink',
              'stroke-width': 1.5,
              d: shapePath('diamond', scale.at(printed), y + 15, 3.5),
            }) +
            (k === 0 && i === 0
              ? textElement('paper', { x: scale.at(printed) + 7, y: y + 19, 'font-size': 10, fill: 'muted' })
              : '');
      return element(
        'g',
        {},
        tooltip(`${row.label}, ${title}: ${percent(row[metric])} %${said}`),
        element('rect', { x: start, y, width: end - start, height: 9, fill: 'accent' }),
        mark,
        textElement(percent(row[metric]), { x: end + 4, y: y + 9, 'font-size': 10 }),
      );
    });
    return (
      horizontalAxis({ scale, label: '' }, bottom, top) +
      textElement(title, { x: start, y: 14, 'font-weight': 'bold' }) +
      bars.join('')
    );
  });
  const names = rows.map(({ label }, k) =>
    textElement(
      fitText(label, RIGHT - LEFT, 11),
      { x: LEFT, y: top + k * ABLATION_ROW + 15, 'font-size': 11 },
      label,
    ),
  );
  return svgDocument(heading, PLOT_WIDTH, bottom + 24, panels.join('') + names.join(''));
}
