/**
 * @file What a report consists of: sections of paragraphs, tables, figures and verbatim text. The page and the Markdown
 * file are made from the same blocks, so they cannot say different things.
 */

import { escapeText } from './plots/index.js';

/** A plot: a standalone SVG document with a title. */
export interface ReportPlot {
  /** File name without `.svg`. */
  readonly name: string;
  readonly title: string;
  readonly svg: string;
}

/** A table cell: text, or markup with the same as text. */
export type Cell = string | { readonly html: string; readonly text: string };

/** A table column: its heading, and whether it contains numbers, which are right-aligned. */
export interface Column {
  readonly name: string;
  readonly figures?: boolean;
  /** Only on a screen, such as an audio player. */
  readonly screenOnly?: boolean;
}

export type Block =
  | { readonly kind: 'paragraph'; readonly text: string; readonly isNote: boolean }
  | { readonly kind: 'subheading'; readonly text: string }
  | {
      readonly kind: 'table';
      readonly caption: string;
      readonly columns: readonly Column[];
      readonly rows: readonly (readonly Cell[])[];
    }
  | { readonly kind: 'verbatim'; readonly label: string; readonly text: string }
  | { readonly kind: 'figure'; readonly plot: ReportPlot; readonly caption: string }
  /** Behind a line that opens it. */
  | { readonly kind: 'folded'; readonly summary: string; readonly blocks: readonly Block[] }
  /** Blocks beside each other where there is room. The first is the largest if `lead`. */
  | { readonly kind: 'beside'; readonly lead: boolean; readonly blocks: readonly (readonly Block[])[] }
  /** Several views of the same content. The page shows one at a time. */
  | {
      readonly kind: 'views';
      readonly group: string;
      readonly label: string;
      readonly views: readonly View[];
    }
  /** Markup that only a screen needs. */
  | { readonly kind: 'screen'; readonly html: string };

export interface View {
  readonly name: string;
  /** Label of its button. */
  readonly choice: string;
  readonly blocks: readonly Block[];
}

/** How much of the page's width a section takes where there is room: a column, or all. */
export type SectionWidth = 'one' | 'all';

export interface Section {
  /** Its anchor. */
  readonly name: string;
  readonly title: string;
  readonly width: SectionWidth;
  /** Whether a printed page has it. */
  readonly isPrinted: boolean;
  readonly blocks: readonly Block[];
}

/** Why a report does not have a section. */
export interface AbsentSection {
  readonly name: string;
  readonly title: string;
  readonly reason: string;
}

export function absent(name: string, title: string, reason: string): AbsentSection {
  return { name, title, reason };
}

export function section(
  name: string,
  title: string,
  { width = 'one', isPrinted = true }: { readonly width?: SectionWidth; readonly isPrinted?: boolean },
  ...blocks: readonly (Block | null)[]
): Section {
  return { name, title, width, isPrinted, blocks: blocks.filter((block) => block !== null) };
}

export function paragraph(text: string, kind?: 'note'): Block {
  return { kind: 'paragraph', text, isNote: kind === 'note' };
}

/** A table with a caption. The first cell of a row is its heading. */
export function table(
  caption: string,
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
): Block {
  return { kind: 'table', caption, columns, rows };
}

/** Preformatted text, such as a recipe. */
export function verbatim(label: string, text: string): Block {
  return { kind: 'verbatim', label, text };
}

/** @param caption a sentence after the title, or nothing */
export function figure(plot: ReportPlot, caption = ''): Block {
  return { kind: 'figure', plot, caption };
}

export function folded(summary: string, ...blocks: readonly Block[]): Block {
  return { kind: 'folded', summary, blocks };
}

/** User-provided text, isolated from the direction of the surrounding text, with places where a name may be broken. */
export function userText(text: string): string {
  return `<bdi>${breakable(text)}</bdi>`;
}

/** Runs of this many hexadecimal digits are checksums, which have no places to break. */
const CHECKSUM = /[0-9a-f]{32,}/g;

/** Between letters and digits; those that numbers have too, such as 0.5 and 3-4, not between digits. */
const SEPARATORS = /(?<=[\p{L}\p{N}])(?:[_/\\]+(?=[\p{L}\p{N}])|[.:-]+(?=\p{L}))|(?<=\p{L})[:-]+(?=\p{N})/gu;

/** Escaped text in which a line may break after the separators of ids and paths, and nowhere else inside a word. */
export function breakable(text: string): string {
  return escapeText(text)
    .replace(SEPARATORS, '$&<wbr>')
    .replace(CHECKSUM, (digits) => digits.replace(/.{8}(?=.)/g, '$&<wbr>'));
}
