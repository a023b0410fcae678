/** @file `emoq report`: its options and help. */

import { type Command, InvalidArgumentError, Option } from 'commander';
import type { RunChoice } from '../../experiments/index.js';
import {
  addCorpusOptions,
  addDeviceOption,
  addThreadsOption,
  type CorpusOptions,
  wholeNumber,
} from '../options.js';
import { type ComputeChoice, parseSeedsOrAll, parseStage } from './eval-options.js';

export interface ReportOptions extends CorpusOptions, RunChoice, ComputeChoice {
  readonly run?: string;
  readonly out?: string;
  readonly plots?: string;
  readonly mistakes: number;
  readonly ablations?: string;
}

/** More recordings than this make a page that takes long to open. */
const MOST_MISTAKES = 1000;

export function declare(command: Command): void {
  addCorpusOptions(command)
    .option('--run <folder>', 'the run or experiment to report on (default: runs/<dataset>)')
    .addOption(
      new Option('--fold <n>', 'report on this fold of a cross-validation')
        .argParser(wholeNumber(1))
        .conflicts('folds'),
    )
    .option('--folds <k>', 'report on the k folds of a cross-validation together', wholeNumber(2))
    .option(
      '--seeds <list>',
      'report on the runs of these seeds (1,2,3), or of all, together',
      parseSeedsOrAll,
    )
    .option('--stage <n>', 'report on the model of this stage (default: 2)', parseStage)
    .option('--out <file>', 'where the page goes, - is stdout (default: beside the results)')
    .option('--plots <folder>', 'write the plots there too, as SVG files')
    .option(
      '--mistakes <n>',
      `how many of the worst mistakes to show, with their recordings, at most ${MOST_MISTAKES}`,
      parseMistakes,
      50,
    )
    .option(
      '--ablations <folder>',
      'a folder of emoq ablate, whose tables to show (default: the one around the experiment)',
    );
  addThreadsOption(addDeviceOption(command)).addHelpText(
    'after',
    `
Writes one HTML file that needs no network: scores with intervals beside the
paper's, confusion, calibration, training curves, a map of the embeddings, the
worst mistakes to listen to, ablations, the recipe and the prompt. A run that has
not been scored since it was trained is scored first, as by emoq eval.

Example:
  emoq report --run runs/toy4 --out toy4.html`,
  );
}

function parseMistakes(value: string): number {
  const number = wholeNumber(0)(value);
  if (number <= MOST_MISTAKES) return number;
  throw new InvalidArgumentError(`It must be a whole number from 0 to ${MOST_MISTAKES}.`);
}
