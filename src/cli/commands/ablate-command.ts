/** @file `emoq ablate`: trains and scores the rows of one of the paper's ablation tables. */

import { defineCommand } from '../command-definition.js';
import { ablateOptions } from './eval-options.js';

export const ablateCommand = defineCommand({
  options: ablateOptions,
  help: `
Trains the rows one after the other, scores them on the test set, and prints
them next to the paper's rows, which are for MELD's seven classes. A row is the
dataset's recipe with a few keys changed. Its experiment is <dataset>-<row> in
the folder; that of the full system is <dataset>, so existing stage1 and stage2
runs are reused. Intervals are bootstrap intervals over the test set.
Differences from the full system are paired over utterances, and with --seeds
also over seeds. Ctrl-C saves after the current step; the same command resumes.

Example:
  emoq ablate --dataset toy4 --table 4`,
  missing: ({ dataset, recipe }) =>
    dataset === undefined && recipe === undefined ? ['--dataset <name> or --recipe <file>'] : [],
  run: async (options) => {
    const { run } = await import('./ablate-action.js');
    await run(options);
  },
});
