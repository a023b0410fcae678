/** @file Training curves: figures of each step and validation figures of each epoch, with runs overlaid. */

import { metrics } from '../../evaluation/metrics/index.js';
import {
  extentOf,
  horizontalAxis,
  type LegendEntry,
  legend,
  linearScale,
  logScale,
  niceScale,
  percentScale,
  type Scale,
  verticalAxis,
} from './axes.js';
import { MOST_RUNS, summarizeRuns, summaryLegend, summaryMarks, thin } from './run-summary.js';
import {
  element,
  type Paint,
  type PlotHeading,
  seriesNames,
  seriesPaint,
  short,
  svgDocument,
  tooltip,
} from './svg.js';

/** A figure over the steps of one run; x ascending. */
export interface StepCurve {
  readonly title: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

/** Figures of one run's epochs. */
export interface EpochCurve {
  readonly title: string;
  readonly epochs: readonly { readonly epoch: number; readonly figures: Readonly<Record<string, number>> }[];
  /** The selected epoch. */
  readonly selectedEpoch: number | null;
}

const WIDTH = 720;
const LEFT = 64;
/** Bins of a curve: about two units of the plot's width each. */
const MOST_POINTS = 320;
/** Figures that span more than this factor use a logarithmic axis, if allowed. */
const LOG_SPAN = 50;
/** Bands of more runs than this would only cover each other. */
const MOST_BANDS = 3;

/**
 * One figure over the steps. If there are too many steps, the line is their mean, with a band for their range if there
 * are at most three runs. More than eight runs are drawn as their median and two bands.
 * @param axis `any` allows a logarithmic axis for figures of different magnitudes
 */
export function stepPlot(
  curves: readonly StepCurve[],
  label: string,
  axis: 'linear' | 'any',
  heading: PlotHeading,
): string {
  const summary =
    curves.length > MOST_RUNS
      ? summarizeRuns(
          curves.map(({ points }) => points),
          MOST_POINTS,
        )
      : undefined;
  const thinned = summary ? [] : curves.map(({ points }) => thin(points, MOST_POINTS));
  const [low, high] = extentOf(
    summary?.flatMap(({ least, largest }) => [least, largest]) ??
      thinned.flat().flatMap((point) => [point.low, point.high]),
  );
  const key = runLegend(curves);
  const [top, height] = [key.height + 34, 240];
  const bottom = top + height;
  const x = linearScale(extentOf((summary ?? thinned.flat()).map((point) => point.x)), [LEFT, WIDTH - 16], 8);
  const logarithmic = axis === 'any' && low > 0 && high / low > LOG_SPAN;
  const y = logarithmic
    ? logScale([low / 1.1, high * 1.1], [bottom, top])
    : niceScale([low, high], [bottom, top]);
  const lines = thinned.map((points, i) => {
    const style = runStyle(i);
    const ends = (end: 'low' | 'high'): string[] =>
      points.map((point) => `${short(x.at(point.x))} ${short(y.at(point[end]))}`);
    const wide = points.some((point) => point.high > point.low) && curves.length <= MOST_BANDS;
    const band = wide
      ? element('path', {
          fill: style.paint,
          'fill-opacity': 0.2,
          d: `M${[...ends('high'), ...ends('low').reverse()].join('L')}z`,
        })
      : '';
    return (
      band +
      line(
        points.map((point) => [x.at(point.x), y.at(point.mean)] as const),
        style,
      )
    );
  });
  const name = logarithmic ? `${label} (logarithmic axis)` : label;
  const body = [
    key.svg,
    verticalAxis({ scale: y, label: name }, LEFT, WIDTH - 16),
    horizontalAxis({ scale: x, label: 'optimizer step' }, bottom, top),
    ...(summary ? [summaryMarks(summary, x.at, y.at)] : lines),
  ];
  return svgDocument(heading, WIDTH, bottom + 42, body.join(''));
}

const figureNames: Readonly<Record<string, string>> = Object.fromEntries(
  metrics.map(({ key, title, unit }) => [key, unit === null ? title : `${title}, ${unit}`]),
);

/**
 * One panel for each figure of the epochs; a ring marks the selected epoch. More than eight runs are drawn as their
 * median and two bands, with a tick below for each selected epoch.
 */
export function epochPlot(curves: readonly EpochCurve[], heading: PlotHeading): string {
  const present = new Set(
    curves.flatMap(({ epochs }) => epochs.flatMap(({ figures }) => Object.keys(figures))),
  );
  const known = Object.keys(figureNames).filter((figure) => present.has(figure));
  const figures = [...known, ...[...present].filter((figure) => !(figure in figureNames)).sort()];
  const key = runLegend(curves, {
    text: 'kept epoch',
    mark: (x, y) => (curves.length > MOST_RUNS ? stroke(x, y + 5) : ring(x, y, 'ink')),
  });
  const columns = figures.length === 1 ? 1 : 2;
  const width = WIDTH / columns;
  const panels = figures.map((figure, i) =>
    epochPanel(curves, figure, (i % columns) * width, key.height + Math.floor(i / columns) * PANEL, width),
  );
  const height = key.height + Math.ceil(figures.length / columns) * PANEL;
  return svgDocument(heading, WIDTH, height, key.svg + panels.join(''));
}

/** Height of a panel with its axis. */
const PANEL = 250;

function epochPanel(
  curves: readonly EpochCurve[],
  figure: string,
  panelLeft: number,
  panelTop: number,
  width: number,
): string {
  const [left, right] = [panelLeft + LEFT - 8, panelLeft + width - 16];
  const [top, bottom] = [panelTop + 34, panelTop + 204];
  const name = figureNames[figure] ?? figure;
  const factor = name.endsWith('%') ? 100 : 1;
  const runs = curves.map(({ epochs }) =>
    epochs
      .map((each) => ({ epoch: each.epoch, value: factor * (each.figures[figure] ?? Number.NaN) }))
      .filter(({ value }) => Number.isFinite(value)),
  );
  const values = runs.flat().map(({ value }) => value);
  const x = linearScale(extentOf(runs.flat().map(({ epoch }) => epoch)), [left + 8, right - 8], 8);
  const y = (factor === 100 ? percentScale : niceScale)(values, [bottom, top]);
  const whole: Scale = { ...x, ticks: x.ticks.filter(Number.isInteger), range: [left, right] };
  const axes =
    verticalAxis({ scale: y, label: name }, left, right) +
    horizontalAxis({ scale: whole, label: 'epoch' }, bottom, top);
  if (runs.length > MOST_RUNS) {
    const summary = summarizeRuns(
      runs.map((points) => points.map(({ epoch, value }) => ({ x: epoch, y: value }))),
      MOST_POINTS,
    );
    const kept = curves.flatMap(({ selectedEpoch }) => selectedEpoch ?? []);
    return (
      axes + summaryMarks(summary, x.at, y.at) + kept.map((epoch) => stroke(x.at(epoch), bottom)).join('')
    );
  }
  const lines = runs.map((points, run) => {
    const [style, { title, selectedEpoch }] = [runStyle(run), curves[run]!];
    const said = title === '' ? '' : `${title}, `;
    const dots = points.map(({ epoch, value }) =>
      element(
        'g',
        {},
        tooltip(`${said}epoch ${epoch}: ${Number(value.toPrecision(4))}`),
        element('circle', { cx: x.at(epoch), cy: y.at(value), r: 2.5, fill: style.paint }),
      ),
    );
    const kept = points.find(({ epoch }) => epoch === selectedEpoch);
    const positions = points.map(({ epoch, value }) => [x.at(epoch), y.at(value)] as const);
    return (
      line(positions, style) +
      dots.join('') +
      (kept ? ring(x.at(kept.epoch), y.at(kept.value), style.paint) : '')
    );
  });
  return axes + lines.join('');
}

interface RunStyle {
  readonly paint: Paint;
  readonly dash: string | undefined;
}

/** Colour and dash of the n-th run: with more runs than colours, dashes tell them apart. */
function runStyle(index: number): RunStyle {
  const dashes = [undefined, '6 3', '2 2', '8 3 2 3'];
  return { paint: seriesPaint(index), dash: dashes[Math.floor(index / seriesNames.length) % dashes.length] };
}

/** A legend of the runs, or of their summary; none for a single run without a name. */
function runLegend(curves: readonly { readonly title: string }[], ...more: readonly LegendEntry[]) {
  if (curves.length > MOST_RUNS) {
    return legend([...summaryLegend(curves.length), ...more], LEFT, 4, WIDTH - LEFT - 16);
  }
  const named = curves.length > 1 || (curves[0]?.title ?? '') !== '';
  const entries = curves.map(({ title }, i) => ({
    text: title,
    mark: (x: number, y: number) =>
      line(
        [
          [x - 10, y],
          [x + 10, y],
        ],
        runStyle(i),
      ),
  }));
  return legend([...(named ? entries : []), ...more], LEFT, 4, WIDTH - LEFT - 16);
}

function line(points: readonly (readonly [x: number, y: number])[], { paint, dash }: RunStyle): string {
  if (points.length === 0) return '';
  return element('path', {
    fill: 'none',
    stroke: paint,
    'stroke-width': 1.5,
    'stroke-linejoin': 'round',
    'stroke-dasharray': dash,
    d: `M${points.map(([x, y]) => `${short(x)} ${short(y)}`).join('L')}`,
  });
}

function ring(x: number, y: number, paint: Paint): string {
  return element('circle', { cx: x, cy: y, r: 6.5, fill: 'none', stroke: paint, 'stroke-width': 1.5 });
}

/** A short tick on the horizontal axis. */
function stroke(x: number, bottom: number): string {
  return element('path', {
    stroke: 'ink',
    'stroke-opacity': 0.5,
    'stroke-width': 1.5,
    d: `M${short(x)} ${short(bottom)}v-10`,
  });
}
