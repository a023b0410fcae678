/** @file `emoq eval`: scores a run, a cross-validation or anybody's predictions file, or compares two of them. */

import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Resampling, ResamplingUnit } from '../../evaluate/index.js';
import {
  addCorpusOptions,
  addDeviceOption,
  type CorpusOptions,
  type DeviceOption,
  wholeNumber,
} from '../options.js';
import { parseSeeds } from './stage.js';

const FORMATS = ['text', 'json', 'csv', 'markdown', 'latex'] as const;
const UNITS: readonly ResamplingUnit[] = ['utterance', 'speaker', 'dialogue'];
const RESAMPLES = { usual: 10_000, fewest: 100, most: 1_000_000 };
const RESAMPLE_SEED = 1;

export type OutputFormat = (typeof FORMATS)[number];

/** How intervals are found. What is absent has its default. */
export interface ResamplingOptions {
  readonly resamples?: number;
  readonly resampleBy?: ResamplingUnit;
  readonly resampleSeed?: number;
}

export interface EvalOptions extends CorpusOptions, ResamplingOptions {
  readonly predictions?: string;
  readonly compare?: readonly string[];
  readonly run?: string;
  readonly folds?: number;
  readonly seeds?: readonly number[] | 'all';
  readonly stage: 1 | 2;
  readonly json?: true;
  readonly format?: OutputFormat;
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
    .addOption(
      new Option('--compare <two...>', 'compare two runs, or two predictions files').conflicts([
        'predictions',
        'run',
        'seeds',
        'manifest',
      ]),
    )
    .option('--run <folder>', 'the run or experiment to score (default: runs/<dataset>)')
    .option('--folds <k>', 'score the k folds of a cross-validation together', wholeNumber(2))
    .option(
      '--seeds <list>',
      'score the runs of these seeds (1,2,3), or of all, with mean and deviation',
      parseSeedsOrAll,
    )
    .option('--stage <n>', 'score the model of this stage', parseStage, 2)
    .option(
      '--resamples <n>',
      `draws of the bootstrap behind the intervals, 0 for none (default: ${RESAMPLES.usual})`,
      parseResamples,
    )
    .addOption(
      new Option('--resample-by <unit>', 'what is drawn with replacement (default: utterance)').choices(
        UNITS,
      ),
    )
    .option('--resample-seed <n>', `seed of the bootstrap (default: ${RESAMPLE_SEED})`, wholeNumber(0))
    .addOption(new Option('--format <format>', 'how to print (default: text)').choices(FORMATS))
    .addOption(new Option('--json', 'print one JSON object, as --format json').conflicts('format'));
  addDeviceOption(command).addHelpText(
    'after',
    `
A predictions file needs the columns reference and label. With --dataset it is
scored over that recipe's labels and shown beside the paper's row. The
predictions.csv of a run is one: other formats and intervals need no new run of
the model.

Intervals are 95 % percentile bootstrap intervals over the test set. Utterances
of one speaker are alike: --resample-by speaker draws all of them together.

--compare RUN RUN (or FILE FILE) tests whether two systems differ on the same
utterances. With --folds both are cross-validations.

Example:
  emoq eval --dataset toy4`,
  );
}

export async function run(options: EvalOptions): Promise<void> {
  const { compare, predictions } = options;
  if (compare !== undefined) {
    const { compareSystems } = await import('./eval-compare.js');
    return compareSystems(compare, options);
  }
  if (predictions !== undefined) {
    const { evaluatePredictions } = await import('./eval-predictions.js');
    return evaluatePredictions(predictions, options);
  }
  const { evaluateRuns } = await import('./eval-run.js');
  return evaluateRuns(options);
}

/** How to print. */
export function formatOf({ json, format }: Pick<EvalOptions, 'json' | 'format'>): OutputFormat {
  return json ? 'json' : (format ?? 'text');
}

/** The bootstrap that options ask for; null for none. */
export function resamplingOf({
  resamples = RESAMPLES.usual,
  resampleBy = 'utterance',
  resampleSeed = RESAMPLE_SEED,
}: ResamplingOptions): Resampling | null {
  return resamples === 0 ? null : { resamples, unit: resampleBy, seed: resampleSeed };
}

/** Parser of `--seeds`: a list, or all that are there. */
export function parseSeedsOrAll(value: string): readonly number[] | 'all' {
  return value === 'all' ? value : parseSeeds(value);
}

/** Parser of `--stage`. */
export function parseStage(value: string): 1 | 2 {
  if (value === '1' || value === '2') return value === '1' ? 1 : 2;
  throw new InvalidArgumentError('It must be 1 or 2.');
}

function parseResamples(value: string): number {
  const { fewest, most } = RESAMPLES;
  const number = wholeNumber(0)(value);
  if (number === 0 || (number >= fewest && number <= most)) return number;
  throw new InvalidArgumentError(`It must be 0 or a whole number from ${fewest} to ${most}.`);
}
