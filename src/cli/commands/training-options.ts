/** @file Options of the commands that train: those of every phase of a system are the same. */

import { InvalidArgumentError } from 'commander';
import { flag, type OptionsOf, option } from '../command-definition.js';
import { corpusOptions, deviceOption, LARGEST_SEED, threadsOption, wholeNumber } from '../options.js';

/** What a command takes that trains one phase of a recipe, or all of them. */
export const trainingOptions = {
  ...corpusOptions,
  splitSeed: option(
    '<n>',
    'seed of who validates, in place of the seed of the run (the recipe key split_seed)',
    { parse: wholeNumber(0, LARGEST_SEED) },
  ),
  fold: option('<n>', 'train this fold of a cross-validation', {
    parse: wholeNumber(1),
    conflicts: ['folds'],
  }),
  folds: option('<k>', 'train all k folds', { parse: wholeNumber(2) }),
  seeds: option(
    '<list>',
    'train with each of these seeds, such as 1,2,3; a seed also draws who validates, but with --split-seed',
    { parse: parseSeeds },
  ),
  jobs: option('<n>', 'train n of the folds and seeds at a time, the cores divided among them', {
    parse: wholeNumber(1),
  }),
  threads: threadsOption('one for each core, or its part with --jobs'),
  run: option('<folder>', 'folder of the experiment (default: runs/<dataset>)'),
  dryRun: flag('print the resolved recipe, parameter counts, memory and steps, and train nothing'),
  device: deviceOption,
};

export type TrainingOptions = OptionsOf<typeof trainingOptions>;

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
