/** @file Options and help that `emoq stage1` and `emoq stage2` share. */

import { type Command, InvalidArgumentError, Option } from 'commander';
import {
  addCorpusOptions,
  addDeviceOption,
  addSplitSeedOption,
  type CorpusOptions,
  type DeviceOption,
  LARGEST_SEED,
  wholeNumber,
} from '../options.js';

export interface StageOptions extends CorpusOptions {
  readonly fold?: number;
  readonly folds?: number;
  readonly seeds?: readonly number[];
  readonly jobs?: number;
  readonly threads?: number;
  readonly run?: string;
  readonly dryRun?: true;
  readonly device: DeviceOption;
}

/** @param about what the stage does, between its options and its example. */
export function declareStage(command: Command, stage: 1 | 2, about: string): void {
  addSplitSeedOption(addCorpusOptions(command))
    .addOption(
      new Option('--fold <n>', 'train this fold of a cross-validation')
        .argParser(wholeNumber(1))
        .conflicts('folds'),
    )
    .option('--folds <k>', 'train all k folds', wholeNumber(2))
    .option(
      '--seeds <list>',
      'train with each of these seeds, such as 1,2,3; a seed also draws who validates, but with --split-seed',
      parseSeeds,
    )
    .option(
      '--jobs <n>',
      'train n of the folds and seeds at a time, the cores divided among them',
      wholeNumber(1),
    )
    .option(
      '--threads <n>',
      'threads of a run (default: one for each core, or its part with --jobs)',
      wholeNumber(1),
    )
    .option('--run <folder>', 'folder of the experiment (default: runs/<dataset>)')
    .option('--dry-run', 'print the resolved recipe, parameter counts, memory and steps, and train nothing');
  addDeviceOption(command).addHelpText(
    'after',
    `
${about}
The run goes to stage${stage}[/fold-N] in the folder of the experiment, with
--seeds to seed-N/stage${stage}[/fold-N]. Ctrl-C saves after the step in hand; the
same command goes on from there.

Example:
  emoq stage${stage} --dataset toy4 --set stage${stage}.epochs=3`,
  );
}

/** Parser of seeds, each once: `1,2,3`. */
export function parseSeeds(value: string): readonly number[] {
  const parts = value.split(',').map((part) => part.trim());
  const seeds = parts.map(Number);
  const valid = parts.every((part) => /^\d+$/.test(part)) && seeds.every((seed) => seed <= LARGEST_SEED);
  if (valid && new Set(seeds).size === seeds.length) return seeds;
  throw new InvalidArgumentError(
    'It must be different whole numbers with commas between them, such as 1,2,3.',
  );
}
