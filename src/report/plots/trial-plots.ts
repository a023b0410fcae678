/** @file The course of a search: the validation curve of each trial, and the best figure so far. */

import { horizontalAxis, type LegendEntry, linearScale, type Scale, tickText, verticalAxis } from './axes.js';
import {
  element,
  PLOT_WIDTH,
  type PlotHeading,
  RIMMED,
  short,
  svgDocument,
  textElement,
  tooltip,
} from './svg.js';
import {
  brokenLine,
  byWeight,
  type FigureAxis,
  figureScale,
  type PlottedTrial,
  trialLegend,
  trialMark,
} from './trial-marks.js';

/** A trial with the figure of each of its epochs, in the unit of the axis; null where there is none. */
export interface TrialCurve extends PlottedTrial {
  readonly figures: readonly (number | null)[];
  /** The epoch whose figure it is ranked by. */
  readonly epoch: number;
}

const LEFT = 44;
const HEIGHT = 190;
/** Right of the lines, for the name of the best. */
const NAME = 62;

/** All curves faint, the best strong and with its name. A hollow mark is where a trial was stopped. */
export function trialCurvePlot(
  trials: readonly TrialCurve[],
  figure: FigureAxis,
  heading: PlotHeading,
): string {
  const right = PLOT_WIDTH - NAME;
  const legend = curveLegend(trials);
  const top = legend.height + 26;
  const bottom = top + HEIGHT;
  const all = trials.flatMap(({ figures }) => figures.flatMap((each) => each ?? []));
  const y = figureScale(all, figure, [bottom, top]);
  const epochs = Math.max(1, ...trials.map(({ figures }) => figures.length));
  const x = linearScale([1, epochs], [LEFT + 7, right - 7], 6);
  const lines = byWeight(trials).map((trial) => curve(trial, x, y));
  const body = [
    legend.svg,
    textElement(`${figure.label}, after each epoch`, { x: 2, y: top - 10, fill: 'muted' }),
    verticalAxis({ scale: y, label: '' }, LEFT, right),
    horizontalAxis({ scale: wholeTicks(x, LEFT, right), label: 'epoch' }, bottom, top),
    ...lines,
  ];
  return svgDocument(heading, PLOT_WIDTH, bottom + 40, body.join(''));
}

function curve(trial: TrialCurve, x: Scale, y: Scale): string {
  const { number, isBest, isFinished, figures, epoch } = trial;
  const points = figures.map((each, index) =>
    each === null ? null : ([x.at(index + 1), y.at(each)] as const),
  );
  const last = points.findLast((point) => point !== null);
  if (last === undefined) return '';
  const end = isFinished
    ? ''
    : element('circle', { cx: last[0], cy: last[1], r: 2.5, fill: 'page', stroke: 'accent' });
  const line = element('path', {
    fill: 'none',
    stroke: isBest ? 'series2' : 'accent',
    'stroke-width': isBest ? 2.5 : 1.25,
    'stroke-opacity': isBest ? undefined : 0.4,
    'stroke-linejoin': 'round',
    'stroke-linecap': 'round',
    d: brokenLine(points),
  });
  const kept = points[epoch - 1];
  const title = `trial ${number}${isFinished ? '' : `, stopped after epoch ${figures.length}`}: ${tickText(Number(trial.figure.toPrecision(4)))} in epoch ${epoch}`;
  return element(
    'g',
    {},
    tooltip(title),
    line,
    end,
    isBest && kept ? trialMark(trial, kept[0], kept[1]) : '',
    isBest ? nameText(`trial ${number}`, last[0] + 8, last[1]) : '',
  );
}

/** Lines may pass behind it. */
function nameText(text: string, x: number, y: number): string {
  return textElement(text, { x, y: y + 4, 'font-weight': 'bold', ...RIMMED });
}

function curveLegend(trials: readonly TrialCurve[]): ReturnType<typeof trialLegend> {
  const faint = (x: number, y: number): string =>
    element('path', {
      stroke: 'accent',
      'stroke-width': 1.25,
      'stroke-opacity': 0.4,
      d: `M${short(x - 10)} ${short(y)}h20`,
    });
  const others = trials.filter(({ isBest }) => !isBest);
  const entries: LegendEntry[] = [
    ...(others.some(({ isFinished }) => isFinished) ? [{ text: 'finished', mark: faint }] : []),
    ...(others.some(({ isFinished }) => !isFinished)
      ? [
          {
            text: 'stopped',
            mark: (x: number, y: number) =>
              faint(x - 2, y) +
              element('circle', { cx: x + 8, cy: y, r: 2.5, fill: 'page', stroke: 'accent' }),
          },
        ]
      : []),
  ];
  const best = trials.find(({ isBest }) => isBest);
  if (best) entries.push({ text: 'best, its kept epoch', mark: (x, y) => trialMark(best, x, y) });
  return trialLegend([], entries);
}

/** A step for each finished trial that is better than those before it; marks are the trials' own figures. */
export function bestSoFarPlot(
  trials: readonly PlottedTrial[],
  {
    figure,
    higherIsBetter,
    last,
  }: { readonly figure: FigureAxis; readonly higherIsBetter: boolean; readonly last: number },
  heading: PlotHeading,
): string {
  const right = PLOT_WIDTH - 10;
  const legend = trialLegend(trials, [
    {
      text: 'best so far',
      mark: (x, y) =>
        element('path', { stroke: 'series2', 'stroke-width': 2.5, d: `M${short(x - 10)} ${short(y)}h20` }),
    },
  ]);
  const top = legend.height + 26;
  const bottom = top + HEIGHT;
  const y = figureScale(
    trials.map((trial) => trial.figure),
    figure,
    [bottom, top],
  );
  const x = linearScale([1, last], [LEFT + 8, right - 8], 6);
  const sign = higherIsBetter ? 1 : -1;
  let path = '';
  let best = Number.NEGATIVE_INFINITY;
  for (const trial of trials.filter(({ isFinished }) => isFinished).sort((a, b) => a.number - b.number)) {
    if (sign * trial.figure <= best) continue;
    best = sign * trial.figure;
    const [h, v] = [short(x.at(trial.number)), short(y.at(trial.figure))];
    path += path === '' ? `M${h} ${v}` : `H${h}V${v}`;
  }
  const body = [
    legend.svg,
    textElement(figure.label, { x: 2, y: top - 10, fill: 'muted' }),
    verticalAxis({ scale: y, label: '' }, LEFT, right),
    horizontalAxis({ scale: wholeTicks(x, LEFT, right), label: 'trial' }, bottom, top),
    path === ''
      ? ''
      : element('path', {
          fill: 'none',
          stroke: 'series2',
          'stroke-width': 2.5,
          'stroke-linejoin': 'round',
          d: `${path}H${short(x.at(last))}`,
        }),
    ...byWeight(trials).map((trial) =>
      trialMark(
        trial,
        x.at(trial.number),
        y.at(trial.figure),
        `trial ${trial.number}, ${trial.isFinished ? 'finished' : 'stopped'}: ${tickText(Number(trial.figure.toPrecision(4)))}`,
      ),
    ),
  ];
  return svgDocument(heading, PLOT_WIDTH, bottom + 40, body.join(''));
}

/** Over the whole width of the plot, with whole numbers only. */
function wholeTicks(scale: Scale, left: number, right: number): Scale {
  return { ...scale, ticks: scale.ticks.filter(Number.isInteger), range: [left, right] };
}
