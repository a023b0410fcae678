/** @file `emoq prepare-csv`: any CSV of audio files and labels to a prepared corpus. */

import { InvalidArgumentError } from 'commander';
import { InputError } from '../../base/index.js';
import {
  channelOfOption,
  channelOption,
  defineCommand,
  flag,
  option,
  wholeNumber,
} from '../command-definition.js';
import { preparationOptions, runPreparation } from './corpus-preparation.js';

export const prepareCsvCommand = defineCommand({
  usage: '[options] <file.csv>',
  argument: {
    name: '<file.csv...>',
    description:
      'columns path and label; id, text, speaker, gender, session, split, start, end, channel where known',
  },
  options: {
    name: option('<name>', 'name of the corpus', { required: true }),
    out: option('<folder>', 'where the prepared corpus goes (default: data/<name>)'),
    labelMap: option('<pairs>', 'rename labels: old=new,old=new or a YAML file of "old: new" lines'),
    normalizeLabels: flag(
      'give labels that look or mean the same (Happy, happy) one name, the most frequent',
    ),
    folds: option('<k>', 'make k speaker-independent folds instead of splits', { parse: wholeNumber(2) }),
    testShare: option('<x>', 'share of the test split that is made (default: 0.2)', { parse: share }),
    devShare: option('<x>', 'share of the dev split that is made, 0 for none (default: 0.1)', {
      parse: share,
    }),
    seed: option('<n>', 'of the splits or folds that are made', { parse: wholeNumber(0), default: 0 }),
    allowSharedSpeakers: flag('let a speaker be in two splits or sessions'),
    channel: channelOption,
    ...preparationOptions,
  },
  help: `
Paths are relative to the CSV. start and end (seconds, or 1:02:03.5) cut an
utterance out of a longer recording, channel (1, 2, ... or mix) takes one side of
a call and goes before --channel. A CSV without a split and a session column
is divided by speaker. One without path, with text, makes a corpus of
transcripts alone, for experiments with inputs: text.

Example:
  emoq prepare-csv calls.csv --name calls --label-map ang=angry,hap=happy`,
  run: async (options, file, ...more) => {
    if (more.length > 0) {
      const { adviceForSeveral } = await import('../../data/tables/index.js');
      const use = { what: 'CSV file', columns: ['path', 'label'], recordings: 'path' };
      throw new InputError(adviceForSeveral([file, ...more], use));
    }
    const { prepareCsv, readLabelMap } = await import('../../data/corpora/index.js');
    const { name, folds, testShare, devShare, seed, out = `data/${name}` } = options;
    const labelMap = options.labelMap === undefined ? undefined : await readLabelMap(options.labelMap);
    const channel = await channelOfOption(options.channel);
    const allowSharedSpeakers = options.allowSharedSpeakers === true;
    const normalizeLabels = options.normalizeLabels === true;
    const made = { folds, testShare, devShare, seed, allowSharedSpeakers, normalizeLabels };
    await runPreparation(options, (controls) =>
      prepareCsv({ file, name, out, labelMap, channel, ...made, ...controls }),
    );
  },
});

/** Parser of a share, from 0 and below 1. */
function share(value: string): number {
  const number = Number(value);
  if (/^\d*\.?\d+$/.test(value) && number < 1) return number;
  throw new InvalidArgumentError('It must be from 0 and below 1, such as 0.2.');
}
