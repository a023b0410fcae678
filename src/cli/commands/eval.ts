/** @file `emoq eval`: scores a run, a cross-validation, or anybody's predictions file. */

import { type Command, InvalidArgumentError, Option } from 'commander';
import {
  addCorpusOptions,
  addDeviceOption,
  type CorpusOptions,
  type DeviceOption,
  wholeNumber,
} from '../options.js';
import { parseSeeds } from './stage.js';

export interface EvalOptions extends CorpusOptions {
  readonly predictions?: string;
  readonly run?: string;
  readonly folds?: number;
  readonly seeds?: readonly number[] | 'all';
  readonly stage: 1 | 2;
  readonly json?: true;
  readonly device: DeviceOption;
}

export function declare(command: Command): void {
  addCorpusOptions(command)
    .addOption(
      new Option('--predictions <file>', 'score this CSV or JSONL file').conflicts([
        'run',
        'folds',
        'seeds',
        'manifest',
      ]),
    )
    .option('--run <folder>', 'the run or experiment to score (default: runs/<dataset>)')
    .option('--folds <k>', 'score the k folds of a cross-validation together', wholeNumber(2))
    .option(
      '--seeds <list>',
      'score the runs of these seeds (1,2,3), or of all, with mean and deviation',
      (value) => (value === 'all' ? value : parseSeeds(value)),
    )
    .option('--stage <n>', 'score the model of this stage', parseStage, 2)
    .option('--json', 'print one JSON object');
  addDeviceOption(command).addHelpText(
    'after',
    `
A predictions file needs the columns reference and label. With --dataset it is
scored over that recipe's labels and shown beside the paper's row.

Example:
  emoq eval --dataset toy4`,
  );
}

export async function run(options: EvalOptions): Promise<void> {
  const { predictions } = options;
  if (predictions !== undefined) {
    const { evaluatePredictions } = await import('./eval-predictions.js');
    return evaluatePredictions(predictions, options);
  }
  const { evaluateRuns } = await import('./eval-run.js');
  return evaluateRuns(options);
}

function parseStage(value: string): 1 | 2 {
  if (value === '1' || value === '2') return value === '1' ? 1 : 2;
  throw new InvalidArgumentError('It must be 1 or 2.');
}
