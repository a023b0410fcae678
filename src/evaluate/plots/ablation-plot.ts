/** @file The rows of an ablation as bars, with what the paper printed as marks on them. */

import { type PaperFigures, percent } from '../index.js';
import { horizontalAxis, legend, shapeElement, shapePath } from './axes.js';
import { metricNames } from './metric-names.js';
import { linearScale } from './scale.js';
import { element, type PlotHeading, svgDocument, textElement, tooltip } from './svg.js';
import { fitText, textWidth } from './text-width.js';

/** A row's figures as fractions, and the paper's in percent. */
export interface AblationPlotRow {
  readonly label: string;
  readonly wa: number;
  readonly ua: number;
  readonly wf1: number;
  readonly paper: PaperFigures;
}

const DOT_WIDTH = 720;
const DOT_LABEL = 190;
const DOT_ROW = 34;
const VALUE = 40;

/** One panel for each of WA, UA and weighted F1, from 0 to 100 percent. */
export function ablationPlot(rows: readonly AblationPlotRow[], heading: PlotHeading): string {
  const left = 14 + Math.min(DOT_LABEL, Math.max(60, ...rows.map(({ label }) => textWidth(label))));
  const panel = (DOT_WIDTH - left) / 3;
  const key = legend(
    [
      {
        text: 'this toolkit',
        mark: (x, y) => element('rect', { x: x - 9, y: y - 6, width: 18, height: 12, fill: 'series1' }),
      },
      { text: 'paper', mark: (x, y) => shapeElement('diamond', 'series2', 5, shapePath('diamond', x, y, 5)) },
    ],
    left,
    4,
    DOT_WIDTH - left,
  );
  const top = key.height + 34;
  const bottom = top + rows.length * DOT_ROW;
  const panels = (['wa', 'ua', 'wf1'] as const).map((metric, i) => {
    const start = left + i * panel;
    const scale = linearScale([0, 100], [start, start + panel - VALUE], 3);
    const bars = rows.map((row, k) => {
      const y = top + k * DOT_ROW + 5;
      const [end, printed] = [scale.at(100 * row[metric]), row.paper[metric]];
      const said = printed === null ? '' : `, paper ${printed.toFixed(1)} %`;
      // Below the bar: neither hides the other.
      const mark =
        printed === null
          ? ''
          : shapeElement('diamond', 'series2', 5, shapePath('diamond', scale.at(printed), y + 18, 5));
      return element(
        'g',
        {},
        tooltip(`${row.label}, ${metricNames[metric]}: ${percent(row[metric])} %${said}`),
        element('rect', { x: start, y, width: end - start, height: 14, fill: 'series1' }),
        mark,
        textElement(percent(row[metric]), { x: end + 5, y: y + 11, 'font-size': 11 }),
      );
    });
    return (
      textElement(metricNames[metric], { x: start, y: top - 12, 'font-weight': 'bold' }) +
      horizontalAxis({ scale, label: '%' }, bottom, top) +
      bars.join('')
    );
  });
  const names = rows.map(({ label }, k) =>
    textElement(
      fitText(label, DOT_LABEL),
      { x: left - 10, y: top + k * DOT_ROW + 18, 'text-anchor': 'end' },
      label,
    ),
  );
  return svgDocument(heading, DOT_WIDTH, bottom + 42, key.svg + panels.join('') + names.join(''));
}
