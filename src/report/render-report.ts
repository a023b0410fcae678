/** @file Renders a report as one self-contained HTML file: no network, no other files, no framework. */

import type { Section } from './blocks.js';
import { sectionHtml } from './html.js';
import { renderPage } from './page.js';
import { escapeText } from './plots/index.js';
import type { ReportData } from './report-data.js';
import { plotsBySection } from './report-plots.js';
import { sectionsOf } from './sections.js';
import { summaryOf } from './summary.js';
import { summaryHtml } from './summary-html.js';

/** The whole page; recordings are inlined. */
export function renderReport(data: ReportData): string {
  const sections = sectionsOf(data, plotsBySection(data));
  const summary = summaryOf(data);
  return renderPage({
    title: summary.title,
    kind: 'emoq report',
    skip: 'Skip to the figures',
    lead: summaryHtml(summary),
    contents: `<nav aria-label="Sections">
<details id="contents" open>
<summary>Contents</summary>
<ul>
${sections.map(contentsEntry).join('\n')}
</ul>
</details>
</nav>`,
    content: `${sections.map(sectionHtml).join('\n')}
<p class="print-only note">${escapeText(unprintedText(sections))}</p>`,
    scripts: ['page-script'],
  });
}

function contentsEntry({ name, title }: Section): string {
  return `<li><a href="#${name}">${escapeText(title)}</a></li>`;
}

/** A printed page is a summary, and says so. */
function unprintedText(sections: readonly Section[]): string {
  const titles = sections.filter(({ isPrinted }) => !isPrinted).map(({ title }) => title.toLowerCase());
  return `The page itself also has all figures as tables, and: ${titles.join(', ')}.`;
}
