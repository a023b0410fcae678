/** @file Training curves: figures of each step, a panel for each run, and validation figures of each epoch. */

import { metrics } from '../../evaluation/metrics/index.js';
import {
  extentOf,
  horizontalAxis,
  type LegendEntry,
  legend,
  linearScale,
  logScale,
  niceScale,
  type Scale,
  separate,
  verticalAxis,
  wideScale,
} from './axes.js';
import { MOST_RUNS, smooth, summarizeRuns, summaryLegend, summaryMarks, thin } from './run-summary.js';
import {
  element,
  fitText,
  PLOT_WIDTH,
  type PlotHeading,
  short,
  svgDocument,
  textElement,
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

/** Where a panel is, in user units. */
interface Frame {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

const LEFT = 44;
const RIGHT = PLOT_WIDTH - 10;
/** Bins of a curve: about a unit of the plot's width each. */
const MOST_POINTS = 320;
/** Figures that span more than this factor use a logarithmic axis, if allowed. */
const LOG_SPAN = 50;

/**
 * One figure over the steps. A bold line is a running mean over a twentieth of the steps; the faint one behind it is the
 * figure itself, with a band for its range where a point stands for several steps. Two to eight runs have a panel each,
 * on equal axes; more are drawn as their median and two bands. A small plot has one panel, and shows several runs so.
 * @param axis `any` allows a logarithmic axis for figures of different magnitudes
 */
export function stepPlot(
  curves: readonly StepCurve[],
  label: string,
  axis: 'linear' | 'any',
  heading: PlotHeading,
  size: 'large' | 'small' = 'large',
): string {
  const isSummary = curves.length > (size === 'small' ? 1 : MOST_RUNS);
  const summary = isSummary
    ? summarizeRuns(
        curves.map(({ points }) => points),
        MOST_POINTS,
      )
    : undefined;
  const thinned = isSummary ? [] : curves.map(({ points }) => thin(points, MOST_POINTS));
  const [low, high] = extentOf(
    summary?.flatMap(({ least, largest }) => [least, largest]) ??
      thinned.flat().flatMap((point) => [point.low, point.high]),
  );
  const isLogarithmic = axis === 'any' && low > 0 && high / low > LOG_SPAN;
  const name = isLogarithmic ? `${label} (logarithmic axis)` : label;
  const steps = extentOf((summary ?? thinned.flat()).map((point) => point.x));
  const key = summary ? keyOf(summaryLegend(curves.length)) : undefined;
  const above = (key?.height ?? 0) + 26;
  const panels = panelsOf(curves.length, isSummary, above, size);
  const scales = ({ left, right, top, bottom }: Frame): readonly [x: Scale, y: Scale] => [
    linearScale(steps, [left, right], right - left > 200 ? 6 : 3),
    isLogarithmic
      ? logScale([low / 1.1, high * 1.1], [bottom, top], 5)
      : niceScale([low, high], [bottom, top], 5),
  ];
  const drawn = panels.map((frame, i) => {
    const [x, y] = scales(frame);
    const isFirst = i === 0;
    const title = summary || curves.length === 1 ? '' : (curves[i]?.title ?? '');
    return [
      verticalAxis({ scale: y, label: '' }, frame.left, frame.right),
      horizontalAxis(
        { scale: x, label: i === panels.length - 1 ? 'optimizer step' : '' },
        frame.bottom,
        frame.top,
      ),
      isFirst ? textElement(name, { x: 2, y: (key?.height ?? 0) + 14, 'font-size': 11, fill: 'muted' }) : '',
      title === ''
        ? ''
        : textElement(
            fitText(title, frame.right - frame.left, 11),
            { x: frame.left, y: frame.top - 5, 'font-size': 11, 'font-weight': 'bold' },
            title,
          ),
      summary
        ? summaryMarks(summary, x.at, y.at)
        : stepMarks(curves[i]?.points ?? [], thinned[i] ?? [], x, y),
    ].join('');
  });
  const height = panels.at(-1)!.bottom + 38;
  return svgDocument(heading, PLOT_WIDTH, height, (key?.svg ?? '') + drawn.join(''));
}

/** The places of the panels: one, or two beside each other in as many rows as needed. */
function panelsOf(runs: number, isSummary: boolean, above: number, size: 'large' | 'small'): Frame[] {
  if (isSummary || runs <= 1) {
    const height = size === 'small' ? 130 : 200;
    return [{ left: LEFT, right: RIGHT, top: above, bottom: above + height }];
  }
  const [height, row] = [90, 138];
  return Array.from({ length: runs }, (_, i) => {
    const left = i % 2 === 0 ? LEFT : PLOT_WIDTH / 2 + LEFT;
    const top = above + 18 + Math.floor(i / 2) * row;
    return { left, right: left + PLOT_WIDTH / 2 - LEFT - 10, top, bottom: top + height };
  });
}

function stepMarks(
  points: StepCurve['points'],
  thinned: ReturnType<typeof thin>,
  x: Scale,
  y: Scale,
): string {
  const at = (px: number, py: number): string => `${short(x.at(px))} ${short(y.at(py))}`;
  const band = thinned.some(({ low, high }) => high > low)
    ? element('path', {
        fill: 'accent',
        'fill-opacity': 0.14,
        d: `M${[
          ...thinned.map((point) => at(point.x, point.high)),
          ...thinned.map((point) => at(point.x, point.low)).reverse(),
        ].join('L')}z`,
      })
    : '';
  const smoothed = thin(smooth(points), MOST_POINTS);
  return [
    band,
    line(
      thinned.map((point) => [x.at(point.x), y.at(point.mean)] as const),
      1,
      0.35,
    ),
    line(
      smoothed.map((point) => [x.at(point.x), y.at(point.mean)] as const),
      2,
      1,
    ),
  ].join('');
}

const figureNames: Readonly<Record<string, string>> = Object.fromEntries(
  metrics.map(({ key, title, unit }) => [key, unit === null ? title : `${title}, ${unit}`]),
);

/** Height of a panel with its axis. */
const PANEL = 158;

/**
 * One panel for each figure of the epochs; a ring marks the selected epoch. Several runs have thin lines with their
 * names at the end. More than eight are drawn as their median and two bands, with a tick below for each selected epoch.
 */
export function epochPlot(curves: readonly EpochCurve[], heading: PlotHeading): string {
  const present = new Set(
    curves.flatMap(({ epochs }) => epochs.flatMap(({ figures }) => Object.keys(figures))),
  );
  const known = Object.keys(figureNames).filter((figure) => present.has(figure));
  const figures = [...known, ...[...present].filter((figure) => !(figure in figureNames)).sort()];
  const isSummary = curves.length > MOST_RUNS;
  const kept: LegendEntry = {
    text: 'kept epoch',
    mark: (x, y) => (isSummary ? stroke(x, y + 5) : ring(x, y)),
  };
  const key = keyOf([...(isSummary ? summaryLegend(curves.length) : []), kept]);
  const columns = figures.length === 1 ? 1 : 2;
  const width = PLOT_WIDTH / columns;
  const panels = figures.map((figure, i) =>
    epochPanel(curves, figure, (i % columns) * width, key.height + Math.floor(i / columns) * PANEL, width),
  );
  const height = key.height + Math.ceil(figures.length / columns) * PANEL;
  return svgDocument(heading, PLOT_WIDTH, height, key.svg + panels.join(''));
}

function epochPanel(
  curves: readonly EpochCurve[],
  figure: string,
  panelLeft: number,
  panelTop: number,
  width: number,
): string {
  const isNamed = curves.length > 1 && curves.length <= MOST_RUNS;
  const [left, right] = [panelLeft + 34, panelLeft + width - (isNamed ? 40 : 10)];
  const [top, bottom] = [panelTop + 30, panelTop + 126];
  const name = figureNames[figure] ?? figure;
  const factor = name.endsWith('%') ? 100 : 1;
  const runs = curves.map(({ epochs }) =>
    epochs
      .map((each) => ({ epoch: each.epoch, value: factor * (each.figures[figure] ?? Number.NaN) }))
      .filter(({ value }) => Number.isFinite(value)),
  );
  const values = runs.flat().map(({ value }) => value);
  const x = linearScale(extentOf(runs.flat().map(({ epoch }) => epoch)), [left + 7, right - 7], 6);
  const y = (factor === 100 ? wideScale : niceScale)(values, [bottom, top], 5);
  const whole: Scale = { ...x, ticks: x.ticks.filter(Number.isInteger), range: [left, right] };
  const axes =
    textElement(name, { x: panelLeft + 2, y: panelTop + 14, 'font-size': 11, 'font-weight': 'bold' }) +
    verticalAxis({ scale: y, label: '' }, left, right) +
    horizontalAxis({ scale: whole, label: '' }, bottom, top) +
    textElement('epoch', { x: right, y: bottom + 28, 'text-anchor': 'end', 'font-size': 10, fill: 'muted' });
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
    const { title, selectedEpoch } = curves[run]!;
    const said = title === '' ? '' : `${title}, `;
    const dots = points.map(({ epoch, value }) =>
      element(
        'g',
        {},
        tooltip(`${said}epoch ${epoch}: ${Number(value.toPrecision(4))}`),
        element('circle', { cx: x.at(epoch), cy: y.at(value), r: isNamed ? 1.5 : 2.5, fill: 'accent' }),
      ),
    );
    const kept = points.find(({ epoch }) => epoch === selectedEpoch);
    const positions = points.map(({ epoch, value }) => [x.at(epoch), y.at(value)] as const);
    return (
      line(positions, isNamed ? 1 : 2, isNamed ? 0.6 : 1) +
      dots.join('') +
      (kept ? ring(x.at(kept.epoch), y.at(kept.value), isNamed ? 3.5 : 6.5) : '')
    );
  });
  return axes + lines.join('') + (isNamed ? endLabels(curves, runs, x, y, right) : '');
}

