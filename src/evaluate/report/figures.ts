/** @file A plot inside the page: the SVG, its caption, and the button that saves it. */

import { escapeText } from '../plots/index.js';
import type { ReportPlot } from './report-plots.js';

/** A figure. @param caption a sentence behind the title, or nothing */
export function figure({ name, title, svg }: ReportPlot, caption = ''): string {
  return `<figure id="figure-${name}">
<div class="scroll"><div class="plot">${svg}</div></div>
<figcaption><b>${escapeText(title)}.</b> ${escapeText(caption)}</figcaption>
<button type="button" class="save" data-save="${name}" aria-label="Save SVG: ${escapeText(title)}">Save SVG</button>
</figure>`;
}
