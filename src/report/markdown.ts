/** @file Renders a report as Markdown: the same sections as the page, with tables in place of plots. */

import { percent } from '../evaluation/index.js';
import { type Block, type Cell, type Column, type ReportPlot, type Section, table } from './blocks.js';
import type { ReportData } from './report-data.js';
import { plotsBySection } from './report-plots.js';
import { sectionsOf } from './sections.js';
import { type Summary, summaryOf } from './summary.js';

/**
 * The report as GitHub and Pandoc read it. Recordings are left out.
 * @param plotAddress where a plot is, seen from the file; undefined if plots are not written
 */
export function renderMarkdown(data: ReportData, plotAddress?: (name: string) => string): string {
  const { title, facts, verdict, ...summary } = summaryOf(data);
  const lead = { title, facts, blocks: [summaryTable(summary)], paragraphs: [verdict] };
  return documentMarkdown(lead, sectionsOf(data, plotsBySection(data)), plotAddress);
}

/** What is above the sections of a document. */
export interface MarkdownLead {
  readonly title: string;
  readonly facts: readonly (readonly [name: string, value: string])[];
  readonly blocks: readonly Block[];
  readonly paragraphs: readonly string[];
}

/** A whole document. @param plotAddress as for {@link renderMarkdown} */
export function documentMarkdown(
  { title, facts, blocks, paragraphs }: MarkdownLead,
  sections: readonly Section[],
  plotAddress?: (name: string) => string,
): string {
  const parts = [
    `# ${plainText(title)}`,
    facts.map(([name, value]) => `- ${plainText(name)}: ${plainText(value)}`).join('\n'),
    ...blocks.flatMap((block) => blockMarkdown(block)),
    ...paragraphs.map(plainText),
    ...sections.map((section) => sectionMarkdown(section, plotAddress)),
  ];
  return `${parts.join('\n\n')}\n`;
}

function summaryTable({ intervalName, figures }: Pick<Summary, 'intervalName' | 'figures'>): Block {
  const columns = [
    { name: '%' },
    ...['this run', ...(intervalName ? [intervalName] : [])].map(figureColumn),
    ...(figures.some(({ spread }) => spread) ? [figureColumn('mean ± sd')] : []),
    ...(figures.some(({ paper }) => paper !== null) ? [figureColumn('paper')] : []),
    figureColumn('majority class'),
    figureColumn('chance'),
  ];
  const rows = figures.map(({ title: name, value, interval, spread, paper, majority, chance }) => [
    name,
    percent(value),
    ...(intervalName ? [interval ? `${percent(interval.low)} – ${percent(interval.high)}` : '–'] : []),
    ...(spread ? [`${percent(spread.mean)}${spread.sd === null ? '' : ` ± ${percent(spread.sd)}`}`] : []),
    ...(figures.some((each) => each.paper !== null) ? [paper === null ? '–' : paper.toFixed(1)] : []),
    percent(majority),
    percent(chance),
  ]);
  return table('', columns, rows);
}

function figureColumn(name: string): Column {
  return { name, figures: true };
}

function sectionMarkdown({ title, blocks }: Section, plotAddress?: (name: string) => string): string {
  const parts = blocks.flatMap((block) => blockMarkdown(block, plotAddress));
  const plots = plotAddress === undefined ? plotsIn(blocks) : [];
  const note =
    plots.length === 0
      ? []
      : [
          `Plots, as files with \`--plots\` and on the page: ${plots.map((plot) => plainText(plot.title)).join('; ')}.`,
        ];
  return [`## ${plainText(title)}`, ...parts, ...note].join('\n\n');
}

function blockMarkdown(block: Block, plotAddress?: (name: string) => string): string[] {
  switch (block.kind) {
    case 'paragraph':
      return [plainText(block.text)];
    case 'subheading':
      return [`### ${plainText(block.text)}`];
    case 'table':
      return [
        ...(block.caption === '' ? [] : [plainText(block.caption)]),
        pipeTable(block.columns, block.rows),
      ];
    case 'verbatim':
      return [fenced(block.text)];
    case 'figure':
      return plotAddress === undefined
        ? []
        : [`![${plainText(block.plot.title)}](${plotAddress(block.plot.name)})`];
    case 'folded':
      return block.blocks.flatMap((each) => blockMarkdown(each, plotAddress));
    case 'beside':
      return block.blocks.flat().flatMap((each) => blockMarkdown(each, plotAddress));
    case 'views':
      return block.views.flatMap(({ blocks }) => blocks.flatMap((each) => blockMarkdown(each, plotAddress)));
    case 'screen':
      return [];
  }
}

function plotsIn(blocks: readonly Block[]): ReportPlot[] {
  return blocks.flatMap((block): ReportPlot[] => {
    if (block.kind === 'figure') return [block.plot];
    if (block.kind === 'folded') return plotsIn(block.blocks);
    if (block.kind === 'beside') return plotsIn(block.blocks.flat());
    return block.kind === 'views' ? plotsIn(block.views.flatMap((view) => view.blocks)) : [];
  });
}

function pipeTable(columns: readonly Column[], rows: readonly (readonly Cell[])[]): string {
  const kept = columns.flatMap(({ screenOnly }, i) => (screenOnly ? [] : [i]));
  const line = (cells: readonly string[]): string => `| ${kept.map((i) => cells[i]!).join(' | ')} |`;
  const text = (cell: Cell): string => plainText(typeof cell === 'string' ? cell : cell.text);
  return [
    line(columns.map(({ name }) => plainText(name))),
    line(columns.map(({ figures }) => (figures ? '---:' : ':---'))),
    ...rows.map((row) => line(row.map(text))),
  ].join('\n');
}

/** Text in one line, without anything that Markdown or HTML would read as more than text. */
function plainText(text: string): string {
  return text.replace(/[\\|*_`<>[\]#~&]/g, '\\$&').replace(/\s+/g, ' ');
}

/** Behind a fence that is longer than any in the text. */
function fenced(text: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = '`'.repeat(longest + 1);
  return `${fence}text\n${text.replace(/\n$/, '')}\n${fence}`;
}
