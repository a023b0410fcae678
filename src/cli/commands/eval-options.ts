/** @file Options of the commands that score runs (`eval`, `report`, `ablate`), with their parsers. */

import { InvalidArgumentError } from 'commander';
import type { Resampling, ResamplingUnit } from '../../evaluation/index.js';
import {
  backboneOption,
  choice,
  collect,
  corpusOptions,
  deviceOption,
  devicesOption,
  flag,
  jobsOption,
  type OptionsOf,
  option,
  parseSeeds,
  precisionOption,
  threadsOption,
  trainingDevicesOption,
  wholeNumber,
} from '../command-definition.js';

const RESAMPLES = { usual: 10_000, fewest: 100, most: 1_000_000 };
const RESAMPLE_SEED = 1;
/** A page with more recordings than the most opens slowly. */
const MISTAKES = { usual: 50, most: 1000 };

/** Devices, number of threads and precision. */
const computeOptions = {
  device: deviceOption,
  devices: devicesOption('share the utterances among these devices'),
  threads: threadsOption(),
  precision: precisionOption,
};

export type ComputeChoice = OptionsOf<typeof computeOptions> & { readonly backbone?: readonly string[] };

/** Selects the runs of an experiment. @param verb what happens to them, such as `score` */
function runOptions(verb: string, seeds: string) {
  return {
    fold: option('<n>', `${verb} this fold of a cross-validation`, {
      parse: wholeNumber(1),
      conflicts: ['folds'],
    }),
    folds: option('<k>', `${verb} the k folds of a cross-validation together`, { parse: wholeNumber(2) }),
    seeds: option('<list>', `${verb} the runs of these seeds (1,2,3), or all of them, ${seeds}`, {
      parse: parseSeedsOrAll,
    }),
    /** Absent: stage 2, or the phase of a folder that is itself a run. */
    stage: option('<n>', `${verb} the model of this stage (default: 2)`, { parse: parseStage }),
  };
}

/** How intervals are computed. Absent options have defaults. */
const resamplingOptions = {
  resamples: option(
    '<n>',
    `bootstrap resamples for the intervals, 0 for none (default: ${RESAMPLES.usual})`,
    { parse: parseResamples },
  ),
  resampleBy: choice<ResamplingUnit>('<unit>', 'what is drawn with replacement (default: utterance)', [
    'utterance',
    'speaker',
    'dialogue',
  ]),
  resampleSeed: option('<n>', `seed of the bootstrap (default: ${RESAMPLE_SEED})`, {
    parse: wholeNumber(0),
  }),
};

export type ResamplingOptions = OptionsOf<typeof resamplingOptions>;

export const evalOptions = {
  ...corpusOptions,
  predictions: option('<file>', 'score this CSV or JSONL file', {
    conflicts: [
      'run',
      'manifest',
      'labelMap',
      'stage',
      'fold',
      'folds',
      'seeds',
      'device',
      'devices',
      'threads',
      'precision',
      'backbone',
    ],
  }),
  compare: option<readonly string[]>('<two...>', 'compare two runs, experiments or predictions files', {
    conflicts: ['predictions', 'run', 'manifest', 'labelMap'],
  }),
  run: option<readonly string[]>(
    '<folder>',
    'the run or experiment to score (default: runs/<dataset>); repeated, several are scored together: the mean of their probabilities',
    { parse: collect },
  ),
  bundle: option('<folder>', 'score this bundle, on the corpus of --dataset or --manifest', {
    conflicts: ['run', 'predictions', 'compare', 'stage', 'fold', 'folds', 'seeds', 'backbone'],
  }),
  labelMap: option(
    '<pairs>',
    "with --manifest: maps that corpus's labels to the run's, label=label,... or a YAML file",
  ),
  noise: option<readonly number[]>(
    '<dB,...>',
    'score under noise too, at these signal-to-noise ratios, such as 20,10,5,0',
    { parse: parseLevels, conflicts: ['predictions', 'compare'] },
  ),
  noiseFrom: option('<folder>', 'take the noise from the recordings in this folder (default: pink noise)', {
    conflicts: ['predictions', 'compare'],
  }),
  transcribe: option(
    '<model>',
    'with --noise: recognise the words at every ratio, with this model, which recognised those of the corpus',
    { conflicts: ['predictions', 'compare'] },
  ),
  ...runOptions('score', 'with mean and standard deviation'),
  ...resamplingOptions,
  format: choice('<format>', 'output format (default: text)', ['text', 'json', 'csv', 'markdown', 'latex']),
  json: flag('print one JSON object, same as --format json', { conflicts: ['format'] }),
  ...computeOptions,
  backbone: backboneOption,
};

export type EvalOptions = OptionsOf<typeof evalOptions>;
export type OutputFormat = NonNullable<EvalOptions['format']>;

