/**
 * @file Per-class plots: precision, recall and F1 as bars, with the support; the confusion matrix; and the reliability
 * diagram (accuracy by confidence, with counts below).
 */

import { percent } from '../../evaluation/index.js';
import type { Calibration, ConfusionCounts, Metrics } from '../../evaluation/metrics/index.js';
import {
  countText,
  horizontalAxis,
  legend,
  linearScale,
  niceScale,
  shapeElement,
  shapePath,
  verticalAxis,
} from './axes.js';
import {
  element,
  fitText,
  type PlotHeading,
  rampPaint,
  seriesPaint,
  short,
  svgDocument,
  textElement,
  textWidth,
  tooltip,
} from './svg.js';

const WIDTH = 720;
const MAX_LABEL = 180;
const BAR = 13;
const GAP = 14;

/** An undefined figure (a class without references, or never predicted) has a dash instead of a bar. */
export function classPlot({ perClass }: Metrics, heading: PlotHeading): string {
  const left = 14 + Math.min(MAX_LABEL, Math.max(70, ...perClass.map(({ label }) => textWidth(label))));
  const scale = linearScale([0, 100], [left, WIDTH - 50], 6);
  const figures = ['precision', 'recall', 'f1'] as const;
  const key = legend(
    figures.map((figure, i) => ({
      text: figure === 'f1' ? 'F1' : figure,
      mark: (x, y) => element('rect', { x: x - 9, y: y - 5, width: 18, height: 10, fill: seriesPaint(i) }),
    })),
    left,
    4,
    WIDTH - left,
  );
  const top = key.height + 14;
  const band = figures.length * BAR + GAP;
  const bottom = top + perClass.length * band;
  const bars = perClass.map((each, i) => {
    const y = top + i * band;
    const defined = {
      precision: each.predicted > 0,
      recall: each.support > 0,
      f1: each.predicted + each.support > 0,
    };
    const shownBars = figures.map((figure, k) => {
      const at = y + k * BAR;
      const end = scale.at(100 * each[figure]);
      const bar = { x: left, y: at, width: end - left, height: BAR - 2, fill: seriesPaint(k) };
      return (
        (defined[figure] ? element('rect', bar) : '') +
        textElement(defined[figure] ? percent(each[figure]) : '–', {
          x: (defined[figure] ? end : left) + 5,
          y: at + 10,
          'font-size': 11,
        })
      );
    });
    return [
      textElement(
        fitText(each.label, MAX_LABEL),
        { x: left - 8, y: y + 16, 'text-anchor': 'end' },
        each.label,
      ),
      textElement(`n = ${countText(each.support)}`, {
        x: left - 8,
        y: y + 31,
        'text-anchor': 'end',
        'font-size': 11,
        fill: 'muted',
      }),
      ...shownBars,
    ].join('');
  });
  const axis = horizontalAxis({ scale, label: '%' }, bottom, top - 6);
  return svgDocument(heading, WIDTH, bottom + 42, key.svg + axis + bars.join(''));
}

/** What a cell shows and its colour encodes: a count relative to the largest one, or a share of its row. */
export type ConfusionView = 'counts' | 'shares';

const MATRIX_WIDTH = 720;
const MATRIX_LABEL = 150;

