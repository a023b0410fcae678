/** @file Tables as text for a terminal, as Markdown, and as LaTeX with booktabs. */

import { type Align, alignmentOf, type Table, textTable } from './table.js';

export type TableFormat = 'markdown' | 'latex';

/** Tables to paste, an empty line between two. No final newline. */
export function formatTables(tables: readonly Table[], format: TableFormat): string {
  const parts = tables.map(format === 'markdown' ? markdownTable : latexTable);
  const head = format === 'latex' ? ['% needs \\usepackage{booktabs}'] : [];
  return [...head, ...parts].join('\n\n');
}

/** A table for a terminal, its note below. */
export function plainTable({ header, rows, align, note }: Table): string {
  return `${textTable(header, rows, align)}${note === undefined ? '' : `\n${note}`}`;
}

/** A pipe table under its title, as GitHub and Pandoc read it. */
export function markdownTable(table: Table): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(markdownText).join(' | ')} |`;
  const ruler = alignmentOf(table).map((align) => (align === 'left' ? ':---' : '---:'));
  return [
    `### ${markdownText(table.title)}`,
    '',
    line(table.header),
    `| ${ruler.join(' | ')} |`,
    ...table.rows.map(line),
    ...(table.note === undefined ? [] : ['', markdownText(table.note)]),
  ].join('\n');
}

/** A `table` with a caption, ruled by booktabs; small, so that seven classes fit into the width of a page. */
export function latexTable(table: Table): string {
  const line = (cells: readonly string[]): string => `    ${cells.map(latexText).join(' & ')} \\\\`;
  const columns: Readonly<Record<Align, string>> = { left: 'l', right: 'r' };
  const caption = `${table.title}.${table.note === undefined ? '' : ` ${table.note}`}`;
  return [
    '\\begin{table}',
    '  \\centering',
    '  \\footnotesize',
    '  \\setlength{\\tabcolsep}{3pt}',
    `  \\caption{${latexText(caption)}}`,
    `  \\begin{tabular}{${alignmentOf(table)
      .map((align) => columns[align])
      .join('')}}`,
    '    \\toprule',
    line(table.header),
    '    \\midrule',
    ...table.rows.map(line),
    '    \\bottomrule',
    '  \\end{tabular}',
    '\\end{table}',
  ].join('\n');
}

function markdownText(text: string): string {
  return text.replace(/[\\|*_`<]/g, '\\$&').replace(/\s+/g, ' ');
}

/** What stands for characters that LaTeX reads as commands, or sets as others. */
const LATEX: Readonly<Record<string, string>> = {
  '\\': '\\textbackslash{}',
  '{': '\\{',
  '}': '\\}',
  $: '\\$',
  '&': '\\&',
  '#': '\\#',
  _: '\\_',
  '%': '\\%',
  '~': '\\textasciitilde{}',
  '^': '\\textasciicircum{}',
  '<': '\\textless{}',
  '>': '\\textgreater{}',
  '|': '\\textbar{}',
  '"': "''",
  '`': '\\textasciigrave{}',
  '±': '$\\pm$',
};

function latexText(text: string): string {
  if (text === '-') return '--';
  // A bracket at the start of a row would be read as the option of the line break before it.
  const escaped = text
    .replace(/[\\{}$&#_%~^<>|"`±]/g, (character) => LATEX[character]!)
    .replace(/\s+/g, ' ')
    .replace(/(^|[ [])-(?=[\d ])/g, '$1$$-$$'); // minus, not a hyphen
  return escaped.startsWith('[') ? `{[}${escaped.slice(1)}` : escaped;
}
