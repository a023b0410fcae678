/** @file `emoq prepare-csv`: any CSV of audio files and labels to a prepared corpus. */

import { type Command, InvalidArgumentError } from 'commander';
import { InputError } from '../../base/index.js';
import { addChannelOption, channelOfOption, wholeNumber } from '../options.js';
import { addPreparationOptions, type PreparationCommandOptions, runPreparation } from './preparation.js';

export interface PrepareCsvOptions extends PreparationCommandOptions {
  readonly name: string;
  readonly out?: string;
  readonly labelMap?: string;
  readonly channel?: string;
  readonly normalizeLabels?: true;
  readonly folds?: number;
  readonly testShare?: number;
  readonly devShare?: number;
  readonly seed: number;
  readonly allowSharedSpeakers?: true;
}

export function declare(command: Command): void {
  command
    .usage('[options] <file.csv>')
    .argument(
      '<file.csv...>',
      'columns path and label; id, text, speaker, gender, session, split, start, end, channel where known',
    )
    .requiredOption('--name <name>', 'name of the corpus')
    .option('--out <folder>', 'where the prepared corpus goes (default: data/<name>)')
    .option('--label-map <pairs>', 'rename labels: old=new,old=new or a YAML file of "old: new" lines')
    .option(
      '--normalize-labels',
      'give labels that look or mean the same (Happy, happy) one name, the most frequent',
    )
    .option('--folds <k>', 'make k speaker-independent folds instead of splits', wholeNumber(2))
    .option('--test-share <x>', 'share of the test split that is made (default: 0.2)', share)
    .option('--dev-share <x>', 'share of the dev split that is made, 0 for none (default: 0.1)', share)
    .option('--seed <n>', 'of the splits or folds that are made', wholeNumber(0), 0)
    .option('--allow-shared-speakers', 'let a speaker be in two splits or sessions');
  addChannelOption(command);
  addPreparationOptions(command).addHelpText(
    'after',
    `
Paths are relative to the CSV. start and end (seconds, or 1:02:03.5) cut an
utterance out of a longer recording, channel (1, 2, ... or mix) takes one side of
a call and goes before --channel. A CSV without a split and a session column
is divided by speaker. One without path, with text, makes a corpus of
transcripts alone, for experiments with inputs: text.

Example:
  emoq prepare-csv calls.csv --name calls --label-map ang=angry,hap=happy`,
  );
}

export async function run(options: PrepareCsvOptions, file: string, ...more: string[]): Promise<void> {
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
}

/** Parser of a share, from 0 and below 1. */
function share(value: string): number {
  const number = Number(value);
  if (/^\d*\.?\d+$/.test(value) && number < 1) return number;
  throw new InvalidArgumentError('It must be from 0 and below 1, such as 0.2.');
}
