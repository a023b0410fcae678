/** @file Reads a search from the files in its folder, and checks that they belong together. */

import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { InputError, oneLine, pathExists, readJson } from '../../base/index.js';
import { type Recipe, systemOf } from '../../systems/index.js';
import { readTrial, runRecipe, runRecipeText } from '../../training/runs/index.js';
import { parsedRange, type SearchSpace, type TrialValues, type ValueRange } from './space.js';
import { type RankingFigure, rankingFigure } from './trials.js';

/** What search.json says: which search it is. */
const identitySchema = z.object({
  phase: z.string(),
  fold: z.int().min(1).nullable(),
  figure: z.string(),
  sampler: z.enum(['sobol', 'random']),
  seed: z.int().min(0),
  stopping: z.enum(['median', 'none']),
  lag: z.int().min(1),
  space: z.record(z.string(), z.unknown()),
});

const trialSchema = z.object({
  trial: z.int().min(1),
  status: z.enum(['finished', 'stopped', 'failed']),
  value: z.number().nullable(),
  epoch: z.int().min(1).nullable(),
  epochs: z.int().min(0),
  planned_epochs: z.int().min(1),
  values: z.record(z.string(), z.unknown()),
  validation: z.array(z.number().nullable()),
});

const trialsSchema = identitySchema.extend({
  /** Absent in files of earlier versions. */
  planned_trials: z.int().min(1).optional(),
  best: z.int().min(1).nullable(),
  trials: z.array(trialSchema),
});

/** A trial that has ended. */
export interface SavedTrial {
  readonly number: number;
  readonly status: 'finished' | 'stopped' | 'failed';
  /** The figure that it is ranked by, and the epoch that has it. */
  readonly best: { readonly value: number; readonly epoch: number } | null;
  readonly plannedEpochs: number;
  readonly values: TrialValues;
  /** The validation figure of each epoch that was trained; null where there is none. */
  readonly validation: readonly (number | null)[];
}

export interface SavedSearch {
  /** The recipe that trials change, and its text. */
  readonly recipe: Recipe;
  readonly recipeText: string;
  readonly phase: string;
  readonly fold: number | null;
  readonly figure: RankingFigure;
  readonly sampler: 'sobol' | 'random';
  readonly seed: number;
  readonly stopping: 'median' | 'none';
  readonly lag: number;
  readonly space: SearchSpace;
  /** Those that have ended, the best first. */
  readonly trials: readonly SavedTrial[];
  /** Number of the best that was trained to its end. */
  readonly best: number | null;
  /** Numbers of trials that have begun and have no result yet. */
  readonly unfinished: readonly number[];
  /** How many trials the last command was to train; null if no file says it. */
  readonly planned: number | null;
}

/** Files in the folder of a search, by what they hold. */
export function searchFiles(root: string) {
  return {
    search: join(root, 'search.json'),
    recipe: join(root, 'recipe.yaml'),
    trials: join(root, 'trials.json'),
    table: join(root, 'trials.csv'),
    best: join(root, 'best.yaml'),
  };
}

/** Whether a folder holds a search: no other folder has its file. */
export function isSearch(root: string): Promise<boolean> {
  return pathExists(searchFiles(root).search);
}

/**
 * A search as far as it has come, without the trials' own files.
 * @throws InputError, one line, if a file is missing or damaged, or if the files are of different searches
 */
export async function readSearch(root: string): Promise<SavedSearch> {
  const files = searchFiles(root);
  const { space: ranges, figure: key, ...identity } = await checkedFile(files.search, identitySchema);
  const recipe = await runRecipe(files);
  if (!systemOf(recipe).phases(recipe).includes(identity.phase)) {
    throw notOurs(files.search, `phase: ${files.recipe} has no ${identity.phase}`);
  }
  const figure = rankingFigure(recipe, identity.phase);
  if (figure.key !== key) {
    throw notOurs(files.search, `figure: is ${key}, and ${files.recipe} selects by ${figure.key}`);
  }
  const space = spaceOf(files.search, ranges);
  const search = { recipe, recipeText: await runRecipeText(files), ...identity, figure, space };
  if (!(await pathExists(files.trials))) {
    // The first trial has not ended.
    return {
      ...search,
      ...{ trials: [], best: null, planned: null },
      unfinished: await unfinishedIn(root, [], null),
    };
  }
  const {
    best,
    planned_trials: planned = null,
    trials: listed,
    ...own
  } = await checkedFile(files.trials, trialsSchema);
  if (!isDeepStrictEqual(own, { ...identity, figure: key, space: ranges })) {
    throw notOurs(files.trials, `it is of another search than ${files.search}`);
  }
  const trials = listed.map(savedTrial);
  const problem = trialProblem(listed, space) ?? rankingProblem(trials, best, figure, planned);
  if (problem !== undefined) throw notOurs(files.trials, problem);
  return { ...search, trials, best, planned, unfinished: await unfinishedIn(root, trials, planned) };
}

