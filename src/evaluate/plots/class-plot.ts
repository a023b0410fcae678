/** @file Precision, recall and F1 of every class as bars, with the class's support. */

import { type Metrics, percent } from '../index.js';
import { horizontalAxis, legend } from './axes.js';
import { seriesPaint } from './palette.js';
import { countText, linearScale } from './scale.js';
import { element, type PlotHeading, svgDocument, textElement } from './svg.js';
import { fitText, textWidth } from './text-width.js';

const WIDTH = 720;
const MAX_LABEL = 180;
const BAR = 13;
const GAP = 14;

/** A figure without a denominator (a class without references, or never predicted) has a dash in the bar's place. */
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
