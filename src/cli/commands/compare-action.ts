/** @file Implements `emoq compare`: gathers the experiments on a dataset and prints them side by side. */

import { datasetTables } from '../../evaluation/index.js';
import { ofPaperMetrics } from '../../evaluation/metrics/index.js';
import { compareDataset } from '../../experiments/index.js';
import { printJson } from '../terminal-output.js';
import { fraction } from './ablate-action.js';
import { printTables, scoreObject } from './eval-action.js';
import type { CompareOptions } from './eval-options.js';
import { experimentContext } from './experiment-options.js';

export async function run(options: CompareOptions): Promise<void> {
  const context = await experimentContext(options);
  const { recipe, chosen, rows } = await compareDataset(options, context);
  const { paper } = recipe;
  const format = options.json ? 'json' : (options.format ?? 'text');
  if (format === 'json') {
    return printJson({
      dataset: recipe.name,
      against: chosen,
      rows: rows.map((row) => ({ row: row.label, system: row.system, ...scoreObject(row) })),
      paper: paper && ofPaperMetrics((key) => fraction(paper[key])),
    });
  }
  printTables(datasetTables(`Runs on ${recipe.name}`, chosen, rows, paper), format);
}
