/** @file Options and help that `emoq stage1` and `emoq stage2` share. */

import { type Command, Option } from 'commander';
import {
  addCorpusOptions,
  addDeviceOption,
  type CorpusOptions,
  type DeviceOption,
  wholeNumber,
} from '../options.js';

export interface StageOptions extends CorpusOptions {
  readonly fold?: number;
  readonly folds?: number;
  readonly run?: string;
  readonly dryRun?: true;
  readonly device: DeviceOption;
}

/** @param about what the stage does, between its options and its example. */
export function declareStage(command: Command, stage: 1 | 2, about: string): void {
  addCorpusOptions(command)
    .addOption(
      new Option('--fold <n>', 'train this fold of a cross-validation')
        .argParser(wholeNumber(1))
        .conflicts('folds'),
    )
    .option('--folds <k>', 'train all k folds, one after the other', wholeNumber(2))
    .option('--run <folder>', 'folder of the experiment (default: runs/<dataset>)')
    .option('--dry-run', 'print the resolved recipe, parameter counts, memory and steps, and train nothing');
  addDeviceOption(command).addHelpText(
    'after',
    `
${about}
The run goes to stage${stage}[/fold-N] in the folder of the experiment.
Ctrl-C saves after the step in hand; the same command goes on from there.

Example:
  emoq stage${stage} --dataset toy4 --set stage${stage}.epochs=3`,
  );
}
