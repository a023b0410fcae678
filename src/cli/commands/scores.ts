/** @file Prints scores for people: the headline beside the paper's row, folds, classes, confusion. */

import {
  classTable,
  confusionTable,
  type FoldMetrics,
  foldsTable,
  type Metrics,
  type PaperRow,
  resultsTable,
  type SeedMetrics,
  seedsTable,
} from '../../evaluate/index.js';
import { outColor, printResult } from '../output.js';

/** Writes the tables of one evaluation, cross-validation or several seeds to stdout. */
export function printScores(scores: Metrics | FoldMetrics | SeedMetrics, paper?: PaperRow | null): void {
  const overall = 'pooled' in scores ? scores.pooled : scores;
  const over = 'folds' in scores ? 'folds' : 'seeds' in scores ? 'seeds' : undefined;
  const sections: [title: string, table: string][] = [
    ['Results', resultsTable(scores, paper)],
    ...('folds' in scores ? [['Folds', foldsTable(scores)] satisfies [string, string]] : []),
    ...('seeds' in scores ? [['Seeds', seedsTable(scores)] satisfies [string, string]] : []),
    [over === undefined ? 'Classes' : `Classes, pooled over the ${over}`, classTable(overall)],
    ['Confusion, utterances', confusionTable(overall)],
  ];
  printResult(sections.map(([title, table]) => `${outColor.bold(title)}\n${table}`).join('\n\n'));
}
