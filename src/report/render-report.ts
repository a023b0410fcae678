/** @file Renders a report as one self-contained HTML file: no network, no other files, no framework. */

import { contentsHtml, sectionHtml, unprintedHtml } from './html.js';
import { renderPage } from './page.js';
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
    contents: contentsHtml(sections),
    content: `${sections.map(sectionHtml).join('\n')}\n${unprintedHtml(sections)}`,
    scripts: ['page-script'],
  });
}
