/** @file The head of the page: what was run, and its figures as tiles. */

import { percent } from '../evaluation/index.js';
import { factsHtml } from './html.js';
import { element, escapeText } from './plots/index.js';
import type { Summary, SummaryFigure } from './summary.js';

export function summaryHtml({ facts, figures, intervalName, verdict }: Summary): string {
  return `<div class="summary" role="region" aria-label="Summary">
${factsHtml(facts)}
<div class="tiles">
${figures.map((figure) => tile(figure, intervalName)).join('\n')}
</div>
<p class="verdict">${escapeText(verdict)}</p>
</div>`;
}

function tile(figure: SummaryFigure, intervalName: string | null): string {
  const { title, value, interval, spread, paper, majority, chance } = figure;
  const rows: [name: string, value: string][] = [
    ...(interval && intervalName
      ? [[intervalName, `${percent(interval.low)} – ${percent(interval.high)}`] as [string, string]]
      : []),
    ...(spread
      ? [
          [
            'mean ± sd',
            spread.sd === null ? percent(spread.mean) : `${percent(spread.mean)} ± ${percent(spread.sd)}`,
          ] as [string, string],
        ]
      : []),
    ...(paper === null ? [] : [['paper', paper.toFixed(1)] as [string, string]]),
    ['majority class', percent(majority)],
    ['chance', percent(chance)],
  ];
  return `<div class="tile">
<p class="name">${escapeText(title)}</p>
<p class="big">${percent(value)}<small> %</small></p>
${bar(figure)}
<dl>${rows.map(([name, shown]) => `<dt>${escapeText(name)}</dt><dd>${escapeText(shown)}</dd>`).join('')}</dl>
</div>`;
}

const [WIDTH, HEIGHT] = [200, 20];

/** From 0 to 100 %: the interval, the figure, and the paper's as a diamond. The list below it says the same. */
function bar({ value, interval, paper, majority }: SummaryFigure): string {
  const at = (share: number): number => 6 + share * (WIDTH - 12);
  const y = HEIGHT / 2;
  return element(
    'svg',
    { class: 'bar', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, 'aria-hidden': 'true' },
    element('rect', { x: at(0), y: y - 3, width: at(1) - at(0), height: 6, rx: 3, fill: 'grid' }),
    element('path', { stroke: 'muted', 'stroke-width': 1.5, d: `M${at(majority).toFixed(1)} ${y - 7}v14` }),
    interval
      ? element('rect', {
          x: at(interval.low),
          y: y - 3,
          width: at(interval.high) - at(interval.low),
          height: 6,
          fill: 'accent',
          'fill-opacity': 0.55,
        })
      : '',
    element('circle', { cx: at(value), cy: y, r: 5, fill: 'accent', stroke: 'page' }),
    paper === null
      ? ''
      : element('path', {
          fill: 'page',
          stroke: 'ink',
          'stroke-width': 1.5,
          d: `M${at(paper / 100).toFixed(1)} ${y - 5}l5 5l-5 5l-5-5z`,
        }),
  );
}
