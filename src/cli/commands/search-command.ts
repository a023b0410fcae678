/** @file `emoq search`: trains trials of a recipe with other values, and writes the best as a recipe. */

import { defineCommand } from '../command-definition.js';
import { searchOptions } from './search-options.js';

export const searchCommand = defineCommand({
  options: searchOptions,
  help: `
A search space has a line for each recipe key:

  probe.learning_rate: {log: [1e-4, 1e-1]}
  probe.hidden: {choice: [0, 64]}
  probe.epochs: {int: [5, 20]}
  probe.weight_decay: {uniform: [0, 0.1]}

Trials are ranked by the validation figure that selects their epochs; the test
set is never read. A trial whose best figure so far is worse than the median of
the earlier trials' running averages is stopped (Golovin et al. 2017). The
folder gets trials.csv, trials.json and best.yaml, a recipe for emoq train.
Ctrl-C saves; the same command goes on to the same trials.

Example:
  emoq search --dataset probe-toy4 --space space.yaml --trials 16`,
  missing: ({ dataset, recipe, manifest }) =>
    dataset === undefined && recipe === undefined && manifest === undefined
      ? ['--dataset <name> or --recipe <file>']
      : [],
  run: async (given) => {
    const { run } = await import('./search-action.js');
    await run(given);
  },
});
