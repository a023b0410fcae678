/** @file Options of `emoq search`. */

import {
  choice,
  corpusOptions,
  deviceOption,
  devicesOption,
  flag,
  LARGEST_SEED,
  type OptionsOf,
  option,
  precisionOption,
  threadsOption,
  wholeNumber,
} from '../command-definition.js';
import { parseStage } from './eval-options.js';

/** More trials than this are likely a mistake. */
const MOST_TRIALS = 10_000;

export const searchOptions = {
  ...corpusOptions,
  space: option('<file>', 'the search space: recipe keys and their values (YAML)', { required: true }),
  trials: option('<n>', 'how many trials to train; a larger number goes on with the same search', {
    parse: wholeNumber(1, MOST_TRIALS),
    required: true,
  }),
  sampler: choice<'sobol' | 'random'>(
    '<kind>',
    'how values are drawn: evenly, or independently',
    ['sobol', 'random'],
    { default: 'sobol' as const },
  ),
  seed: option('<n>', 'seed of the values', { parse: wholeNumber(0, LARGEST_SEED), default: 1 }),
  stopping: choice<'median' | 'none'>('<rule>', 'which trials are stopped early', ['median', 'none'], {
    default: 'median' as const,
  }),
  lag: option('<n>', 'with median stopping, compare a trial with those n and more before it', {
    parse: wholeNumber(1),
    default: 4,
  }),
  fold: option('<n>', 'the fold to train on, of a recipe that is cross-validated', { parse: wholeNumber(1) }),
  stage: option('<n>', 'train up to this stage of EmoQ, and rank by it (default: all phases)', {
    parse: parseStage,
  }),
  jobs: option('<n>', 'train n trials at a time, dividing the cores among them', { parse: wholeNumber(1) }),
  threads: threadsOption('one per core, or its share with --jobs'),
  run: option('<folder>', 'folder of the search (default: runs/<dataset>-search)'),
  dryRun: flag('print the values of the trials, and train nothing'),
  json: flag('print one JSON object'),
  device: deviceOption,
  devices: devicesOption('train the trials on these devices, one on each at a time'),
  precision: precisionOption,
};

export type SearchCommandOptions = OptionsOf<typeof searchOptions>;
