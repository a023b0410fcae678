/** @file What runs scored when they were scored before, and whether that still holds. */

import { stat } from 'node:fs/promises';
import { InputError, pathExists } from '../base/index.js';
import {
  classificationMetrics,
  evaluationOf,
  evaluationResult,
  foldMetrics,
  hasReference,
  placesByFold,
  type Resampling,
  readPredictions,
  readResults,
} from '../evaluation/index.js';
import { trainingMajority } from '../inference/index.js';
import { readFacts, runRecipe } from '../train/run/index.js';
import type { RunScores } from './run-scores.js';
import type { SelectedRuns } from './run-selection.js';

/**
 * True where predictions are there that were made after the training of all the runs, and of all of them.
 * @throws InputError where the results of folds are damaged
 */
export async function isScored({ folder, runs, folds }: Omit<SelectedRuns, 'stage'>): Promise<boolean> {
  const scoredMs = await timeOf(folder.predictions);
  // A run that ends after its best epoch changes run.json alone.
  const files = runs.flatMap(({ checkpoint, facts }) => [checkpoint, facts]);
  const trainedMs = await Promise.all(files.map(timeOf));
  const isFresh = scoredMs !== undefined && trainedMs.every((ms) => ms !== undefined && ms <= scoredMs);
  if (!isFresh || folds === undefined || !(await pathExists(folder.results))) return isFresh;
  const { missing = [] } = await readResults(folder.results);
  return missing.map(({ fold }) => fold).join() === folds.missing.join();
}

/**
 * What runs scored when they were scored last, with intervals as they are asked for now.
 * @throws InputError where what scoring wrote is missing or damaged
 */
export async function scoresBefore(
  { runs, folder, folds }: SelectedRuns,
  resampling: Resampling | null,
): Promise<RunScores> {
  const recipe = await runRecipe(runs[0]!);
  const { labels } = recipe;
  const table = await readPredictions(folder.predictions, { labels, requireReference: true });
  const predictions = table.rows.filter(hasReference);
  const parts =
    folds === undefined
      ? [{ fold: '', outcomes: predictions }]
      : placesByFold(predictions).map(({ fold, places }) => ({
          fold,
          outcomes: places.map((place) => predictions[place]!),
        }));
  const classes: (string | undefined)[] = [];
  for (const run of runs) classes.push(await trainingMajority(recipe, (await readFacts(run))!));
  const rows = parts.flatMap(({ outcomes }, index) => outcomes.map(() => classes[index]));
  const majority = rows.every((label) => label !== undefined) ? rows : undefined;
  const evaluation = evaluationOf(
    folds === undefined ? classificationMetrics(predictions, labels) : foldMetrics(parts, labels),
    parts.map(({ outcomes }) => outcomes),
    resampling,
    majority,
  );
  const { name, versions, facts, missing = [] } = await readResults(folder.results);
  if (name === undefined || versions === undefined || facts === undefined) {
    throw new InputError(
      `results ${folder.results} do not say what they were made with (name, versions, facts); delete the file, and score the run again with emoq eval`,
    );
  }
  const result = evaluationResult(evaluation, { name, versions, facts, missing });
  const scored = parts.flatMap(({ outcomes }) => outcomes);
  return { evaluation, result, predictions: scored, majority, paper: recipe.paper };
}

/** When a file was last changed; undefined where there is none. */
function timeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => undefined,
  );
}
