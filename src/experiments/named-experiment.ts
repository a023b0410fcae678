/** @file Finds the experiment that options name or imply, and checks that its runs match the options. */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError, pathExists } from '../base/index.js';
import { finalPhaseIn, foldRuns, refuseMissingPhase, seedFolders } from '../inference/index.js';
import { changedKeys, dumpRecipe, loadRecipe } from '../recipe/index.js';
import type { Recipe } from '../systems/index.js';
import { titleOf } from '../systems/index.js';
import { phaseFolder, type RunFolder, runRecipe } from '../training/runs/index.js';
import type { Listener } from './evaluation-target.js';
import type { RunChoice } from './run-selection.js';

/** A recipe by name or file, with overrides. */
export interface RecipeChoice {
  readonly dataset?: string;
  readonly manifest?: string;
  readonly recipe?: string;
  readonly set?: readonly string[];
}

/** Selects a run or an experiment. */
export interface ExperimentChoice extends RecipeChoice, RunChoice {
  readonly run?: string;
}

const ASK = 'say what to score: --dataset NAME, --run FOLDER or --predictions FILE';
/** Folder of experiments, unless `--run` names another. */
export const RUNS = 'runs';
/** The only cross-validation in the paper. */
const PAPER_FOLDS = 'iemocap4';
/** How many differing keys a message lists. */
const LISTED_KEYS = 6;

/**
 * The folder of the experiment or run that options name. If they name none, the one in runs that fits, or for a
 * cross-validation the paper's; `onNote` receives the choice.
 * @throws InputError if nothing is named and there is not exactly one experiment that fits
 */
export async function rootOf(options: ExperimentChoice, onNote: Listener['onNote']): Promise<string> {
  if (options.run !== undefined) return options.run;
  const { dataset, recipe: path, manifest } = options;
  if (dataset === undefined && path === undefined && manifest === undefined)
    return meantRoot(options, onNote);
  const recipe = await namedRecipe(options);
  refuseMissingPhase(recipe, options.stage, `recipe ${recipe.name}`);
  return join(RUNS, recipe.name);
}

/** The recipe that options name. @throws InputError when it is wrong, or none is named */
export function namedRecipe({ dataset, manifest, recipe, set = [] }: RecipeChoice): Promise<Recipe> {
  return loadRecipe({ dataset, path: recipe, manifest, overrides: set });
}

async function meantRoot(options: RunChoice, onNote: Listener['onNote']): Promise<string> {
  const taken = (name: string, why: string): string => {
    const root = join(RUNS, name);
    onNote(`taking ${root}, ${why}`);
    return root;
  };
  const names = (await readdir(RUNS).catch((): string[] => [])).sort();
  const found = await Promise.all(
    names.map(async (name) => ({ name, ...(await contentOf(join(RUNS, name), options.stage)) })),
  );
  const experiments = found.filter(({ runs }) => runs);
  const fitting = experiments.filter((each) => fits(each, options));
  const [only] = fitting;
  if (only !== undefined && fitting.length === 1) return taken(only.name, `the one in ${RUNS} that fits`);
  if (only !== undefined) {
    const list = fitting.map(({ name }) => join(RUNS, name)).join(', ');
    throw new InputError(`${ASK}; ${fitting.length} experiments fit: ${list}`);
  }
  if (options.folds !== undefined || options.fold !== undefined) {
    if (await pathExists(join(RUNS, PAPER_FOLDS))) return taken(PAPER_FOLDS, "the paper's cross-validation");
    throw new InputError(
      `${ASK}; no ${options.stage === undefined ? 'final phase' : titleOf(options.stage)} in ${RUNS} is cross-validated, nor is ${PAPER_FOLDS}, the paper's, trained yet (emoq train --dataset ${PAPER_FOLDS} --folds 5)`,
    );
  }
  const [single] = experiments;
  // Whether it lacks folds or seeds is reported when its runs are looked up.
  if (single !== undefined && experiments.length === 1 && options.seeds === undefined) {
    return join(RUNS, single.name);
  }
  throw new InputError(ASK);
}

