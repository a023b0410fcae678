/** @file The files of a search: search.json and recipe.yaml say which it is, the others what has come of it. */

import {
  InputError,
  pathExists,
  readJson,
  readTextFile,
  writeFileAtomic,
  writeJsonAtomic,
} from '../../base/index.js';
import { formatCsv } from '../../data/tables/index.js';
import { dumpRecipe, recipeDifferences, valueText } from '../../recipe/index.js';
import { searchFiles } from './saved-search.js';
import {
  bestRecipe,
  bestTrial,
  type RankingFigure,
  ranked,
  type SearchPlan,
  type TrialResult,
} from './trials.js';

/** The trials of a search, the best first. */
export interface SearchOutcome {
  readonly figure: RankingFigure;
  readonly results: readonly TrialResult[];
  /** Of those that were trained to their end. */
  readonly best: TrialResult | undefined;
}

/** What makes two searches the same: their trials, and when these are stopped. */
function identityOf({ space, sampler, seed, phase, fold, stopping, lag }: SearchPlan, figure: RankingFigure) {
  return {
    ...{ phase, fold: fold ?? null, figure: figure.key, sampler, seed, stopping, lag },
    space: Object.fromEntries(space),
  };
}

/** @throws InputError if there is another search in the folder */
export async function requireSameSearch(plan: SearchPlan, figure: RankingFigure): Promise<void> {
  const { root, recipe } = plan;
  if (!(await pathExists(searchFiles(root).search))) return;
  const before = (await readJson(searchFiles(root).search, 'search')) as Readonly<Record<string, unknown>>;
  const now: Readonly<Record<string, unknown>> = identityOf(plan, figure);
  const differences = Object.keys(now)
    .filter((key) => JSON.stringify(before[key]) !== JSON.stringify(now[key]))
    .map((key) =>
      key === 'space'
        ? 'the space has changed'
        : `${key} was ${JSON.stringify(before[key])}, is ${JSON.stringify(now[key])}`,
    );
  const recipeThen = await readTextFile(searchFiles(root).recipe, 'recipe');
  differences.push(...recipeDifferences(recipeThen, dumpRecipe(recipe)));
  if (differences.length === 0) return;
  throw new InputError(
    `${root} holds another search: ${differences.join('; ')}. Use another --run folder, or delete this one`,
  );
}

export async function writeSearch(plan: SearchPlan, figure: RankingFigure): Promise<void> {
  const { root, recipe } = plan;
  if (await pathExists(searchFiles(root).search)) return;
  await writeFileAtomic(searchFiles(root).recipe, dumpRecipe(recipe));
  await writeJsonAtomic(searchFiles(root).search, identityOf(plan, figure));
}

/** Writes trials.json, trials.csv and, once a trial is finished, best.yaml. */
export async function writeTrials(
  plan: SearchPlan,
  figure: RankingFigure,
  results: readonly (TrialResult | undefined)[],
): Promise<void> {
  const known = results.filter((each) => each !== undefined);
  const rows = ranked(known, figure);
  const best = bestTrial(known, figure);
  const { root, space } = plan;
  await writeJsonAtomic(
    searchFiles(root).trials,
    searchObject(plan, { figure, results: rows, best }, results.length),
  );
  const keys = [...space.keys()];
  await writeFileAtomic(
    searchFiles(root).table,
    formatCsv(
      ['trial', 'status', figure.key, 'epoch', 'epochs', ...keys],
      rows.map(({ trial, status, best: own, figures }) => [
        ...[String(trial.number), status, own === null ? '' : String(own.value)],
        ...[own === null ? '' : String(own.epoch), String(figures.length)],
        ...keys.map((key) => valueText(trial.values[key])),
      ]),
    ),
  );
  if (best !== undefined) await writeFileAtomic(searchFiles(root).best, bestRecipe(best, plan, figure));
}

/** The content of trials.json. @param planned how many trials the command trains, with those that have no result yet */
export function searchObject(
  plan: SearchPlan,
  { figure, results, best }: SearchOutcome,
  planned = results.length,
) {
  return {
    name: plan.recipe.name,
    ...identityOf(plan, figure),
    higher_is_better: figure.higherIsBetter,
    planned_trials: planned,
    best: best?.trial.number ?? null,
    trials: results.map(({ trial, status, best: own, figures, epochs }) => ({
      trial: trial.number,
      status,
      value: own?.value ?? null,
      epoch: own?.epoch ?? null,
      ...{ epochs: figures.length, planned_epochs: epochs },
      values: trial.values,
      validation: figures,
    })),
  };
}
