/** @file `emoq prepare-csv`: any CSV of audio files and labels to a prepared corpus. */

import type { Command } from 'commander';
import { wholeNumber } from '../options.js';
import { addPreparationOptions, type PreparationCommandOptions, runPreparation } from './preparation.js';

export interface PrepareCsvOptions extends PreparationCommandOptions {
  readonly name: string;
  readonly out?: string;
  readonly folds?: number;
  readonly seed: number;
  readonly allowSharedSpeakers?: true;
}

export function declare(command: Command): void {
  command
    .argument('<file.csv>', 'columns path and label; id, text, speaker, gender, session, split where known')
    .requiredOption('--name <name>', 'name of the corpus')
    .option('--out <folder>', 'where the prepared corpus goes (default: data/<name>)')
    .option('--folds <k>', 'make k speaker-independent folds instead of splits', wholeNumber(2))
    .option('--seed <n>', 'of the splits or folds that are made', wholeNumber(0), 0)
    .option('--allow-shared-speakers', 'let a speaker be in two splits');
  addPreparationOptions(command).addHelpText(
    'after',
    `
Paths are relative to the CSV. A CSV without a split and a session column is
divided by speaker.

Example:
  emoq prepare-csv calls.csv --name calls`,
  );
}

export async function run(options: PrepareCsvOptions, file: string): Promise<void> {
  const { prepareCsv } = await import('../../data/corpora/index.js');
  const { name, folds, seed, out = `data/${name}` } = options;
  const allowSharedSpeakers = options.allowSharedSpeakers === true;
  await runPreparation(options, (controls) =>
    prepareCsv({ file, name, out, folds, seed, allowSharedSpeakers, ...controls }),
  );
}
