/** @file `emoq ablate`: trains and scores the rows of one of the paper's ablation tables. */

import { defineCommand } from '../command-definition.js';
import { ablateOptions } from './eval-options.js';

export const ablateCommand = defineCommand({
  options: ablateOptions,
  help: `
Trains the rows one after the other, scores them on the test set, and prints them
beside the paper's, which are of MELD's seven classes. A row is the dataset's recipe
with a few keys changed; its experiment is <dataset>-<row> in the folder, and that of
the full system <dataset>, so that what stage1 and stage2 have trained there is used.
Intervals are bootstrap intervals over the test set; differences from the full
system are paired over its utterances, with --seeds over seeds too.
Ctrl-C saves after the step in hand; the same command goes on from there.

Example:
  emoq ablate --dataset toy4 --table 4`,
  missing: ({ dataset, recipe }) =>
    dataset === undefined && recipe === undefined ? ['--dataset <name> or --recipe <file>'] : [],
  run: async (options) => {
    const { run } = await import('./ablate-action.js');
    await run(options);
  },
});
