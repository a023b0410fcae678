/**
 * @file Per-class plots: precision, recall and F1, with the support; the confusion matrix; and the reliability diagram
 * (accuracy by confidence, with counts below).
 */

import { percent } from '../../evaluation/index.js';
import type { Calibration, ConfusionCounts, Metrics } from '../../evaluation/metrics/index.js';
import {
  countText,
  horizontalAxis,
  linearScale,
  niceScale,
  shapeElement,
  shapeOf,
  shapePath,
  verticalAxis,
} from './axes.js';
import {
  element,
  fitText,
  PLOT_WIDTH,
  type PlotHeading,
  rampPaint,
  seriesPaint,
  short,
  svgDocument,
  textElement,
  textWidth,
  tooltip,
} from './svg.js';

const MAX_LABEL = 110;
const ROW = 26;
/** Width of a column of figures beside the bars. */
const FIGURE = 46;

/**
 * Precision and recall as marks and F1 as a bar in the colour of the class, with the figures beside them. Undefined ones
 * (a class without references, or never predicted) have a dash and no mark.
 */
export function classPlot({ perClass }: Metrics, heading: PlotHeading): string {
  const labelled = Math.min(
    MAX_LABEL,
    Math.max(40, ...perClass.map(({ label, support }) => textWidth(`${label}  ${countText(support)}`))),
  );
  const left = 26 + labelled;
  const figures = ['precision', 'recall', 'f1'] as const;
  const scale = linearScale([0, 100], [left, PLOT_WIDTH - figures.length * FIGURE - 10], 3);
  const top = 30;
  const bottom = top + perClass.length * ROW;
  const columnEnd = (k: number): number => PLOT_WIDTH - (figures.length - 1 - k) * FIGURE - 2;
  const heads = figures.map((figure, k) =>
    textElement(figure === 'f1' ? 'F1' : figure, {
      x: columnEnd(k),
      y: 10,
      'text-anchor': 'end',
      'font-size': 10,
      fill: 'muted',
    }),
  );
  const keys = [
    mark('precision', columnEnd(0) - 6, 19),
    mark('recall', columnEnd(1) - 6, 19),
    element('rect', { x: columnEnd(2) - 14, y: 14, width: 14, height: 9, fill: 'muted' }),
  ];
  const rows = perClass.map((each, i) => {
    const y = top + (i + 0.5) * ROW;
    const defined = {
      precision: each.predicted > 0,
      recall: each.support > 0,
      f1: each.predicted + each.support > 0,
    };
    const bar = defined.f1
      ? element('rect', {
          x: left,
          y: y - 6,
          width: scale.at(100 * each.f1) - left,
          height: 12,
          fill: seriesPaint(i),
        })
      : '';
    const marks = (['precision', 'recall'] as const).map((figure) =>
      defined[figure] ? mark(figure, scale.at(100 * each[figure]), y) : '',
    );
    const support = `n = ${countText(each.support)}`;
    return [
      shapeElement(shapeOf(i), seriesPaint(i), 4.5, shapePath(shapeOf(i), 7, y, 4.5)),
      textElement(fitText(each.label, labelled), { x: 16, y: y - 1, 'font-size': 11 }, each.label),
      textElement(support, { x: 16, y: y + 10, 'font-size': 10, fill: 'muted' }),
      ...figures.map((figure, k) =>
        textElement(defined[figure] ? percent(each[figure]) : '–', {
          x: columnEnd(k),
          y: y + 4,
          'text-anchor': 'end',
          'font-size': 11,
          'font-weight': figure === 'f1' ? 'bold' : undefined,
        }),
      ),
      bar,
      ...marks,
    ].join('');
  });
  const axis = horizontalAxis({ scale, label: '', format: percentTick }, bottom, top - 4);
  return svgDocument(heading, PLOT_WIDTH, bottom + 24, [...heads, ...keys, axis, ...rows].join(''));
}

/** A triangle for precision and a ring for recall, readable on any bar. */
function mark(figure: 'precision' | 'recall', x: number, y: number): string {
  const d =
    figure === 'precision'
      ? shapePath('wedge', x, y, 4)
      : `M${short(x - 4)} ${short(y)}a4 4 0 1 0 8 0a4 4 0 1 0-8 0z`;
  return element('path', { fill: 'page', stroke: 'ink', 'stroke-width': 1.5, d });
}

function percentTick(value: number): string {
  return value === 100 ? '100 %' : String(value);
}

const MATRIX_LABEL = 110;
/** Smaller cells would not have room for their figures: a matrix of many classes becomes wider instead. */
const LEAST_CELL = 38;
const LARGEST_CELL = 74;

/**
 * The share of each cell in its row, which is its colour, and its count below that. Rows are references and columns
 * predictions, with a last column for missing answers if there are any.
 */
