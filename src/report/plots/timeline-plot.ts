/** @file The course of the emotions over a recording: probabilities stacked over time, and a strip of labels. */

import { horizontalAxis, linearScale, type Scale, verticalAxis } from './axes.js';
import {
  element,
  fitText,
  type PlotHeading,
  seriesPaint,
  short,
  svgDocument,
  textElement,
  textWidth,
} from './svg.js';

/** What is known of a window of a recording. */
export interface PlottedWindow {
  readonly startSec: number;
  readonly endSec: number;
  /** Index of the label, and the probabilities of all classes; null if the window was not judged. */
  readonly answer: { readonly label: number; readonly probabilities: readonly number[] } | null;
}

export interface TimelinePlot {
  readonly svg: string;
  /** Size of the plot and of the part that shows time, in user units. */
  readonly width: number;
  readonly height: number;
  readonly left: number;
  readonly right: number;
}

const WIDTH = 720;
/** A second is at least this wide, so that an hour does not become a blur; the page scrolls. */
const LEAST_PER_SEC = 1;
const LEFT = 44;
const RIGHT = 14;
const [TOP, AREA_BOTTOM] = [26, 186];
const [STRIP_TOP, STRIP_BOTTOM, LABEL_BASELINE] = [194, 208, 222];
const AXIS = 230;
const HEIGHT = 270;
const TICK_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
const TICK_SPACING = 70;

/**
 * @param fromSec where the recording, or the part of it, begins
 * @param windows in order, without overlap
 */
export function timelinePlot(
  heading: PlotHeading,
  labels: readonly string[],
  fromSec: number,
  toSec: number,
  windows: readonly PlottedWindow[],
): TimelinePlot {
  const durationSec = Math.max(toSec - fromSec, 0.01);
  const plotWidth = Math.max(WIDTH - LEFT - RIGHT, durationSec * LEAST_PER_SEC);
  const right = LEFT + plotWidth;
  const time = timeScale(fromSec, fromSec + durationSec, [LEFT, right]);
  const share = linearScale([0, 100], [AREA_BOTTOM, TOP], 5);
  const span = ({ startSec, endSec }: PlottedWindow): [number, number] => [
    time.at(startSec),
    time.at(endSec),
  ];
  const body = [
    verticalAxis({ scale: share, label: 'Probability in %' }, LEFT, right),
    horizontalAxis({ scale: time, label: 'Time', format: (sec) => clockText(sec, 0) }, AXIS, TOP),
    ...labels.map((_, label) => area(label, windows, span, share)),
    unjudged(windows, span),
    ...labels.map((_, label) => strip(label, windows, span)),
    ...stripLabels(labels, windows, span),
  ];
  const width = right + RIGHT;
  return {
    svg: svgDocument(heading, width, HEIGHT, body.join('')),
    width,
    height: HEIGHT,
    left: LEFT,
    right,
  };
}

/** A time in a recording: 0:05.0, 12:30.5, 1:02:03.0. */
export function clockText(sec: number, decimals = 1): string {
  const unit = 10 ** decimals;
  const rounded = Math.round(sec * unit);
  const seconds = (rounded % (60 * unit)) / unit;
  const minutes = Math.floor(rounded / (60 * unit));
  const text = seconds.toFixed(decimals).padStart(decimals === 0 ? 2 : decimals + 3, '0');
  if (minutes < 60) return `${minutes}:${text}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, '0')}:${text}`;
}

type Span = (window: PlottedWindow) => [start: number, end: number];

function timeScale(fromSec: number, toSec: number, range: readonly [number, number]): Scale {
  const scale = linearScale([fromSec, toSec], range);
  const most = Math.max(1, (range[1] - range[0]) / TICK_SPACING);
  const step =
    TICK_STEPS.find((sec) => (toSec - fromSec) / sec <= most) ??
    3600 * Math.ceil((toSec - fromSec) / 3600 / most);
  const first = Math.ceil(fromSec / step);
  const last = Math.floor(toSec / step);
  return {
    ...scale,
    ticks: Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => (first + i) * step),
  };
}

/** The fill of the n-th class; after the last colour they repeat, paler. */
function classFill(label: number): { fill: ReturnType<typeof seriesPaint>; 'fill-opacity'?: number } {
  return label < 7 ? { fill: seriesPaint(label) } : { fill: seriesPaint(label), 'fill-opacity': 0.5 };
}

/** The mark of a class in a legend. */
export function classMark(label: number): string {
  return element(
    'svg',
    { width: 14, height: 14, viewBox: '0 0 14 14', 'aria-hidden': 'true' },
    element('rect', { ...classFill(label), width: 14, height: 14 }),
  );
}

/** The band of a class in all windows, as one path. */
function area(label: number, windows: readonly PlottedWindow[], span: Span, share: Scale): string {
  const bands = windows.flatMap((window) => {
    if (window.answer === null) return [];
    const { probabilities } = window.answer;
    const below = probabilities.slice(0, label).reduce((sum, value) => sum + value, 0);
    const [start, end] = span(window);
    const bottom = share.at(100 * below);
    const top = share.at(100 * (below + probabilities[label]!));
    if (bottom - top < 0.05) return [];
    return [`M${short(start)} ${short(bottom)}V${short(top)}H${short(end)}V${short(bottom)}z`];
  });
  if (bands.length === 0) return '';
  return element('path', { ...classFill(label), stroke: 'page', 'stroke-width': 0.5, d: bands.join('') });
}

function unjudged(windows: readonly PlottedWindow[], span: Span): string {
  const boxes = windows
    .filter(({ answer }) => answer === null)
    .map((window) => {
      const [start, end] = span(window);
      return `M${short(start)} ${AREA_BOTTOM}V${TOP}H${short(end)}V${AREA_BOTTOM}zM${short(start)} ${TOP}L${short(end)} ${AREA_BOTTOM}`;
    });
  if (boxes.length === 0) return '';
  return element('path', { fill: 'none', stroke: 'muted', 'stroke-dasharray': '3 2', d: boxes.join('') });
}

function strip(label: number, windows: readonly PlottedWindow[], span: Span): string {
  const boxes = windows
    .filter(({ answer }) => answer?.label === label)
    .map((window) => {
      const [start, end] = span(window);
      return `M${short(start)} ${STRIP_BOTTOM}V${STRIP_TOP}H${short(end)}V${STRIP_BOTTOM}z`;
    });
  if (boxes.length === 0) return '';
  return element('path', { ...classFill(label), stroke: 'page', 'stroke-width': 0.5, d: boxes.join('') });
}

/** Labels below runs of windows that have the same one, where there is space. */
function stripLabels(labels: readonly string[], windows: readonly PlottedWindow[], span: Span): string[] {
  const runs: { label: number; start: number; end: number }[] = [];
  let previous: number | undefined;
  for (const window of windows) {
    const label = window.answer?.label;
    const [start, end] = span(window);
    if (label !== undefined && label === previous) runs.at(-1)!.end = end;
    else if (label !== undefined) runs.push({ label, start, end });
    previous = label;
  }
  return runs.flatMap(({ label, start, end }) => {
    const text = labels[label]!;
    const shown = textWidth(text, 11) <= end - start - 2 ? text : fitText(text, end - start - 2, 11);
    if (shown.length < 3 && shown !== text) return [];
    const x = (start + end) / 2;
    return [textElement(shown, { x, y: LABEL_BASELINE, 'text-anchor': 'middle', 'font-size': 11 }, text)];
  });
}
