/** @file The space of a search: which recipe keys vary, over which values. */

import { z } from 'zod';
import { InputError, oneLine } from '../../base/index.js';
import { readYamlFile } from '../../data/corpora/index.js';
import { seededRandom } from '../../engine/tensor/index.js';
import { recipeKeys } from '../../recipe/index.js';
import { MOST_DIMENSIONS, shiftedSobolPoint } from './sobol.js';

const pair = (number: z.ZodNumber) => z.tuple([number, number]).refine(([low, high]) => low < high);

/** How the values of a key are drawn, by kind, and what a kind needs. */
const kinds = {
  choice: {
    schema: z.array(z.unknown()).min(2),
    needs: 'choice needs two values or more, such as {choice: [0, 64]}',
  },
  uniform: {
    schema: pair(z.number()),
    needs: 'uniform needs two numbers, the lower one first, such as {uniform: [0, 0.5]}',
  },
  log: {
    schema: pair(z.number().gt(0)),
    needs: 'log needs two numbers above 0, the lower one first, such as {log: [1e-5, 1e-3]}',
  },
  int: {
    schema: pair(z.int()),
    needs: 'int needs two whole numbers, the lower one first, such as {int: [2, 10]}',
  },
};

type Kind = keyof typeof kinds;

export type ValueRange = {
  [K in Kind]: { readonly [key in K]: z.output<(typeof kinds)[K]['schema']> };
}[Kind];

/** A range as the file has it, or what is wrong with it. */
export function parsedRange(given: unknown): ValueRange | string {
  const [entry, ...more] = Object.entries(z.record(z.string(), z.unknown()).safeParse(given).data ?? {});
  const [kind, values] = entry ?? [];
  if (kind === undefined || more.length > 0 || !Object.hasOwn(kinds, kind)) {
    return 'must be one of {choice: [a, b, ...]}, {uniform: [low, high]}, {log: [low, high]} and {int: [low, high]}';
  }
  const { schema, needs } = kinds[kind as Kind];
  const parsed = schema.safeParse(values);
  return parsed.success ? ({ [kind]: parsed.data } as ValueRange) : needs;
}

/** The keys of a search, in the order of its file, and the values of each. */
export type SearchSpace = ReadonlyMap<string, ValueRange>;

/** Values of a trial by key. */
export type TrialValues = Readonly<Record<string, unknown>>;

export type Sampler = 'sobol' | 'random';

/** Keys that decide what is compared; trials that differ in them have figures that cannot be ranked. */
const FIXED = new Set([
  ...['name', 'system', 'manifest', 'labels', 'label_map', 'id_pattern', 'paper', 'keep_checkpoints'],
  ...['folds', 'validation', 'validation_share', 'seed', 'split_seed'],
]);
const FIXED_IN_PHASES = /\.select(?:_figure)?$/;

/**
 * Reads a space: a line for each recipe key, such as `probe.learning_rate: {log: [1e-4, 1e-1]}`.
 * @param system of the recipe
 * @param untrained its phases that are not trained, whose keys would change nothing
 * @throws InputError naming file and key
 */
export async function readSpace(
  path: string,
  system: string,
  untrained: readonly string[] = [],
): Promise<SearchSpace> {
  const { value } = await readYamlFile(path, 'search space');
  const refuse = (key: string, what: string): never => {
    throw new InputError(oneLine(`${path}: ${key}: ${what}`));
  };
  const parsed = z.record(z.string(), z.unknown()).safeParse(value);
  const entries = Object.entries(parsed.data ?? {});
  if (entries.length === 0) {
    throw new InputError(
      `${path}: a search space has a line for each recipe key, such as "stage1.learning_rate: {log: [1e-6, 1e-4]}"`,
    );
  }
  const known = recipeKeys(system).map((each) => each.path);
  const space = new Map<string, ValueRange>();
  for (const [key, given] of entries) {
    if (!known.includes(key)) {
      const inner = known.find((each) => each.startsWith(`${key}.`));
      refuse(
        key,
        inner === undefined
          ? `is no key of recipes of system ${system} (emoq train --dry-run lists them)`
          : `is a section; write keys with dots, such as ${inner}`,
      );
    }
    if (FIXED.has(key.split('.')[0]!) || FIXED_IN_PHASES.test(key)) {
      refuse(key, 'decides what trials are compared by, so it is the same in all; set it in the recipe');
    }
    const phase = key.split('.')[0]!;
    if (untrained.includes(phase)) refuse(key, `changes nothing, because ${phase} is not trained`);
    const range = parsedRange(given);
    if (typeof range === 'string') refuse(key, range);
    else space.set(key, range);
  }
  return space;
}

/**
 * The values of trial `trial` from 1. They depend on nothing but the space, the sampler and the seed, so a search can
 * be continued, with more trials too.
 * @throws InputError for more keys than Sobol' sequences have dimensions here
 */
export function trialValues(
  space: SearchSpace,
  sampler: Sampler,
  seed: number,
  trial: number,
): Record<string, unknown> {
  return Object.fromEntries(
    [...space].map(([key, range], index, { length }) => [
      key,
      valueAt(range, pointOf(sampler, seed, trial, length)[index]!),
    ]),
  );
}

function pointOf(sampler: Sampler, seed: number, trial: number, dimensions: number): number[] {
  if (sampler === 'random') {
    const random = seededRandom(seed, 'search', trial);
    return Array.from({ length: dimensions }, () => random.uniform());
  }
  if (dimensions > MOST_DIMENSIONS) {
    throw new InputError(
      `the search space has ${dimensions} keys, and the sampler sobol takes up to ${MOST_DIMENSIONS}; say --sampler random`,
    );
  }
  return shiftedSobolPoint(trial - 1, dimensions, seed);
}

/** Numbers have this many digits, so that a recipe says exactly what was trained. */
const DIGITS = 4;

/** The value at a place from 0 to below 1 of a range. */
export function valueAt(range: ValueRange, place: number): unknown {
  if ('choice' in range) return range.choice[Math.floor(place * range.choice.length)];
  if ('int' in range) {
    const [low, high] = range.int;
    return low + Math.floor(place * (high - low + 1));
  }
  const [low, high] = 'log' in range ? range.log : range.uniform;
  const value =
    'log' in range ? Math.exp(Math.log(low) + place * Math.log(high / low)) : low + place * (high - low);
  return Math.min(high, Math.max(low, Number(value.toPrecision(DIGITS))));
}
