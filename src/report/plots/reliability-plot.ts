/** @file The reliability diagram: how often the model is right, by how sure it is, with the counts below. */

import { percent } from '../../evaluation/index.js';
import type { Calibration } from '../../evaluation/metrics/index.js';
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
import { element, type PlotHeading, short, svgDocument, textElement, tooltip } from './svg.js';

const WIDTH = 520;
const [LEFT, RIGHT] = [64, 500];
const [TOP, MIDDLE] = [60, 400];
const [COUNTS_TOP, BOTTOM] = [436, 520];

/** Bars are the accuracy of a bin, dots stand at its mean confidence; the diagonal is perfect calibration. */
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
    WIDTH - LEFT,
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
  return svgDocument(heading, WIDTH, BOTTOM + 44, body.join(''));
}
