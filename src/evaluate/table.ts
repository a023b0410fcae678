/** @file Tables as data, and as plain text: strings only, no colour. */

/** A table to print or to paste. Every row has as many cells as `header`. */
export interface Table {
  readonly title: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** By default the first column to the left and the others to the right. */
  readonly align?: readonly Align[];
  /** What a reader must know to read the cells. */
  readonly note?: string | undefined;
}

export type Align = 'left' | 'right';

/** Figures that a paper printed, in percent; null where it printed none. */
export interface PaperFigures {
  readonly wa: number | null;
  readonly ua: number | null;
  readonly wf1: number | null;
}

/** The paper's row for a dataset and the best that it compares itself with. */
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
 * Lays out cells in columns two spaces apart, the first column to the left and the others to the right unless
 * `align` says otherwise. Every row has as many cells as `header`. No trailing spaces, no final newline.
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

/** A fraction as percent with one decimal, as the paper prints it. */
export function percent(fraction: number): string {
  return (100 * fraction).toFixed(1);
}

/** The paper's figures as it prints them, a dash where it has none. */
export function paperCells({ wa, ua, wf1 }: PaperFigures): string[] {
  return [wa, ua, wf1].map((value) => (value === null ? '-' : value.toFixed(1)));
}

/** Code points, so that a label outside the basic plane keeps its column straight. */
function characters(text: string): number {
  return [...text].length;
}