async function checkedFile<Schema extends z.ZodType>(
  path: string,
  schema: Schema,
): Promise<z.output<Schema>> {
  const parsed = schema.safeParse(await readJson(path, 'search'), {
    error: ({ input }) => (input === undefined ? 'is missing' : undefined),
  });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const key = issue!.path.join('.');
  throw notOurs(path, key === '' ? issue!.message : `${key}: ${issue!.message}`);
}

function notOurs(path: string, problem: string): InputError {
  const remedy =
    basename(path) === 'trials.json'
      ? 'run the same search again, which writes it anew from its trials'
      : 'restore a good copy, or search again in another folder';
  return new InputError(oneLine(`${path} is damaged, or not of emoq search: ${problem}; ${remedy}`));
}

function spaceOf(path: string, ranges: Readonly<Record<string, unknown>>): SearchSpace {
  const space = new Map<string, ValueRange>();
  for (const [key, given] of Object.entries(ranges)) {
    const range = parsedRange(given);
    if (typeof range === 'string') throw notOurs(path, `space.${key}: ${range}`);
    space.set(key, range);
  }
  if (space.size === 0) throw notOurs(path, 'space: has no keys');
  return space;
}

function savedTrial(listed: z.infer<typeof trialSchema>): SavedTrial {
  const { trial: number, status, value, epoch, planned_epochs: plannedEpochs, values, validation } = listed;
  const best = value === null || epoch === null ? null : { value, epoch };
  return { number, status, best, plannedEpochs, values, validation };
}

/** What no search would have written of a trial; undefined if there is nothing. */
function trialProblem(
  listed: readonly z.infer<typeof trialSchema>[],
  space: SearchSpace,
): string | undefined {
  const seen = new Set<number>();
  for (const { trial, value, epoch, epochs, planned_epochs: planned, values, validation } of listed) {
    if (seen.has(trial)) return `trial ${trial} is listed twice`;
    seen.add(trial);
    if ((value === null) !== (epoch === null)) return `trial ${trial}: value and epoch do not fit together`;
    if (validation.length !== epochs || epochs > planned || (epoch ?? 0) > epochs) {
      return `trial ${trial}: its figures are not those of ${epochs} epochs`;
    }
    if (Object.keys(values).length !== space.size) return `trial ${trial}: values are not those of the space`;
    for (const [key, range] of space) {
      if (!isWithin(range, values[key])) return `trial ${trial}: ${key} is not in the space`;
    }
  }
  return undefined;
}

function isWithin(range: ValueRange, value: unknown): boolean {
  if ('choice' in range) return range.choice.some((each) => isDeepStrictEqual(each, value));
  const [low, high] = 'log' in range ? range.log : 'int' in range ? range.int : range.uniform;
  if ('int' in range && !Number.isInteger(value)) return false;
  return typeof value === 'number' && value >= low && value <= high;
}

/** Trials that are not in their order, or another best one than theirs. */
function rankingProblem(
  trials: readonly SavedTrial[],
  best: number | null,
  { higherIsBetter }: RankingFigure,
  planned: number | null,
): string | undefined {
  const sign = higherIsBetter ? 1 : -1;
  const rank = (trial: SavedTrial): number =>
    trial.best === null ? Number.NEGATIVE_INFINITY : sign * trial.best.value;
  const isOrdered = trials.every((trial, index) => {
    const before = trials[index - 1];
    return before === undefined || rank(before) >= rank(trial);
  });
  if (!isOrdered) return 'the trials are not in the order of their figures';
  const first = trials.find((trial) => trial.status === 'finished' && trial.best !== null);
  if ((first?.number ?? null) !== best) {
    return `best is ${best}, and the first finished trial is ${first?.number ?? null}`;
  }
  if (planned !== null && trials.some(({ number }) => number > planned)) {
    return `planned_trials is ${planned}, and there are later trials`;
  }
  return undefined;
}

/** Trials that have a folder and no result, among those of the last command. */
async function unfinishedIn(
  root: string,
  trials: readonly SavedTrial[],
  planned: number | null,
): Promise<number[]> {
  const ended = new Set(trials.map(({ number }) => number));
  const numbers: number[] = [];
  for (const name of await readdir(root)) {
    const number = Number(/^trial-([1-9]\d*)$/.exec(name)?.[1] ?? Number.NaN);
    if (Number.isNaN(number) || ended.has(number) || number > (planned ?? number)) continue;
    if ((await readTrial(join(root, name))) !== undefined) numbers.push(number);
  }
  return numbers.sort((a, b) => a - b);
}
