/** @file The rows of an ablation beside those that the paper printed. */

import type { ResultFigures } from './results.js';
import { type PaperFigures, paperCells, percent, textTable } from './table.js';

/** A row of an ablation: what it scored, and what the paper's row did. */
export interface AblationScores {
  readonly label: string;
  readonly result: Pick<ResultFigures, 'wa' | 'ua' | 'wf1' | 'n'>;
  readonly paper: PaperFigures;
}

/** One line for each row: ours, then the paper's, in percent. */
export function ablationTable(rows: readonly AblationScores[]): string {
  const header = ['', 'WA %', 'UA %', 'WF1 %', 'n', 'paper WA', 'UA', 'WF1'];
  return textTable(
    header,
    rows.map(({ label, result: { wa, ua, wf1, n }, paper }) => [
      label,
      ...[wa, ua, wf1].map(percent),
      String(n),
      ...paperCells(paper),
    ]),
  );
}
