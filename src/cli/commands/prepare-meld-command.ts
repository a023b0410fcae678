/** @file `emoq prepare-meld`: converts a raw MELD release to a prepared corpus. */

import { defineCommand, flag, option } from '../command-definition.js';
import { preparationOptions, runPreparation } from './corpus-preparation.js';

export const prepareMeldCommand = defineCommand({
  options: {
    root: option('<folder>', 'the folder MELD.Raw, with its clips unpacked or not', { required: true }),
    out: option('<folder>', 'output folder', { default: 'data/meld' }),
    finalVideos: flag('for the test split, prefer the final_videos_* clips to the plain ones'),
    ...preparationOptions,
  },
  help: `
Reads the three CSVs and the clips, from the three folders or directly from
train.tar.gz, dev.tar.gz and test.tar.gz; checks both against the known counts,
and writes <out>/manifest.csv, <out>/manifest.json and 16 kHz mono audio. Run it
again after an interruption to continue.

Example:
  emoq prepare-meld --root MELD.Raw`,
  run: async (options) => {
    const { prepareMeld } = await import('../../data/corpora/index.js');
    const { root, out, finalVideos } = options;
    await runPreparation(options, (controls) => prepareMeld({ root, out, finalVideos, ...controls }));
  },
});
