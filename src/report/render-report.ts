/** @file Renders a report as one self-contained HTML file: no network, no other files, no framework. */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { overallOf } from '../evaluation/index.js';
import { pageStyles, userText } from './html.js';
import { countText, escapeText } from './plots/index.js';
import type { ReportData } from './report-data.js';
import { plotsBySection } from './report-plots.js';
import { metadataSection, promptSection, recipeSection, trainingSection } from './run-sections.js';
import {
  ablationSection,
  calibrationSection,
  classSection,
  confusionSection,
  headlineSection,
  spreadSection,
} from './score-sections.js';
import { mapSection, mistakeSection } from './utterance-sections.js';

/**
 * The whole page. Its content security policy allows only its own script and style, by checksum, and inlined images and
 * audio. The browser blocks everything else, including the network.
 */
export function renderReport(data: ReportData): string {
  const plots = plotsBySection(data);
  const sections = [
    headlineSection(data, plots),
    confusionSection(data, plots),
    trainingSection(data, plots),
    classSection(data, plots),
    calibrationSection(data, plots),
    mapSection(data, plots),
    mistakeSection(data),
    spreadSection(data, plots),
    ablationSection(data, plots),
    recipeSection(data),
    promptSection(data),
    metadataSection(data),
  ];
  const script = pageScript();
  const policy = [
    "default-src 'none'",
    `script-src '${checksum(script)}'`,
    `style-src '${checksum(pageStyles)}'`,
    'img-src data:',
    'media-src data:',
    "base-uri 'none'",
    "form-action 'none'",
  ];
  const title = `${data.name}, ${data.phase}`;
  const metrics = overallOf(data.scores);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy.join('; ')}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeText(title)} – emoq report</title>
<link rel="icon" href="data:,">
<style>${pageStyles}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the figures</a>
<header>
<h1>${userText(title)}</h1>
<button type="button" id="theme" aria-pressed="false">Dark</button>
</header>
<p>Speech emotion recognition: ${countText(metrics.n)} scored utterances, ${data.labels.length} classes.</p>
<nav aria-label="Sections">
<ul>
${sections.map(contentsEntry).join('\n')}
</ul>
</nav>
<main id="content" tabindex="-1">
${sections.join('\n')}
</main>
<script type="module">${script}</script>
</body>
</html>
`;
}

/** The compiled page-script.ts, in the same folder as this file. */
function pageScript(): string {
  const text = readFileSync(new URL('./page-script.js', import.meta.url), 'utf8');
  return text.replace(/^\/\/# sourceMappingURL=.*$/m, '');
}

function contentsEntry(html: string): string {
  const [, name, title] = /^<section id="([^"]+)"[^>]*>\n<h2[^>]*>([^<]*)</.exec(html)!;
  return `<li><a href="#${name}">${title}</a></li>`;
}

function checksum(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`;
}
