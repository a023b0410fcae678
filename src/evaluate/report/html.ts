/** @file Pieces of HTML that the report is made of. What is called `html` is markup already; all else is escaped here. */

import { escapeText } from '../plots/index.js';

/** A cell of a table: text, or markup. */
export type Cell = string | { readonly html: string };

/** A column: its heading, and whether it holds figures, which stand to the right. */
export interface Column {
  readonly name: string;
  readonly figures?: boolean;
  /** Left out on paper, as a player is. */
  readonly screenOnly?: boolean;
}

/** Text of a user, kept apart from the direction of the text around it. */
export function userText(text: string): string {
  return `<bdi>${escapeText(text)}</bdi>`;
}

/** A section with its heading; `name` is the anchor. */
export function section(name: string, title: string, ...content: readonly string[]): string {
  return `<section id="${name}" aria-labelledby="${name}-heading">
<h2 id="${name}-heading">${escapeText(title)}</h2>
${content.filter((part) => part !== '').join('\n')}
</section>`;
}

export function paragraph(text: string, kind?: 'note' | 'missing'): string {
  return `<p${kind ? ` class="${kind}"` : ''}>${escapeText(text)}</p>`;
}

/** A table with a caption. The first cell of a row is its heading. A wide one scrolls. */
export function table(
  caption: string,
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
): string {
  const classes = columns.map(({ figures, screenOnly }) => {
    const names = [...(figures ? ['figures'] : []), ...(screenOnly ? ['screen-only'] : [])];
    return names.length === 0 ? '' : ` class="${names.join(' ')}"`;
  });
  const head = columns.map(({ name }, i) => `<th scope="col"${classes[i]}>${escapeText(name)}</th>`);
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
</div>`;
}

/** Text as it is, such as a recipe. A long one scrolls. */
export function verbatim(label: string, text: string): string {
  return `<pre class="scroll" role="group" aria-label="${escapeText(label)}">${escapeText(text)}</pre>`;
}

/** Content that a reader may open: what a plot shows, as a table. */
export function alternative(summary: string, html: string): string {
  return `<details><summary>${escapeText(summary)}</summary>\n${html}\n</details>`;
}

/** One of several views of the same thing, of which the page shows one and paper shows all. */
export interface View {
  readonly name: string;
  /** On its button. */
  readonly choice: string;
  readonly html: string;
}

/** Buttons that choose between views; the first is shown at the start. */
export function views(group: string, label: string, choices: readonly View[]): string {
  const buttons = choices.map(
    ({ name, choice }, i) =>
      `<button type="button" data-group="${group}" data-choice="${name}" aria-pressed="${i === 0}">${escapeText(choice)}</button>`,
  );
  const panels = choices.map(
    ({ name, html }, i) =>
      `<div data-group="${group}" data-view="${name}"${i === 0 ? '' : ' hidden'}>\n${html}\n</div>`,
  );
  return `<div class="choices" role="group" aria-label="${escapeText(label)}">${buttons.join('')}</div>\n${panels.join('\n')}`;
}
