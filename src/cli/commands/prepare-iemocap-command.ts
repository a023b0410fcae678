/** @file `emoq prepare-iemocap`: converts a raw IEMOCAP release to a prepared corpus. */

import { defineCommand, option } from '../command-definition.js';
import { preparationOptions, runPreparation } from './corpus-preparation.js';

export const prepareIemocapCommand = defineCommand({
  options: {
    root: option('<folder>', 'the folder IEMOCAP_full_release', { required: true }),
    out: option('<folder>', 'output folder', { default: 'data/iemocap' }),
    ...preparationOptions,
  },
  help: `
Reads labels, transcripts and sentence audio of the five sessions, checks them
against the known counts, and writes <out>/manifest.csv, <out>/manifest.json and
the audio. Run it again after an interruption to continue.

Keeps everything as released: all labels, scripted and improvised speech, tags
in transcripts. Recipes choose what an experiment uses: iemocap4,
iemocap4-improvised, iemocap5, iemocap5-excited and iemocap6, or the keys
labels, label_map, id_pattern, strip_tags and validation.

Example:
  emoq prepare-iemocap --root IEMOCAP_full_release`,
  run: async (options) => {
    const { prepareIemocap } = await import('../../data/corpora/index.js');
    const { root, out } = options;
    await runPreparation(options, (controls) => prepareIemocap({ root, out, ...controls }));
  },
});
