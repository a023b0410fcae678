/** @file HTML building blocks of the report. Parameters named `html` are markup; everything else is escaped here. */

import { escapeText, plotStyles } from './plots/index.js';

/** A table cell: text, or markup. */
export type Cell = string | { readonly html: string };

/** A table column: its heading, and whether it contains numbers, which are right-aligned. */
export interface Column {
  readonly name: string;
  readonly figures?: boolean;
  /** Not printed, such as an audio player. */
  readonly screenOnly?: boolean;
}

/** User-provided text, isolated from the direction of the surrounding text. */
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

/** A table with a caption. The first cell of a row is its heading. A wide table scrolls. */
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

/** Preformatted text, such as a recipe. Long text scrolls. */
export function verbatim(label: string, text: string): string {
  return `<pre class="scroll" role="group" aria-label="${escapeText(label)}">${escapeText(text)}</pre>`;
}

/** A disclosure element, used for a plot's data as a table. */
export function alternative(summary: string, html: string): string {
  return `<details><summary>${escapeText(summary)}</summary>\n${html}\n</details>`;
}

/** One of several views of the same content. The screen shows one at a time; paper shows all. */
export interface View {
  readonly name: string;
  /** Label of its button. */
  readonly choice: string;
  readonly html: string;
}

/** Buttons that switch between views; the first is shown initially. */
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

/** Style sheet without external references; it shares its colours with the plots. */
export const pageStyles = `${plotStyles()}
:root{color-scheme:light dark;--accent:light-dark(#1a59cb,#8fb4ff);--raised:light-dark(#f5f6f8,#1f242b)}
:root[data-theme=light]{color-scheme:light}
:root[data-theme=dark]{color-scheme:dark}
*{box-sizing:border-box}
html{background:var(--page);color:var(--ink);scroll-padding-top:1rem}
body{margin:0 auto;padding:1.5rem 1.25rem 4rem;max-width:62rem;
font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Liberation Sans",sans-serif}
header{display:flex;flex-wrap:wrap;gap:.5rem 1rem;align-items:baseline;justify-content:space-between}
h1{font-size:1.75rem;line-height:1.2;margin:.5rem 0;overflow-wrap:anywhere}
h2{font-size:1.3rem;line-height:1.3;margin:3rem 0 .75rem;padding-top:.75rem;border-top:1px solid var(--grid)}
h3{font-size:1rem;margin:1.25rem 0 .25rem}
p{max-width:46rem;margin:.5rem 0}
a{color:var(--accent)}
.note,.missing,figcaption,caption,small{color:var(--muted)}
.note{font-size:.9rem}
.skip{position:absolute;left:-100vw}
.skip:focus{left:1rem;top:.5rem;background:var(--page);padding:.5rem;z-index:2}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
nav ul{list-style:none;padding:0;margin:.75rem 0;columns:13rem;column-gap:1.5rem}
nav li{padding:.15rem 0}
button{font:inherit;font-size:.9rem;color:var(--ink);background:var(--raised);border:1px solid var(--muted);
border-radius:.3rem;padding:.2rem .7rem;cursor:pointer}
button[aria-pressed=true]{background:var(--ink);color:var(--page);border-color:var(--ink)}
.save{font-size:.8rem;padding:.05rem .5rem}
.choices{display:flex;flex-wrap:wrap;gap:.4rem;margin:.75rem 0}
figure{margin:1.25rem 0 1.75rem;max-width:46rem}
figure>.scroll{margin-bottom:.4rem}
figcaption{display:inline;font-size:.9rem;margin-right:.5rem}
figcaption b{color:var(--ink);font-weight:600}
.scroll{overflow:auto;max-width:100%}
.plot{position:relative;width:fit-content;max-width:100%}
.plot svg{display:block;max-width:100%;height:auto}
table{border-collapse:collapse;font-size:.9rem;line-height:1.35;margin:.5rem 0;min-width:min(24rem,100%);font-variant-numeric:tabular-nums}
caption{text-align:left;padding:.25rem 0 .5rem;max-width:min(46rem,100vw - 2rem)}
th,td{padding:.3rem .75rem .3rem 0;text-align:left;vertical-align:top;font-weight:400;overflow-wrap:anywhere;min-width:5rem}
th:first-child{min-width:7rem}
thead th{font-weight:600;border-bottom:1.5px solid var(--muted);vertical-align:bottom;overflow-wrap:break-word}
tbody tr{border-bottom:1px solid var(--grid)}
.figures{text-align:right;white-space:nowrap;min-width:3rem}
thead .figures{white-space:normal;overflow-wrap:break-word}
#mistakes td:nth-child(2){min-width:11rem}
audio{width:12.5rem;height:2.2rem;max-width:none;vertical-align:middle}
pre{background:var(--raised);border:1px solid var(--grid);border-radius:.3rem;padding:.75rem;max-height:30rem;
font:.85rem/1.45 ui-monospace,"Liberation Mono",monospace;tab-size:2;margin:.5rem 0}
details{margin:.75rem 0}
summary{cursor:pointer;width:fit-content}
#map-surface{position:absolute;left:0;top:0;width:100%;touch-action:pan-x pan-y;cursor:crosshair}
#map-surface:focus-visible{outline-offset:-3px}
#map-marker{position:absolute;width:18px;height:18px;margin:-9px 0 0 -9px;border:2.5px solid var(--ink);border-radius:50%;
box-shadow:0 0 0 2px var(--page);pointer-events:none}
#map-text{background:var(--raised);border:1px solid var(--grid);border-radius:.3rem;padding:.6rem .9rem;max-width:46rem;min-height:11.5rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:0}
dt{color:var(--muted)}
dd{margin:0;overflow-wrap:anywhere;min-width:0}
@media (scripting:none){[data-view][hidden]{display:block}button,#map-text,#map-keys{display:none}}
@media (max-width:46rem){.plot,.plot svg{max-width:none}body{padding:1rem .9rem 3rem}}
@media print{
@page{margin:16mm}
:root,:root[data-theme]{color-scheme:light}
html{font-size:10pt}
body{max-width:none;padding:0}
nav,button,.skip,.choices,.screen-only,#map-surface{display:none!important}
[data-view][hidden]{display:block!important}
details::details-content{content-visibility:visible;block-size:auto}
summary{list-style:none}
h2,h3,caption{break-after:avoid}
figure,tr{break-inside:avoid}
.plot svg{max-width:100%;max-height:230mm}
.scroll{overflow:visible}
pre{max-height:none;white-space:pre-wrap;overflow-wrap:anywhere}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
}
`;
