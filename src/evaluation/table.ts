/** @file Tables as data, and their rendering as plain text, Markdown and LaTeX, without colour. */

import { type Metric, metrics, type PaperKey, paperMetrics } from './metrics/index.js';

/** A table to print or to paste. Every row has as many cells as `header`. */
export interface Table {
  readonly title: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Default: first column left, others right. */
  readonly align?: readonly Align[];
  /** What readers need to know to interpret the cells. */
  readonly note?: string | undefined;
}

export type Align = 'left' | 'right';

/** Figures printed in a paper, in percent; null where it printed none. */
export type PaperFigures = Readonly<Record<PaperKey, number | null>>;

/** The paper's row for a dataset, and the best result it compares itself with. */
export interface PaperRow extends PaperFigures {
  /** Number of the table in the paper. */
  readonly table: number;
  readonly best_earlier?: PaperFigures | null | undefined;
}

/** Alignment of each column. */
export function alignmentOf({ header, align }: Pick<Table, 'header' | 'align'>): readonly Align[] {
  return align ?? header.map((_, i) => (i === 0 ? 'left' : 'right'));
}

/**
 * Lays out cells in columns two spaces apart; by default the first column is left-aligned and the others right-aligned.
 * Every row has as many cells as `header`. No trailing spaces, no final newline.
 */
export function textTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  align: readonly Align[] = alignmentOf({ header }),
): string {
  const widths = header.map((name, i) => Math.max(...[name, ...rows.map((row) => row[i]!)].map(characters)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => {
        const padding = ' '.repeat(widths[i]! - characters(cell));
        return align[i] === 'left' ? cell + padding : padding + cell;
      })
      .join('  ')
      .trimEnd();
  return [header, ...rows].map(line).join('\n');
}

/** A fraction as a percentage with one decimal, as in the paper. */
export function percent(fraction: number): string {
  return (100 * fraction).toFixed(1);
}

/** The paper's figures as printed, with a dash where there is none. */
export function paperCells(figures: PaperFigures): string[] {
  return paperMetrics.map(({ key }) => figures[key]?.toFixed(1) ?? '-');
}

/** Counts code points, so that labels outside the basic plane stay aligned. */
function characters(text: string): number {
  return [...text].length;
}

export type TableFormat = 'markdown' | 'latex';

/** Tables to paste, separated by an empty line. No final newline. */
export function formatTables(tables: readonly Table[], format: TableFormat): string {
  const parts = tables.map(format === 'markdown' ? markdownTable : latexTable);
  const head = format === 'latex' ? ['% needs \\usepackage{booktabs}'] : [];
  return [...head, ...parts].join('\n\n');
}

/** A table for a terminal, with its note below. */
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

/** A `table` with a caption and booktabs rules, in a small font so that seven classes fit the page width. */
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

/** Replacements for characters that LaTeX treats specially. */
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
  // LaTeX reads a bracket at the start of a row as the option of the preceding line break.
  const escaped = text
    .replace(/[\\{}$&#_%~^<>|"`±]/g, (character) => LATEX[character]!)
    .replace(/\s+/g, ' ')
    .replace(/(^|[ [])-(?=[\d ])/g, '$1$$-$$'); // minus sign instead of a hyphen
  return escaped.startsWith('[') ? `{[}${escaped.slice(1)}` : escaped;
}

const byKey = new Map<string, Metric>(metrics.map((metric) => [metric.key, metric]));

/** `81.3` for a fraction, in percent; `0.5321` for anything else. */
export function metricText({ unit }: Pick<Metric, 'unit'>, value: number): string {
  return unit === '%' ? percent(value) : value.toFixed(4);
}

/** The same with its sign, for a difference. */
export function signedMetricText(metric: Pick<Metric, 'unit'>, value: number): string {
  const text = metricText(metric, value);
  return Number(text) > 0 ? `+${text}` : text.replace(/^-(?=0\.0+$)/, '');
}

/** `WA %`, `kappa`: a metric's name as a column header. */
export function columnName({ short, unit }: Pick<Metric, 'short' | 'unit'>): string {
  return unit === '%' ? `${short} %` : short;
}

/** `81.3 %` for a fraction, `1.2500` for anything else, such as a loss. */
export function figureValue(name: string, value: number): string {
  const metric = byKey.get(name) ?? { unit: null };
  return metric.unit === '%' ? `${metricText(metric, value)} %` : metricText(metric, value);
}

/** `WA 81.3 %`, `nll 1.2500`. */
export function figureText(name: string, value: number): string {
  return `${byKey.get(name)?.short ?? name} ${figureValue(name, value)}`;
}
