/** @file `emoq eval`: scores a run, a cross-validation or any predictions file, or compares two of them. */

import { defineCommand } from '../command-definition.js';
import { evalOptions } from './eval-options.js';

export const evalCommand = defineCommand({
  options: evalOptions,
  help: `
If nothing is named, scores the one experiment in runs that fits. A run is
scored with the settings it was trained with: --dataset or --recipe finds it by
name, and a --set that it was not trained with is an error.

With --run given several times, the mean of the probabilities of these runs is
scored, on the test set that all of them have and none has seen. Results go to
runs/ensembles.

With --manifest of another corpus, a run is scored on that corpus, over the
classes that both have: on its test split if it has splits, else on all of it.
--label-map maps its labels to those of the run. Results go to cross/<corpus> in
the run's folder.

With --noise, the test clips are scored as they are and with noise added at each
of these signal-to-noise ratios, from the recordings of --noise-from or pink
noise that is made; each clip has the same noise at every ratio and in every
run. Results go to noise.json beside the others, and the report shows them.
Models of recognised words read those of the clean clips, unless --transcribe
names their recogniser, which then listens at every ratio.

A predictions file needs the columns reference and label. With --dataset it is
scored over that recipe's labels and shown next to the paper's row. It can be
the predictions.csv of a run, to get other formats and intervals without running
the model again.

Intervals are 95 % percentile bootstrap intervals over the test set. Utterances
of one speaker are alike: --resample-by speaker draws all of them together.

--compare A B tests whether two systems differ on the same utterances. Each is a
predictions file, a run, or an experiment with all its folds and seeds; --stage 1
is for those that have one.

Example:
  emoq eval --dataset toy4`,
  run: async (options) => {
    const { run } = await import('./eval-action.js');
    await run(options);
  },
});
