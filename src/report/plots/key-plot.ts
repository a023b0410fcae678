/** @file The figures of a search's trials over the values of one recipe key. */

import {
  type Axis,
  horizontalAxis,
  type LegendEntry,
  linearScale,
  logScale,
  type Scale,
  shapePath,
  tickText,
  verticalAxis,
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
} from './svg.js';
import {
  byWeight,
  type FigureAxis,
  figureScale,
  type PlottedTrial,
  trialLegend,
  trialMark,
} from './trial-marks.js';

/** The axis of a key: numbers, or categories in the order of the search space. */
export type KeyAxis =
  | {
      readonly kind: 'numbers';
      readonly low: number;
      readonly high: number;
      readonly scale: 'linear' | 'log' | 'whole';
    }
  | { readonly kind: 'categories'; readonly names: readonly string[] };

/** A trial and its value of the key: a number, or an index into the categories. */
export interface KeyPoint extends PlottedTrial {
  readonly value: number;
  /** The value as text. */
  readonly valueText: string;
}

const [LEFT, RIGHT] = [44, PLOT_WIDTH - 10];
const HEIGHT = 150;
/** Between the ends of an axis of numbers and its lowest and highest value, so that no mark is cut. */
const MARGIN = 8;

/**
 * One mark for each trial.
 * @param own the value in the recipe that the trials change, on the same axis; null if it is not on it
 */
export function keyPlot(
  key: string,
  points: readonly KeyPoint[],
  { axis, figure, own }: { readonly axis: KeyAxis; readonly figure: FigureAxis; readonly own: number | null },
  heading: PlotHeading,
): string {
  const ownMark: LegendEntry = { text: 'recipe', mark: (x, y) => ownValueMark(x, y + 4) };
  const legend = trialLegend(points, own === null ? [] : [ownMark]);
  const top = legend.height + 26;
  const bottom = top + HEIGHT;
  const y = figureScale(
    points.map((point) => point.figure),
    figure,
    [bottom, top],
  );
  const { at, drawn, height } =
    axis.kind === 'numbers' ? numberAxis(axis, bottom, top) : categoryAxis(axis.names, bottom, top);
  const marks = byWeight(points).map((point) => {
    const text = `trial ${point.number}, ${point.isFinished ? 'finished' : 'stopped'}: ${point.valueText}, ${tickText(Number(point.figure.toPrecision(4)))}`;
    return trialMark(point, at(point.value, point.number), y.at(point.figure), text);
  });
  const body = [
    legend.svg,
    verticalAxis({ scale: y, label: '' }, LEFT, RIGHT),
    textElement(figure.label, { x: 2, y: top - 10, fill: 'muted' }),
    drawn,
    own === null ? '' : ownValueMark(at(own), bottom),
    ...marks,
    textElement(
      fitText(key, PLOT_WIDTH - 12),
      { x: RIGHT, y: bottom + height + 14, 'text-anchor': 'end', fill: 'muted' },
      key,
    ),
  ];
  return svgDocument(heading, PLOT_WIDTH, bottom + height + 22, body.join(''));
}

/** Where a value is. @param trial moves a mark aside, where many trials have the same value */
interface DrawnAxis {
  readonly at: (value: number, trial?: number) => number;
  readonly drawn: string;
  readonly height: number;
}

function numberAxis(
  { low, high, scale: kind }: Extract<KeyAxis, { kind: 'numbers' }>,
  bottom: number,
  top: number,
): DrawnAxis {
  const range = [LEFT + MARGIN, RIGHT - MARGIN] as const;
  const plain = (kind === 'log' ? logScale : linearScale)([low, high], range, 6);
  const ticks = plain.ticks.filter((tick) => kind !== 'whole' || Number.isInteger(tick));
  // A narrow logarithmic range may hold no round number, or one: then its ends say more.
  const scale: Scale = { ...plain, range: [LEFT, RIGHT], ticks: ticks.length < 2 ? [low, high] : ticks };
  const axis: Axis = { scale, label: '' };
  return { at: (value) => plain.at(value), drawn: horizontalAxis(axis, bottom, top), height: 20 };
}

/** Names are below their places, in two rows if they would touch. */
function categoryAxis(names: readonly string[], bottom: number, top: number): DrawnAxis {
  const slot = (RIGHT - LEFT) / names.length;
  const middle = (index: number): number => LEFT + (index + 0.5) * slot;
  const rows = names.some((name) => textWidth(name) > slot - 6) && names.length > 1 ? 2 : 1;
  const [start, end] = [LEFT - 40, RIGHT + 8];
  const labels = names.map((name, index) => {
    const x = middle(index);
    const room = Math.min(rows * slot - 6, 2 * (x - start), 2 * (end - x));
    return textElement(
      fitText(name, room),
      { x, y: bottom + 16 + 15 * (index % rows), 'text-anchor': 'middle', fill: 'muted' },
      name,
    );
  });
  // Between the places, so that marks beside each other are not read as different values.
  const borders = names.map(
    (_, index) => `M${short(LEFT + (index + 1) * slot)} ${short(top)}V${short(bottom)}`,
  );
  const drawn = [
    element('path', { stroke: 'grid', d: borders.join('') }),
    element('path', { stroke: 'muted', d: `M${short(LEFT)} ${short(bottom)}H${short(RIGHT)}` }),
    ...labels,
  ];
  return {
    at: (index, trial) =>
      middle(index) + (trial === undefined ? 0 : asideOf(trial) * Math.min(0.6 * slot, 60)),
    drawn: drawn.join(''),
    height: 5 + 15 * rows,
  };
}

/** Multiples of the golden ratio, modulo 1, are spread evenly however many there are. From -0.5 to 0.5. */
function asideOf(trial: number): number {
  return ((trial * 0.618034) % 1) - 0.5;
}

/** A triangle that points to a place on the axis from above. */
function ownValueMark(x: number, y: number): string {
  return element('path', { fill: 'ink', d: shapePath('wedge', x, y - 6, 4) });
}
