/** @file `emoq eval`: scores a run, a cross-validation, or anybody's predictions file. */

import { type Command, InvalidArgumentError, Option } from 'commander';
import { InputError } from '../../base/index.js';
import {
  addCorpusOptions,
  addDeviceOption,
  type CorpusOptions,
  type DeviceOption,
  wholeNumber,
} from '../options.js';

export interface EvalOptions extends CorpusOptions {
  readonly predictions?: string;
  readonly run?: string;
  readonly folds?: number;
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
        'manifest',
      ]),
    )
    .option('--run <folder>', 'the run to score (default: runs/<dataset>/stage2)')
    .option('--folds <k>', 'score the k folds of a cross-validation together', wholeNumber(2))
    .option('--stage <n>', 'score the model of this stage', parseStage, 2)
    .option('--json', 'print one JSON object');
  addDeviceOption(command).addHelpText(
    'after',
    `
A predictions file needs the columns reference and label. With --dataset it is
scored over that recipe's labels and shown beside the paper's row.

Example:
  emoq eval --dataset meld7 --predictions predictions.csv`,
  );
}

export async function run(options: EvalOptions): Promise<void> {
  const { predictions } = options;
  if (predictions === undefined) throw new InputError('say what to score: --predictions FILE.csv');
  const { evaluatePredictions } = await import('./eval-predictions.js');
  await evaluatePredictions(predictions, options);
}

function parseStage(value: string): 1 | 2 {
  if (value === '1' || value === '2') return value === '1' ? 1 : 2;
  throw new InvalidArgumentError('It must be 1 or 2.');
}
