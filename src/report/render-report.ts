/** @file Renders a report as one self-contained HTML file: no network, no other files, no framework. */

import { overallOf } from '../evaluation/index.js';
import { renderPage } from './page.js';
import { countText } from './plots/index.js';
import type { ReportData } from './report-data.js';
import { plotsBySection } from './report-plots.js';
import {
  layerSection,
  metadataSection,
  promptSection,
  recipeSection,
  trainingSection,
} from './run-sections.js';
import {
  ablationSection,
  calibrationSection,
  classSection,
  confusionSection,
  headlineSection,
  noiseSection,
  spreadSection,
} from './score-sections.js';
import { mapSection, mistakeSection } from './utterance-sections.js';

/** The whole page; recordings are inlined. */
export function renderReport(data: ReportData): string {
  const plots = plotsBySection(data);
  const sections = [
    headlineSection(data, plots),
    confusionSection(data, plots),
    trainingSection(data, plots),
    classSection(data, plots),
    calibrationSection(data, plots),
    ...(data.noise === null ? [] : [noiseSection(data, plots)]),
    mapSection(data, plots),
    mistakeSection(data),
    spreadSection(data, plots),
    ablationSection(data, plots),
    ...(data.layers.length > 0 ? [layerSection(data)] : []),
    recipeSection(data),
    promptSection(data),
    metadataSection(data),
  ];
  const metrics = overallOf(data.scores);
  return renderPage({
    title: `${data.name}, ${data.phase}`,
    kind: 'emoq report',
    skip: 'Skip to the figures',
    lead: `<p>Speech emotion recognition: ${countText(metrics.n)} scored utterances, ${data.labels.length} classes.</p>
<nav aria-label="Sections">
<ul>
${sections.map(contentsEntry).join('\n')}
</ul>
</nav>`,
    content: sections.join('\n'),
    scripts: ['page-script'],
  });
}

function contentsEntry(html: string): string {
  const [, name, title] = /^<section id="([^"]+)"[^>]*>\n<h2[^>]*>([^<]*)</.exec(html)!;
  return `<li><a href="#${name}">${title}</a></li>`;
}
