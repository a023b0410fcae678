/** @file Prints scores for people: the headline beside the paper's row, folds, classes, confusion. */

import {
  classTable,
  confusionTable,
  type FoldMetrics,
  foldsTable,
  type Metrics,
  type PaperRow,
  resultsTable,
} from '../../evaluate/index.js';
import { outColor, printResult } from '../output.js';

/** Writes the tables of one evaluation or cross-validation to stdout. */
export function printScores(scores: Metrics | FoldMetrics, paper?: PaperRow | null): void {
  const folded = 'pooled' in scores;
  const overall = folded ? scores.pooled : scores;
  const sections: [title: string, table: string][] = [
    ['Results', resultsTable(scores, paper)],
    ...(folded ? ([['Folds', foldsTable(scores)]] satisfies [string, string][]) : []),
    [folded ? 'Classes, pooled over the folds' : 'Classes', classTable(overall)],
    ['Confusion, utterances', confusionTable(overall)],
  ];
  printResult(sections.map(([title, table]) => `${outColor.bold(title)}\n${table}`).join('\n\n'));
}
