/** @file `emoq prepare-meld`: a raw MELD release to a prepared corpus. */

import { defineCommand, flag, option } from '../command-definition.js';
import { preparationOptions, runPreparation } from './corpus-preparation.js';

export const prepareMeldCommand = defineCommand({
  options: {
    root: option('<folder>', 'the folder MELD.Raw, its clips unpacked or not', { required: true }),
    out: option('<folder>', 'where the prepared corpus goes', { default: 'data/meld' }),
    finalVideos: flag('prefer the final_videos_* clips of the test split to the plain ones'),
    ...preparationOptions,
  },
  help: `
Reads the three CSVs and the clips, from the three folders or straight from
train.tar.gz, dev.tar.gz and test.tar.gz; checks both against the known counts,
and writes <out>/manifest.csv, <out>/manifest.json and 16 kHz mono audio. Run
again after an interruption to go on.

Example:
  emoq prepare-meld --root MELD.Raw`,
  run: async (options) => {
    const { prepareMeld } = await import('../../data/corpora/index.js');
    const { root, out, finalVideos } = options;
    await runPreparation(options, (controls) => prepareMeld({ root, out, finalVideos, ...controls }));
  },
});
