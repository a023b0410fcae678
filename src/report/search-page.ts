/** @file Renders a report on a search as one HTML file that needs no network. */

import { blocksHtml, contentsHtml, factsHtml, sectionHtml, unprintedHtml } from './html.js';
import { renderPage } from './page.js';
import { escapeText } from './plots/index.js';
import type { SearchReport } from './search-data.js';
import { searchPlotsBySection } from './search-plots.js';
import { searchSections } from './search-sections.js';
import { type SearchSummary, searchSummary } from './search-summary.js';

const styles = `#keys .beside{grid-template-columns:repeat(auto-fit,minmax(min(100%,18rem),1fr))}
#trials .scroll{max-height:40rem}
#trials th:first-child{min-width:3.5rem}
#curves :is(th,td){min-width:2.5rem}
.tile{align-content:start;align-items:start}
.summary table{margin-top:1rem}
.summary :is(th,td),.summary th:first-child{min-width:0;padding-right:.7rem}
.summary .state{font-weight:600}
`;

/** The page: what was searched and what is best, the keys, the course of the search, and all trials. */
export function renderSearch(data: SearchReport): string {
  const summary = searchSummary(data);
  const sections = searchSections(data, searchPlotsBySection(data));
  return renderPage({
    title: summary.title,
    kind: 'emoq search report',
    skip: 'Skip to the plots',
    lead: summaryHtml(summary),
    contents: contentsHtml(sections),
    content: `${sections.map(sectionHtml).join('\n')}\n${unprintedHtml(sections)}`,
    scripts: ['page-script'],
    styles,
  });
}

function summaryHtml({ facts, best, trials, values, state, verdict }: SearchSummary): string {
  const tiles = [
    ...(best === null ? [] : [tileHtml(best.name, best.value, best.rows)]),
    tileHtml('Trials', trials.total, trials.rows),
  ];
  return `<div class="summary" role="region" aria-label="Summary">
${state === null ? '' : `<p class="state">${escapeText(state)}</p>\n`}${factsHtml(facts)}
<div class="tiles">
${tiles.join('\n')}
</div>
<p class="verdict">${escapeText(verdict)}</p>
${blocksHtml([values])}
</div>`;
}

function tileHtml(name: string, value: string, rows: SearchSummary['facts']): string {
  const [, number, unit = ''] = /^(.*?)( %)?$/.exec(value)!;
  const list = rows.map(([term, shown]) => `<dt>${escapeText(term)}</dt><dd>${escapeText(shown)}</dd>`);
  return `<div class="tile">
<p class="name">${escapeText(name)}</p>
<p class="big">${escapeText(number!)}<small>${escapeText(unit)}</small></p>
<dl>${list.join('')}</dl>
</div>`;
}