/** Rows are references and columns predictions, with a last column for missing answers if there are any. */
export function confusionPlot(counts: ConfusionCounts, view: ConfusionView, heading: PlotHeading): string {
  const { labels, confusion, unanswered } = counts;
  const withMissing = unanswered.some((count) => count > 0);
  const columns = withMissing ? [...labels, 'no answer'] : [...labels];
  const rows = confusion.map((row, i) => (withMissing ? [...row, unanswered[i]!] : row));
  const largest = Math.max(1, ...rows.flat());

  const left = 30 + Math.min(MATRIX_LABEL, Math.max(...labels.map((label) => textWidth(label)))) + 10;
  const cell = Math.max(14, Math.min(76, (MATRIX_WIDTH - left) / columns.length));
  const upright = columns.every((label) => textWidth(label) <= cell - 4);
  const longest = Math.min(MATRIX_LABEL, Math.max(...columns.map((label) => textWidth(label))));
  const top = 28 + (upright ? 20 : longest + 8);
  const fontSize = Math.min(14, cell / 3.2);

  const cells = rows.flatMap((row, i) => {
    const support = row.reduce((sum, count) => sum + count, 0);
    return row.map((count, j) => {
      const share = support === 0 ? 0 : count / support;
      const paint = rampPaint(view === 'shares' ? share : count / largest);
      const [x, y] = [left + j * cell, top + i * cell];
      const text = view === 'counts' ? countText(count) : support === 0 ? '–' : percent(share);
      const said = `reference ${labels[i]}, ${j < labels.length ? `predicted ${labels[j]}` : 'no answer'}`;
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
        fontSize < 6
          ? ''
          : textElement(text, {
              x: x + cell / 2,
              y: y + cell / 2 + fontSize * 0.36,
              'text-anchor': 'middle',
              'font-size': fontSize,
              'font-weight': i === j ? 'bold' : undefined,
              fill: paint.text,
            }),
      );
    });
  });
  const rowLabels = labels.map((label, i) =>
    textElement(
      fitText(label, MATRIX_LABEL),
      { x: left - 8, y: top + (i + 0.5) * cell + 4, 'text-anchor': 'end' },
      label,
    ),
  );
  const columnLabels = columns.map((label, j) => {
    const [x, y] = [left + (j + 0.5) * cell, top - 8];
    const position = upright
      ? { x, y, 'text-anchor': 'middle' }
      : { x: 0, y: 4, transform: `translate(${x} ${y}) rotate(-90)` };
    return textElement(fitText(label, upright ? cell : MATRIX_LABEL), position, label);
  });
  const [width, height] = [left + columns.length * cell, top + labels.length * cell];
  const names = [
    textElement('predicted', { x: (left + width) / 2, y: 16, 'text-anchor': 'middle', fill: 'muted' }),
    textElement('reference', {
      transform: `translate(14 ${(top + height) / 2}) rotate(-90)`,
      'text-anchor': 'middle',
      fill: 'muted',
    }),
  ];
  const body = [...names, ...columnLabels, ...rowLabels, ...cells].join('');
  return svgDocument(heading, width + 2, height + 2, body);
}

const RELIABILITY_WIDTH = 520;
const [LEFT, RIGHT] = [64, 500];
const [TOP, MIDDLE] = [60, 400];
const [COUNTS_TOP, BOTTOM] = [436, 520];

/** Bars are the accuracy of a bin, and dots mark its mean confidence; the diagonal is perfect calibration. */
export function reliabilityPlot({ bins, ece, n }: Calibration, heading: PlotHeading): string {
  const x = linearScale([0, 100], [LEFT, RIGHT], 6);
  const y = linearScale([0, 100], [MIDDLE, TOP], 6);
  const largest = Math.max(1, ...bins.map((bin) => bin.n));
  const counts = niceScale([0, largest], [BOTTOM, COUNTS_TOP], 3);
  const marks = bins.map(({ low, high, n: inBin, confidence, accuracy }) => {
    const [from, to] = [x.at(100 * low) + 1, x.at(100 * high) - 1];
    const column = (top: number, bottom: number, paint: 'series1' | 'muted', opacity?: number): string =>
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
      column(dotY, MIDDLE, 'series1', 0.35),
      element('path', {
        stroke: 'series2',
        'stroke-width': 2,
        d: `M${short(dotX)} ${short(dotY)}V${short(y.at(100 * confidence))}`,
      }),
      shapeElement('circle', 'series1', 4, shapePath('circle', dotX, dotY, 4)),
      column(counts.at(inBin), BOTTOM, 'muted'),
    );
  });
  const line = (paint: 'ink' | 'series2', px: number, py: number, dash?: string): string =>
    element('path', {
      stroke: paint,
      'stroke-width': paint === 'ink' ? 1 : 2,
      'stroke-dasharray': dash,
      d: `M${short(px - 9)} ${short(py)}h18`,
    });
  const key = legend(
    [
      {
        text: 'accuracy',
        mark: (px, py) => shapeElement('circle', 'series1', 4, shapePath('circle', px, py, 4)),
      },
      { text: 'gap to confidence', mark: (px, py) => line('series2', px, py) },
      { text: 'perfect calibration', mark: (px, py) => line('ink', px, py, '4 3') },
    ],
    LEFT,
    0,
    RELIABILITY_WIDTH - LEFT,
  );
  const body = [
    key.svg,
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
      x: LEFT + 12,
      y: TOP + 20,
      'font-weight': 'bold',
    }),
  ];
  return svgDocument(heading, RELIABILITY_WIDTH, BOTTOM + 44, body.join(''));
}
