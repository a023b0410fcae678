/** @file `emoq ablate`: its options and help. */

import { type Command, InvalidArgumentError } from 'commander';
import {
  addCorpusOptions,
  addDeviceOption,
  addThreadsOption,
  type CorpusOptions,
  type DeviceOption,
  wholeNumber,
} from '../options.js';
import { parseSeeds } from './stage.js';

export interface AblateOptions extends CorpusOptions {
  readonly table: 4 | 5 | 6;
  readonly folds?: number;
  readonly seeds?: readonly number[];
  readonly threads?: number;
  readonly run?: string;
  readonly json?: true;
  readonly device: DeviceOption;
}

export function declare(command: Command): void {
  addCorpusOptions(command)
    .requiredOption(
      '--table <n>',
      'the table of the paper: 4 (inputs and Former), 5 (losses) or 6 (stage 1)',
      parseTable,
    )
    .option('--folds <k>', 'train and score all k folds of every row', wholeNumber(2))
    .option('--seeds <list>', 'train and score every row with each of these seeds, such as 1,2,3', parseSeeds)
    .option('--run <folder>', 'folder for the experiments of the rows (default: runs)')
    .option('--json', 'print one JSON object');
  addThreadsOption(addDeviceOption(command)).addHelpText(
    'after',
    `
Trains the rows one after the other, scores them on the test set, and prints them
beside the paper's, which are of MELD's seven classes. A row is the dataset's recipe
with a few keys changed; its experiment is <dataset>-<row> in the folder, and that of
the full system <dataset>, so that what stage1 and stage2 have trained there is used.
Intervals are bootstrap intervals over the test set; differences from the full
system are paired over its utterances, with --seeds over seeds too.
Ctrl-C saves after the step in hand; the same command goes on from there.

Example:
  emoq ablate --dataset toy4 --table 4`,
  );
}

/** What `options` do not say beside the table. */
export function missing({ dataset, recipe }: CorpusOptions): string[] {
  return dataset === undefined && recipe === undefined ? ['--dataset <name> or --recipe <file>'] : [];
}

function parseTable(value: string): 4 | 5 | 6 {
  const table = ([4, 5, 6] as const).find((each) => String(each) === value);
  if (table === undefined) throw new InvalidArgumentError('It must be 4, 5 or 6.');
  return table;
}
