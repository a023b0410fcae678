/** @file Options that several commands share, and the parsers of their values. */

import { InvalidArgumentError } from 'commander';
import { InputError } from '../base/index.js';
import type { ChannelChoice } from '../data/audio/index.js';
import type { Recipe } from '../systems/index.js';
import { type OptionsOf, option } from './command-definition.js';

/** Where to compute; `cuda` alone is the first GPU. */
export type DeviceOption = 'auto' | 'cpu' | `cuda:${number}`;

/** Root of the feature cache, below the working directory unless EMOQ_CACHE names another folder. */
export function cacheFolder(): string {
  return process.env.EMOQ_CACHE ?? '.cache/features';
}

/** Which corpus and recipe to work on. */
export const corpusOptions = {
  dataset: option('<name>', 'a recipe or prepared corpus by name, such as toy4', { conflicts: ['recipe'] }),
  manifest: option('<file>', 'a prepared corpus by its manifest.csv'),
  recipe: option('<file>', 'a recipe of your own (YAML)'),
  set: option('<key=value>', 'change a key of the recipe; as often as needed', { parse: collect }),
};

export type CorpusOptions = OptionsOf<typeof corpusOptions>;

/** `--device` */
export const deviceOption = option('<device>', 'auto (CUDA where it is installed), cpu, cuda or cuda:N', {
  parse: parseDevice,
  default: 'auto' as DeviceOption,
});

/** `--threads` */
export function threadsOption(usual = 'one for each core') {
  return option('<n>', `threads of a run (default: ${usual})`, { parse: wholeNumber(1) });
}

/** `--channel` */
export const channelOption = option(
  '<n>',
  'of recordings with several: a number from 1, or mix (default: centre, else mix)',
);

/** @throws InputError where `--set` has no recipe to change */
export function refuseLoneOverrides({ dataset, recipe, set }: CorpusOptions): void {
  if (set === undefined || dataset !== undefined || recipe !== undefined) return;
  throw new InputError(
    `--set ${set[0]} changes a recipe, and none is named; name one with --dataset or --recipe, or leave it out`,
  );
}

/** The channel that the option names. @throws InputError when it is none. */
export async function channelOfOption(value: string | undefined): Promise<ChannelChoice | undefined> {
  if (value === undefined) return undefined;
  const { parseChannel } = await import('../data/audio/index.js');
  const channel = parseChannel(value);
  if (channel === undefined) throw new InputError(`--channel ${value} is neither a number from 1 nor mix`);
  return channel;
}

/** Loads the recipe that the options name. @throws InputError when it is wrong or none is named. */
export async function recipeOfOptions(
  options: CorpusOptions & { readonly splitSeed?: number },
): Promise<Recipe> {
  const { loadRecipe } = await import('../recipe/index.js');
  const { set = [], splitSeed } = options;
  if (splitSeed !== undefined && set.some((override) => /^\s*split_seed\s*=/.test(override))) {
    throw new InputError('--split-seed and --set split_seed say the same; leave one out');
  }
  return loadRecipe({
    dataset: options.dataset,
    path: options.recipe,
    manifest: options.manifest,
    overrides: splitSeed === undefined ? set : [...set, `split_seed=${splitSeed}`],
  });
}

/** Parser of a repeatable option. */
export function collect(value: string, earlier: readonly string[] = []): string[] {
  return [...earlier, value];
}

/** The largest seed, as the recipe's key has it. */
export const LARGEST_SEED = 2 ** 32 - 1;

/** Parser of a whole number from `minimum`. */
export function wholeNumber(minimum: number, maximum = Number.MAX_SAFE_INTEGER): (value: string) => number {
  const range = maximum < Number.MAX_SAFE_INTEGER ? `${minimum} to ${maximum}` : `${minimum}`;
  return (value) => {
    const number = Number(value);
    if (/^\d+$/.test(value) && number >= minimum && number <= maximum) return number;
    throw new InvalidArgumentError(`It must be a whole number from ${range}.`);
  };
}

function parseDevice(value: string): DeviceOption {
  if (value === 'auto' || value === 'cpu') return value;
  const index = /^cuda(?::(\d{1,2}))?$/.exec(value);
  if (index) return `cuda:${Number(index[1] ?? 0)}`;
  throw new InvalidArgumentError('It must be auto, cpu, cuda or cuda:N, such as cuda:1.');
}