export const compareOptions = {
  ...corpusOptions,
  root: option('<folder>', 'where to look for experiments', { default: 'runs' }),
  against: option(
    '<folder>',
    "the experiment that others are compared with (default: that of the dataset's own recipe, else the first)",
  ),
  ...resamplingOptions,
  format: choice('<format>', 'output format (default: text)', ['text', 'json', 'markdown', 'latex']),
  json: flag('print one JSON object, same as --format json', { conflicts: ['format'] }),
  ...computeOptions,
  backbone: backboneOption,
};

export type CompareOptions = OptionsOf<typeof compareOptions>;

export const reportOptions = {
  ...corpusOptions,
  run: option('<folder>', 'the run, experiment or search to report on (default: runs/<dataset>)'),
  ...runOptions('report on', 'together'),
  out: option('<file>', 'output file, - is stdout (default: in the folder of the results)'),
  format: choice('<format>', 'output format (default: by the name of the output, else html)', [
    'html',
    'markdown',
    'md',
    'json',
  ]),
  plots: option('<folder>', 'also write the plots to this folder, as SVG files'),
  mistakes: option(
    '<n>',
    `how many of the worst mistakes to show, with their recordings, at most ${MISTAKES.most} (default: ${MISTAKES.usual})`,
    { parse: parseMistakes },
  ),
  ablations: option(
    '<folder>',
    'a folder of emoq ablate, whose tables to show (default: the one around the experiment)',
  ),
  ...computeOptions,
  backbone: backboneOption,
};

export type ReportOptions = OptionsOf<typeof reportOptions>;

export const ablateOptions = {
  ...corpusOptions,
  table: option('<n>', 'the table of the paper: 4 (inputs and Former), 5 (losses) or 6 (stage 1)', {
    parse: parseTable,
    required: true,
  }),
  folds: option('<k>', 'train and score all k folds of every row', { parse: wholeNumber(2) }),
  seeds: option('<list>', 'train and score every row with each of these seeds, such as 1,2,3', {
    parse: parseSeeds,
  }),
  run: option('<folder>', 'folder for the experiments of the rows (default: runs)'),
  jobs: jobsOption,
  json: flag('print one JSON object'),
  ...computeOptions,
  devices: trainingDevicesOption,
};

export type AblateOptions = OptionsOf<typeof ablateOptions>;

/** The output format. */
export function formatOf({ json, format }: Pick<EvalOptions, 'json' | 'format'>): OutputFormat {
  return json ? 'json' : (format ?? 'text');
}

/** The bootstrap that the options request; null for none. */
export function resamplingOf({
  resamples = RESAMPLES.usual,
  resampleBy = 'utterance',
  resampleSeed = RESAMPLE_SEED,
}: ResamplingOptions): Resampling | null {
  return resamples === 0 ? null : { resamples, unit: resampleBy, seed: resampleSeed };
}

/** How many mistakes a report shows. */
export function mistakesOf({ mistakes = MISTAKES.usual }: Pick<ReportOptions, 'mistakes'>): number {
  return mistakes;
}

/** Parser of `--seeds`: a list, or all existing ones. */
function parseSeedsOrAll(value: string): readonly number[] | 'all' {
  return value === 'all' ? value : parseSeeds(value);
}

/** Parser of `--stage`. */
/** @returns the name of the phase */
export function parseStage(value: string): string {
  if (value === '1' || value === '2') return `stage${value}`;
  throw new InvalidArgumentError('It must be 1 or 2.');
}

/** Ratios beyond these mean silence, or nothing to hear. */
const LEVELS_DB = { lowest: -50, highest: 100 };

/** Parser of `--noise`. */
function parseLevels(value: string): readonly number[] {
  const levels = value.split(',').map((text) => (text.trim() === '' ? Number.NaN : Number(text)));
  const { lowest, highest } = LEVELS_DB;
  if (!levels.every((level) => level >= lowest && level <= highest)) {
    throw new InvalidArgumentError(
      `It must be signal-to-noise ratios in dB from ${lowest} to ${highest}, such as 20,10,5,0.`,
    );
  }
  if (new Set(levels).size < levels.length) throw new InvalidArgumentError('It names a ratio twice.');
  return levels;
}

function parseResamples(value: string): number {
  const { fewest, most } = RESAMPLES;
  const number = wholeNumber(0)(value);
  if (number === 0 || (number >= fewest && number <= most)) return number;
  throw new InvalidArgumentError(`It must be 0 or a whole number from ${fewest} to ${most}.`);
}

function parseMistakes(value: string): number {
  const number = wholeNumber(0)(value);
  if (number <= MISTAKES.most) return number;
  throw new InvalidArgumentError(`It must be a whole number from 0 to ${MISTAKES.most}.`);
}

function parseTable(value: string): 4 | 5 | 6 {
  const table = ([4, 5, 6] as const).find((each) => String(each) === value);
  if (table === undefined) throw new InvalidArgumentError('It must be 4, 5 or 6.');
  return table;
}
