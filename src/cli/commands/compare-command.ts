/** @file `emoq compare`: all finished runs on a dataset, whatever their systems, next to the paper. */

import { defineCommand } from '../command-definition.js';
import { compareOptions } from './eval-options.js';

export const compareCommand = defineCommand({
  options: compareOptions,
  help: `
Every finished experiment in the folder that was trained on the corpus and the
labels of the recipe is a row, whatever its system and its other settings: all
its folds together, all its seeds as mean and standard deviation. What has not
been scored yet is. The paper's figures for the recipe follow. A second table
has the difference of each from one of them, paired over utterances, and over
seeds where there are several; p is not corrected for the number of rows.

Example:
  emoq compare --dataset toy4`,
  missing: ({ dataset, recipe }) =>
    dataset === undefined && recipe === undefined ? ['--dataset <name> or --recipe <file>'] : [],
  run: async (options) => {
    const { run } = await import('./compare-action.js');
    await run(options);
  },
});