/** The names of the runs at the ends of their lines, moved apart. */
function endLabels(
  curves: readonly EpochCurve[],
  runs: readonly (readonly { readonly epoch: number; readonly value: number }[])[],
  x: Scale,
  y: Scale,
  right: number,
): string {
  const ends = runs.flatMap((points, run) => {
    const last = points.at(-1);
    return last ? [{ title: curves[run]!.title, x: x.at(last.epoch), y: y.at(last.value) }] : [];
  });
  const [bottom, top] = y.range;
  const middles = separate(
    ends.map((end) => end.y),
    ends.map(() => 11),
    top - 14,
    bottom + 14,
  );
  return ends
    .map(({ title, x: endX, y: endY }, i) => {
      return (
        element('path', {
          fill: 'none',
          stroke: 'muted',
          'stroke-opacity': 0.5,
          d: `M${short(endX + 3)} ${short(endY)}L${short(right + 4)} ${short(middles[i]!)}`,
        }) +
        textElement(
          fitText(title, 36, 10),
          { x: right + 6, y: middles[i]! + 3, 'font-size': 10, fill: 'muted' },
          title,
        )
      );
    })
    .join('');
}

/** A legend of what has no name in the plot. */
function keyOf(entries: readonly LegendEntry[]) {
  return legend(entries, 2, 4, PLOT_WIDTH - 4);
}

function line(points: readonly (readonly [x: number, y: number])[], width: number, opacity: number): string {
  if (points.length === 0) return '';
  return element('path', {
    fill: 'none',
    stroke: 'accent',
    'stroke-width': width,
    'stroke-opacity': opacity === 1 ? undefined : opacity,
    'stroke-linejoin': 'round',
    d: `M${points.map(([x, y]) => `${short(x)} ${short(y)}`).join('L')}`,
  });
}

function ring(x: number, y: number, radius = 6.5): string {
  return element('circle', { cx: x, cy: y, r: radius, fill: 'none', stroke: 'ink', 'stroke-width': 1.5 });
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
