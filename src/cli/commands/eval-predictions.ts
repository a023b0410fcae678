/** @file `emoq eval --predictions`: scores a predictions file, by folds where it has them. */

import { InputError, sha256OfFile } from '../../base/index.js';
import {
  classificationMetrics,
  evaluationOf,
  evaluationResult,
  foldMetrics,
  hasReference,
  placesByFold,
  predictionDoubts,
  readPredictions,
  type ScoredPrediction,
} from '../../evaluation/index.js';
import { recipeOfOptions } from '../options.js';
import { warn } from '../terminal-output.js';
import { emoqVersion } from '../versions.js';
import { type EvalOptions, resamplingOf } from './eval-options.js';
import { printScores } from './scores.js';

/** @throws InputError when the file cannot be scored. */
export async function evaluatePredictions(path: string, options: EvalOptions): Promise<void> {
  const named = options.dataset !== undefined || options.recipe !== undefined;
  const recipe = named ? await recipeOfOptions(options) : undefined;
  const table = await readPredictions(path, { labels: recipe?.labels, requireReference: true });
  const rows = table.rows.filter(hasReference);
  const folds = rows.some(({ fold }) => fold !== undefined) ? groupByFold(path, rows) : undefined;
  const scores = folds ? foldMetrics(folds, table.labels) : classificationMetrics(rows, table.labels);
  const parts = folds ? folds.map(({ outcomes }) => outcomes) : [rows];
  const evaluation = evaluationOf(scores, parts, resamplingOf(options));
  const without = table.rows.length - rows.length;
  const result = evaluationResult(evaluation, {
    name: recipe?.name ?? path,
    versions: { emoq: emoqVersion(), node: process.versions.node },
    facts: { predictions: path, predictions_sha256: await sha256OfFile(path), without_reference: without },
  });
  if (without > 0) warn(`${without} of ${table.rows.length} rows have no reference and are not scored`);
  const unanswered = rows.filter(({ label }) => label === undefined).length;
  for (const doubt of predictionDoubts(table)) warn(`${path}: ${doubt}`);
  if (unanswered > 0) warn(`${unanswered} of ${rows.length} rows have no label and count as wrong`);
  printScores(evaluation, result, recipe?.paper ?? null, options);
}

/** The rows of each fold. @throws InputError where only some rows have one */
function groupByFold(
  path: string,
  rows: readonly ScoredPrediction[],
): { fold: string; outcomes: ScoredPrediction[] }[] {
  if (rows.some(({ fold }) => fold === undefined)) {
    throw new InputError(`${path}: some rows have a fold and others have none: fill the column`);
  }
  return placesByFold(rows).map(({ fold, places }) => ({
    fold,
    outcomes: places.map((place) => rows[place]!),
  }));
}
