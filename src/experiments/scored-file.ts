/** @file Scores a predictions file, by folds where it has them. */

import { InputError, sha256OfFile } from '../base/index.js';
import {
  type Evaluation,
  type EvaluationResult,
  evaluationOf,
  evaluationResult,
  foldMetrics,
  hasReference,
  type PaperRow,
  placesByFold,
  predictionWarnings,
  readPredictions,
  type ScoredPrediction,
  unansweredWarnings,
} from '../evaluation/index.js';
import { classificationMetrics } from '../evaluation/metrics/index.js';
import type { ExperimentContext } from './context.js';
import { namedRecipe, type RecipeChoice } from './named-experiment.js';

/** What a predictions file scores. */
export interface FileScores {
  readonly evaluation: Evaluation;
  readonly result: EvaluationResult;
  readonly paper: PaperRow | null;
}

/**
 * Scores a predictions file.
 * @param choice a recipe whose labels it has, where one is named
 * @throws InputError when the file cannot be scored
 */
export async function scoreFile(
  path: string,
  choice: RecipeChoice,
  { resampling, versions, onWarning }: Pick<ExperimentContext, 'resampling' | 'versions' | 'onWarning'>,
): Promise<FileScores> {
  const named = choice.dataset !== undefined || choice.recipe !== undefined;
  const recipe = named ? await namedRecipe(choice) : undefined;
  const table = await readPredictions(path, { labels: recipe?.labels, requireReference: true });
  const rows = table.rows.filter(hasReference);
  const folds = rows.some(({ fold }) => fold !== undefined) ? groupByFold(path, rows) : undefined;
  const scores = folds ? foldMetrics(folds, table.labels) : classificationMetrics(rows, table.labels);
  const parts = folds ? folds.map(({ outcomes }) => outcomes) : [rows];
  const evaluation = evaluationOf(scores, parts, resampling);
  const without = table.rows.length - rows.length;
  const result = evaluationResult(evaluation, {
    name: recipe?.name ?? path,
    versions: { emoq: versions.emoq!, node: versions.node! },
    facts: { predictions: path, predictions_sha256: await sha256OfFile(path), without_reference: without },
  });
  if (without > 0) onWarning(`${without} of ${table.rows.length} rows have no reference and are not scored`);
  for (const text of predictionWarnings(table)) onWarning(`${path}: ${text}`);
  for (const text of unansweredWarnings(rows)) onWarning(text);
  return { evaluation, result, paper: recipe?.paper ?? null };
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
