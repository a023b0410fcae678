/** @file Renders the blocks of a report as HTML. Parameters named `html` are markup; everything else is escaped here. */

import type { Block, Cell, Column, Section, View } from './blocks.js';
import { breakable, userText } from './blocks.js';
import { escapeText, PLOT_WIDTH } from './plots/index.js';

/** A section as a card, with its heading. */
export function sectionHtml({ name, title, width, isPrinted, blocks }: Section): string {
  return `<section id="${name}" class="card ${width}${isPrinted ? '' : ' screen-only'}" aria-labelledby="${name}-heading">
<h2 id="${name}-heading">${escapeText(title)}</h2>
${blocksHtml(blocks)}
</section>`;
}

/** A table of contents, which the page's script opens and closes. */
export function contentsHtml(sections: readonly Section[]): string {
  return `<nav aria-label="Sections">
<details id="contents" open>
<summary>Contents</summary>
<ul>
${sections.map(({ name, title }) => `<li><a href="#${name}">${escapeText(title)}</a></li>`).join('\n')}
</ul>
</details>
</nav>`;
}

/** A printed page is a summary, and says so. */
export function unprintedHtml(sections: readonly Section[]): string {
  const titles = sections.filter(({ isPrinted }) => !isPrinted).map(({ title }) => title.toLowerCase());
  const text = `The page itself also has all figures as tables, and: ${titles.join(', ')}.`;
  return `<p class="print-only note">${escapeText(text)}</p>`;
}

/** Names and values, in two columns where there is room. */
export function factsHtml(facts: readonly (readonly [name: string, value: string])[]): string {
  const list = facts.map(
    ([name, value]) => `<div><dt>${escapeText(name)}</dt><dd>${userText(value)}</dd></div>`,
  );
  return `<dl class="facts">
${list.join('\n')}
</dl>`;
}

export function blocksHtml(blocks: readonly Block[]): string {
  return blocks.map(blockHtml).join('\n');
}

function blockHtml(block: Block): string {
  switch (block.kind) {
    case 'paragraph':
      return `<p${block.isNote ? ' class="note"' : ''}>${escapeText(block.text)}</p>`;
    case 'subheading':
      return `<h3>${escapeText(block.text)}</h3>`;
    case 'table':
      return tableHtml(block.caption, block.columns, block.rows);
    case 'verbatim':
      return `<pre class="scroll" role="group" aria-label="${escapeText(block.label)}">${escapeText(block.text)}</pre>`;
    case 'figure':
      return figureHtml(block);
    case 'folded':
      return `<details><summary>${escapeText(block.summary)}</summary>\n${blocksHtml(block.blocks)}\n</details>`;
    case 'beside':
      return `<div class="beside${block.lead ? ' lead' : ''}">\n${block.blocks.map((each) => `<div>\n${blocksHtml(each)}\n</div>`).join('\n')}\n</div>`;
    case 'views':
      return viewsHtml(block.group, block.label, block.views);
    case 'screen':
      return block.html;
  }
}

/** Shown below what scrolls sideways, while it does. */
export const SCROLL_HINT = '<p class="hint" aria-hidden="true">Scroll sideways for the rest \u2192</p>';

function tableHtml(caption: string, columns: readonly Column[], rows: readonly (readonly Cell[])[]): string {
  const classes = columns.map(({ figures, screenOnly }) => {
    const names = [...(figures ? ['figures'] : []), ...(screenOnly ? ['screen-only'] : [])];
    return names.length === 0 ? '' : ` class="${names.join(' ')}"`;
  });
  const head = columns.map(({ name }, i) => `<th scope="col"${classes[i]}>${userText(name)}</th>`);
  const body = rows.map((row) => {
    const cells = row.map((cell, i) => {
      const html = typeof cell === 'string' ? userText(cell) : cell.html;
      return i === 0 ? `<th scope="row">${html}</th>` : `<td${classes[i]}>${html}</td>`;
    });
    return `<tr>${cells.join('')}</tr>`;
  });
  return `<div class="scroll">
<table>
<caption>${escapeText(caption)}</caption>
<thead><tr>${head.join('')}</tr></thead>
<tbody>
${body.join('\n')}
</tbody>
</table>
</div>
${SCROLL_HINT}`;
}

/** Plots wider than the usual ones scroll in a narrow card: at most this many user units are made to fit a phone. */
const WIDE_STEPS = [600, 800, 1000, 1400, 2000];

function figureHtml({ plot: { name, title, svg }, caption }: Extract<Block, { kind: 'figure' }>): string {
  const width = Number(/^<svg [^>]*?width="([\d.]+)"/.exec(svg)?.[1] ?? PLOT_WIDTH);
  const least = width <= PLOT_WIDTH ? undefined : WIDE_STEPS.findLast((step, i) => i === 0 || step <= width);
  const wide = least === undefined ? '' : ` wide least-${least}`;
  return `<figure id="figure-${name}">
<div class="scroll"><div class="plot${wide}">${svg}</div></div>
${least === undefined ? '' : `${SCROLL_HINT}\n`}<figcaption><b>${breakable(title)}.</b> ${escapeText(caption)}</figcaption>
<button type="button" class="save" data-save="${name}" aria-label="Save SVG: ${escapeText(title)}">Save SVG</button>
</figure>`;
}

/** Buttons that switch between views; the first is shown initially. Paper shows all. */
function viewsHtml(group: string, label: string, views: readonly View[]): string {
  const buttons = views.map(
    ({ name, choice }, i) =>
      `<button type="button" data-group="${group}" data-choice="${name}" aria-pressed="${i === 0}">${escapeText(choice)}</button>`,
  );
  const panels = views.map(
    ({ name, blocks }, i) =>
      `<div data-group="${group}" data-view="${name}"${i === 0 ? '' : ' hidden'}>\n${blocksHtml(blocks)}\n</div>`,
  );
  return `<div class="choices" role="group" aria-label="${escapeText(label)}">${buttons.join('')}</div>\n${panels.join('\n')}`;
}

/** Widths that a stylesheet has to know, because a page's policy allows no style attributes. */
export const wideStyles = WIDE_STEPS.map((step) => `.least-${step}{min-width:${step}px}`).join('\n');
