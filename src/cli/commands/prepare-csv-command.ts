/** @file `emoq prepare-csv`: converts any CSV of audio files and labels to a prepared corpus. */

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
      'columns path and label; id, text, speaker, gender, session, split, start, end, channel, dialogue, turn if known',
  },
  options: {
    name: option('<name>', 'name of the corpus', { required: true }),
    out: option('<folder>', 'output folder (default: data/<name>)'),
    labelMap: option('<pairs>', 'rename labels: old=new,old=new or a YAML file of "old: new" lines'),
    normalizeLabels: flag(
      'merge labels that look or mean the same (Happy, happy) under the most frequent name',
    ),
    folds: option('<k>', 'make k speaker-independent folds instead of splits', { parse: wholeNumber(2) }),
    testShare: option('<x>', 'share of the generated test split (default: 0.2)', { parse: share }),
    devShare: option('<x>', 'share of the generated dev split, 0 for none (default: 0.1)', {
      parse: share,
    }),
    seed: option('<n>', 'seed of the generated splits or folds', { parse: wholeNumber(0), default: 0 }),
    allowSharedSpeakers: flag('allow a speaker in two splits or sessions'),
    channel: channelOption,
    ...preparationOptions,
  },
  help: `
Paths are relative to the CSV. start and end (seconds, or 1:02:03.5) cut an
utterance out of a longer recording. channel (1, 2, ... or mix) selects one side
of a call and takes precedence over --channel. A CSV without the columns split
and session is split by speaker. A CSV with text but without path makes a corpus
of transcripts only, for experiments with inputs: text.

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

/** Parser of a share in [0, 1). */
function share(value: string): number {
  const number = Number(value);
  if (/^\d*\.?\d+$/.test(value) && number < 1) return number;
  throw new InvalidArgumentError('It must be at least 0 and below 1, such as 0.2.');
}
