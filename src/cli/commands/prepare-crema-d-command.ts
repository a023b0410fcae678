/** @file `emoq prepare-crema-d`: the same as `emoq prepare crema-d`, under the name that it had first. */

import { defineCommand, option } from '../command-definition.js';
import { preparationOptions, runPreparation } from './corpus-preparation.js';

export const prepareCremaDCommand = defineCommand({
  options: {
    root: option('<folder>', 'the folder CREMA-D, a clone with Git LFS', { required: true }),
    out: option('<folder>', 'output folder', { default: 'data/crema-d' }),
    ...preparationOptions,
  },
  help: `
The same as emoq prepare crema-d. Reads the names of the clips in AudioWAV
(actor, sentence, emotion, level) and the genders in VideoDemographics.csv,
checks them against the known counts, and writes <out>/manifest.csv,
<out>/manifest.json and 16 kHz mono audio. Run it again after an interruption
to continue.

The label is the intended emotion. There are no splits: a recipe splits the
actors with its split_seed.

Example:
  emoq prepare-crema-d --root CREMA-D`,
  run: async (options) => {
    const { openRelease } = await import('../../data/corpora/index.js');
    const { prepare } = await openRelease('crema-d');
    const { root, out } = options;
    await runPreparation(options, (controls) => prepare({ root, out, ...controls }));
  },
});
