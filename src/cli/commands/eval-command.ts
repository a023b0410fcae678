/** @file `emoq eval`: scores a run, a cross-validation or anybody's predictions file, or compares two of them. */

import { defineCommand } from '../command-definition.js';
import { evalOptions } from './eval-options.js';

export const evalCommand = defineCommand({
  options: evalOptions,
  help: `
Where nothing is named, the one experiment in runs that fits is scored. A run is
scored as it was trained: --dataset or --recipe finds it by its name, and a --set
that it was not trained with is refused.

With --manifest of another corpus a run is scored on that corpus, over the classes
that both have: its test split where it has splits, else all of it. --label-map
says which of its labels is which of the run's. Results go to cross/<corpus> in
the run's folder.

A predictions file needs the columns reference and label. With --dataset it is
scored over that recipe's labels and shown beside the paper's row. The
predictions.csv of a run is one: other formats and intervals need no new run of
the model.

Intervals are 95 % percentile bootstrap intervals over the test set. Utterances
of one speaker are alike: --resample-by speaker draws all of them together.

--compare A B tests whether two systems differ on the same utterances. Each is a
predictions file, a run, or an experiment with all its folds and seeds.

Example:
  emoq eval --dataset toy4`,
  run: async (options) => {
    const { run } = await import('./eval-action.js');
    await run(options);
  },
});