interface ExperimentContent {
  /** Whether it is an experiment at all. */
  readonly runs: boolean;
  readonly plain: boolean;
  readonly folds: boolean;
  readonly seeds: boolean;
  /** Whether the runs of the seeds are cross-validated. */
  readonly seedFolds: boolean;
}

/** The contents of an experiment's folder, for a stage. */
async function contentOf(root: string, asked: string | undefined): Promise<ExperimentContent> {
  const phase = asked ?? (await finalPhaseIn(root));
  const has = async (dir: string) => ({
    plain: await pathExists(phaseFolder(dir, phase, undefined).metadata),
    folds: (await foldRuns(dir, phase)).length > 0,
  });
  const own = await has(root);
  const seeds = await Promise.all((await seedFolders(root)).map(({ dir }) => has(dir)));
  const seedFolds = seeds.some(({ folds }) => folds);
  const anySeed = seedFolds || seeds.some(({ plain }) => plain);
  return { ...own, seeds: anySeed, seedFolds, runs: own.plain || own.folds || anySeed };
}

function fits(content: ExperimentContent, { fold, folds, seeds }: RunChoice): boolean {
  const byFold = fold !== undefined || folds !== undefined;
  if (seeds !== undefined) return content.seeds && content.seedFolds === byFold;
  return byFold ? content.folds : content.plain;
}

/**
 * Checks the recipe options against the runs they select: a run can only be scored with the settings it was trained
 * with.
 * @returns a warning if the recipe of that name has changed since the first run was trained
 * @throws InputError if a run has another recipe, or was trained with a value other than that of `--set`
 */
export async function checkAgainstRuns(
  options: ExperimentChoice,
  runs: readonly RunFolder[],
): Promise<string | undefined> {
  const warnings: string[] = [];
  for (const run of runs) warnings.push(...(await checkAgainstRun(options, run)));
  return warnings[0];
}

/** @returns a warning if the recipe has changed, else nothing */
async function checkAgainstRun(options: ExperimentChoice, folder: RunFolder): Promise<string[]> {
  const { dir } = folder;
  const { dataset, recipe: file, set = [] } = options;
  const trained = await runRecipe(folder);
  const changed = changedKeys(dumpRecipe(trained), dumpRecipe(await runRecipe(folder, set)));
  if (changed.length > 0) {
    const keys = changed.map(({ key, before }) => `${key} was ${before}`);
    throw new InputError(
      `--set cannot change a trained run: in ${dir} ${list(keys)}; leave it out, or name a run that was trained with it`,
    );
  }
  if (dataset === undefined && file === undefined) return [];
  const named = await namedRecipe(options);
  const option = dataset === undefined ? `--recipe ${file}` : `--dataset ${dataset}`;
  if (named.name !== trained.name) {
    throw new InputError(
      `${option} names the recipe ${named.name}, and the run in ${dir} is of ${trained.name}; leave one of the two out`,
    );
  }
  const differing = settingsThatDiffer(trained, named, options);
  if (differing.length === 0) return [];
  const keys = differing.map(
    ({ key, before = 'absent', after = 'absent' }) => `${key} was ${before}, is ${after}`,
  );
  return [`the run in ${dir} is scored as it was trained, and not as ${option} says now: ${list(keys)}`];
}

/** Keys that affect a run's model and test set. */
function settingsThatDiffer(trained: Recipe, named: Recipe, { manifest }: ExperimentChoice) {
  // Each seed has its own. If a manifest is named, that one is scored, along with the keys derived from it.
  const apart = new Set([
    ...['seed', 'keep_checkpoints', 'paper'],
    ...(manifest === undefined ? [] : ['manifest', 'labels', 'validation']),
  ]);
  return changedKeys(dumpRecipe(trained), dumpRecipe(named)).filter(
    ({ key }) => !apart.has(key.split('.')[0]!),
  );
}

function list(keys: readonly string[]): string {
  const more = keys.length - LISTED_KEYS;
  return [...keys.slice(0, LISTED_KEYS), ...(more > 0 ? [`and ${more} more keys`] : [])].join('; ');
}