export function confusionPlot(counts: ConfusionCounts, heading: PlotHeading): string {
  const { labels, confusion, unanswered } = counts;
  const withMissing = unanswered.some((count) => count > 0);
  const columns = withMissing ? [...labels, 'no answer'] : [...labels];
  const rows = confusion.map((row, i) => (withMissing ? [...row, unanswered[i]!] : row));

  const left = 36 + Math.min(MATRIX_LABEL, Math.max(...labels.map((label) => textWidth(label, 11))));
  const cell = Math.max(LEAST_CELL, Math.min(LARGEST_CELL, (PLOT_WIDTH - left - 2) / columns.length));
  const upright = columns.every((label) => textWidth(label, 11) <= cell - 4);
  const longest = Math.min(MATRIX_LABEL, Math.max(...columns.map((label) => textWidth(label, 11))));
  const top = 24 + (upright ? 18 : longest + 8);
  const fontSize = Math.min(14, cell / 3.2);

  const cells = rows.flatMap((row, i) => {
    const support = row.reduce((sum, count) => sum + count, 0);
    return row.map((count, j) => {
      const share = support === 0 ? 0 : count / support;
      const paint = rampPaint(share);
      const [x, y] = [left + j * cell, top + i * cell];
      const said = `reference ${labels[i]}, ${j < labels.length ? `predicted ${labels[j]}` : 'no answer'}`;
      const text = (shown: string, dy: number, size: number, weight?: string): string =>
        textElement(shown, {
          x: x + cell / 2,
          y: y + cell / 2 + dy,
          'text-anchor': 'middle',
          'font-size': size,
          'font-weight': weight,
          fill: paint.text,
        });
      return element(
        'g',
        {},
        tooltip(`${said}: ${countText(count)} of ${countText(support)} (${percent(share)} %)`),
        element('rect', {
          x,
          y,
          width: cell,
          height: cell,
          fill: paint.fill,
          stroke: 'page',
          'stroke-width': 1,
        }),
        text(support === 0 ? '–' : percent(share), 0, fontSize, i === j ? 'bold' : undefined),
        text(countText(count), fontSize, 0.78 * fontSize),
      );
    });
  });
  const marks = labels.map((_, i) =>
    shapeElement(shapeOf(i), seriesPaint(i), 4, shapePath(shapeOf(i), 22, top + (i + 0.5) * cell, 4)),
  );
  const rowLabels = labels.map((label, i) =>
    textElement(
      fitText(label, MATRIX_LABEL, 11),
      { x: 31, y: top + (i + 0.5) * cell + 4, 'font-size': 11 },
      label,
    ),
  );
  const columnLabels = columns.map((label, j) => {
    const [x, y] = [left + (j + 0.5) * cell, top - 6];
    const position = upright
      ? { x, y, 'text-anchor': 'middle' }
      : { x: 0, y: 4, transform: `translate(${short(x)} ${short(y)}) rotate(-90)` };
    return textElement(
      fitText(label, upright ? cell : MATRIX_LABEL, 11),
      { ...position, 'font-size': 11 },
      label,
    );
  });
  const [width, height] = [left + columns.length * cell, top + labels.length * cell];
  const names = [
    textElement('predicted', { x: left, y: 12, 'font-size': 11, fill: 'muted' }),
    textElement('reference', {
      transform: `translate(10 ${short((top + height) / 2)}) rotate(-90)`,
      'text-anchor': 'middle',
      'font-size': 11,
      fill: 'muted',
    }),
  ];
  const body = [...names, ...columnLabels, ...rowLabels, ...marks, ...cells].join('');
  return svgDocument(heading, Math.max(PLOT_WIDTH, width + 2), height + 2, body);
}

const [LEFT, RIGHT] = [44, PLOT_WIDTH - 14];
const [TOP, MIDDLE] = [28, 268];
const [COUNTS_TOP, BOTTOM] = [300, 350];

/** Bars are the accuracy of a bin, and dots mark its mean confidence; the diagonal is perfect calibration. */
export function reliabilityPlot({ bins, ece, n }: Calibration, heading: PlotHeading): string {
  const x = linearScale([0, 100], [LEFT, RIGHT], 6);
  const y = linearScale([0, 100], [MIDDLE, TOP], 6);
  const largest = Math.max(1, ...bins.map((bin) => bin.n));
  const counts = niceScale([0, largest], [BOTTOM, COUNTS_TOP], 3);
  const marks = bins.map(({ low, high, n: inBin, confidence, accuracy }) => {
    const [from, to] = [x.at(100 * low) + 1, x.at(100 * high) - 1];
    const column = (top: number, bottom: number, paint: 'accent' | 'muted', opacity?: number): string =>
      element('rect', {
        x: from,
        y: top,
        width: Math.max(0.5, to - from),
        height: Math.max(0, bottom - top),
        fill: paint,
        'fill-opacity': opacity,
      });
    const said = `${percent(low)} to ${percent(high)} %: n = ${countText(inBin)}`;
    if (accuracy === null || confidence === null) return '';
    const [dotX, dotY] = [x.at(100 * confidence), y.at(100 * accuracy)];
    return element(
      'g',
      {},
      tooltip(`${said}, mean confidence ${percent(confidence)} %, accuracy ${percent(accuracy)} %`),
      column(dotY, MIDDLE, 'accent', 0.3),
      element('path', {
        stroke: 'ink',
        'stroke-width': 1.5,
        d: `M${short(dotX)} ${short(dotY)}V${short(y.at(100 * confidence))}`,
      }),
      shapeElement('circle', 'accent', 4, shapePath('circle', dotX, dotY, 4)),
      column(counts.at(inBin), BOTTOM, 'muted'),
    );
  });
  const body = [
    verticalAxis({ scale: y, label: 'accuracy, %' }, LEFT, RIGHT),
    horizontalAxis({ scale: { ...x, ticks: [] }, label: '' }, MIDDLE, TOP),
    verticalAxis({ scale: counts, label: 'utterances' }, LEFT, RIGHT),
    horizontalAxis(
      { scale: x, label: 'confidence (probability of the predicted class), %' },
      BOTTOM,
      COUNTS_TOP,
    ),
    element('path', {
      stroke: 'ink',
      'stroke-dasharray': '4 3',
      d: `M${LEFT} ${MIDDLE}L${RIGHT} ${TOP}`,
    }),
    ...marks,
    textElement(`ECE ${percent(ece)} %, n = ${countText(n)}`, {
      x: LEFT + 8,
      y: TOP + 16,
      'font-weight': 'bold',
    }),
  ];
  return svgDocument(heading, PLOT_WIDTH, BOTTOM + 40, body.join(''));
}
