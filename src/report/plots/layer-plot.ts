/** @file The learned weights of an encoder's layers, as bars. */

import { horizontalAxis, linearScale, niceScale, verticalAxis } from './axes.js';
import { element, PLOT_WIDTH, type PlotHeading, short, svgDocument, textElement, tooltip } from './svg.js';

/** A layer, and its weight in each run, which are fractions of 1. */
export interface PlottedLayer {
  readonly layer: number;
  readonly shares: readonly number[];
}

const [LEFT, RIGHT] = [34, PLOT_WIDTH - 4];
const [TOP, BOTTOM] = [28, 150];

/** A bar for each layer: its mean weight in percent, with a line from the least to the largest of several runs. */
export function layerPlot(layers: readonly PlottedLayer[], heading: PlotHeading): string {
  const y = niceScale(
    [0, ...layers.flatMap(({ shares }) => shares.map((share) => 100 * share))],
    [BOTTOM, TOP],
    5,
  );
  const step = (RIGHT - LEFT) / layers.length;
  const middle = (index: number): number => LEFT + (index + 0.5) * step;
  const bars = layers.map(({ layer, shares }, i) => {
    const mean = (100 * shares.reduce((sum, share) => sum + share, 0)) / shares.length;
    const [least, largest] = [100 * Math.min(...shares), 100 * Math.max(...shares)];
    const range = shares.length === 1 ? '' : `, ${least.toFixed(1)} to ${largest.toFixed(1)} over the runs`;
    return element(
      'g',
      {},
      tooltip(`layer ${layer}: ${mean.toFixed(1)} %${range}`),
      element('rect', {
        x: middle(i) - 0.4 * step,
        y: y.at(mean),
        width: 0.8 * step,
        height: BOTTOM - y.at(mean),
        fill: 'accent',
      }),
      shares.length === 1
        ? ''
        : element('path', {
            stroke: 'ink',
            'stroke-width': 1.5,
            d: `M${short(middle(i))} ${short(y.at(least))}V${short(y.at(largest))}`,
          }),
    );
  });
  const every = Math.max(1, Math.ceil(22 / step));
  const names = layers.map(({ layer }, i) =>
    i % every === 0
      ? textElement(String(layer), { x: middle(i), y: BOTTOM + 15, 'text-anchor': 'middle', fill: 'muted' })
      : '',
  );
  const axes =
    verticalAxis({ scale: y, label: 'weight, %' }, LEFT, RIGHT) +
    horizontalAxis(
      { scale: { ...linearScale([0, 1], [LEFT, RIGHT]), ticks: [] }, label: 'layer' },
      BOTTOM,
      TOP,
    );
  return svgDocument(heading, PLOT_WIDTH, BOTTOM + 40, axes + bars.join('') + names.join(''));
}
