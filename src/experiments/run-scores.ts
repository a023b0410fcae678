/**
 * @file Scores of runs, of several seeds together, and of predictions files (by fold if they have folds), and whether
 * existing scores are still valid.
 */

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError, pathExists, sha256OfFile } from '../base/index.js';
import {
  type EditCount,
  type Evaluation,
  type EvaluationResult,
  evaluationOf,
  evaluationResult,
  type FoldMetrics,
  foldMetrics,
  hasReference,
  indicesByFold,
  type PaperRow,
  predictionWarnings,
  type Resampling,
  readPredictions,
  readResults,
  type ScoredPrediction,
  type Scores,
  type SeedMetrics,
  seedMetrics,
  type TestNoise,
  unansweredWarnings,
  withProbe,
} from '../evaluation/index.js';
import { classificationMetrics, type Metrics } from '../evaluation/metrics/index.js';
import { trainingMajority } from '../inference/index.js';
import { readMetadata, runRecipe } from '../training/runs/index.js';
import type { ExperimentContext } from './evaluation-target.js';
import { namedRecipe, type RecipeChoice } from './named-experiment.js';
import type { SelectedRuns } from './run-selection.js';

/** Scores of runs, and the paper's figures from their recipe. */
export interface RunScores<S extends Scores = Metrics | FoldMetrics> {
  readonly evaluation: Evaluation<S>;
  readonly result: EvaluationResult;
  readonly predictions: readonly ScoredPrediction[];
  /** For each prediction, the most frequent class of its model's training set; undefined if not known. */
  readonly majority: readonly string[] | undefined;
  readonly paper: PaperRow | null;
  /** What a linear probe of the same features predicts, where all of the runs have one. */
  readonly probe?: readonly ScoredPrediction[] | undefined;
  /** The same runs under noise, if that was asked for. */
  readonly underNoise?: ScoresUnderNoise<S>;
}

/** Scores at one level of noise. */
export type NoiseScores<S extends Scores = Metrics | FoldMetrics> = RunScores<S> & {
  readonly snrDb: number;
};

export interface ScoresUnderNoise<S extends Scores = Metrics | FoldMetrics> {
  readonly noise: TestNoise;
  /** SHA-256 of what was scored, in the order of the runs; null where none is recorded. */
  readonly checkpoints: readonly (string | null)[];
  readonly levels: readonly NoiseScores<S>[];
  /** Errors of the recognised words, without noise and then at each level; absent unless they were recognised anew. */
  readonly wordErrors?: readonly EditCount[] | undefined;
}

/** The sums of the word errors of several tests at each level; undefined unless all have them. */
export function sumOfWordErrors(
  tests: readonly { readonly wordErrors?: readonly EditCount[] | undefined }[],
): readonly EditCount[] | undefined {
  const counts = tests.flatMap(({ wordErrors }) => (wordErrors === undefined ? [] : [wordErrors]));
  if (counts.length < tests.length) return undefined;
  return counts[0]?.map((_, level) => ({
    edits: counts.reduce((sum, each) => sum + each[level]!.edits, 0),
    of: counts.reduce((sum, each) => sum + each[level]!.of, 0),
  }));
}

/** Path of the combined results of several seeds under noise. */
export function seedNoiseResults(root: string, phase: string): string {
  return join(root, `${phase}-seeds-noise.json`);
}

/** Path of the combined results of several seeds. */
export function seedResults(root: string, phase: string): string {
  return join(root, `${phase}-seeds.json`);
}

/** Scores of one seed's runs. */
export type SeedScores = RunScores & { readonly seed: number };

/** Combined scores of several seeds, also under noise. @throws InputError if their labels differ */
export function seedScores(
  root: string,
  parts: readonly SeedScores[],
  resampling: Resampling | null,
): RunScores<SeedMetrics> {
  const combined = combinedScores(root, parts, resampling);
  const { underNoise } = parts[0]!;
  if (underNoise === undefined) return combined;
  const levels = underNoise.levels.map(({ snrDb }, level) => {
    const atLevel = parts.map((part) => ({ ...part, ...part.underNoise!.levels[level]! }));
    return { snrDb, ...combinedScores(root, atLevel, resampling) };
  });
  const checkpoints = parts.flatMap((part) => part.underNoise!.checkpoints);
  const wordErrors = sumOfWordErrors(parts.map((part) => part.underNoise!));
  return {
    ...combined,
    underNoise: { noise: underNoise.noise, checkpoints, levels, ...(wordErrors && { wordErrors }) },
  };
}

function combinedScores(
  root: string,
  parts: readonly SeedScores[],
  resampling: Resampling | null,
): RunScores<SeedMetrics> {
  const { result: first, paper } = parts[0]!;
  const other = parts.find(({ result }) => result.labels.join() !== first.labels.join());
  if (other) throw new InputError(`${root}: seeds ${parts[0]!.seed} and ${other.seed} have different labels`);
  const majority = parts.flatMap((part) => part.majority ?? []);
  const predictions = parts.flatMap((part) => part.predictions);
  const probes = parts.map(({ probe }) => probe);
  const probe = probes.every((each) => each !== undefined) ? probes.flat() : undefined;
  const evaluated = evaluationOf(
    seedMetrics(parts.map(({ seed, evaluation: { scores } }) => ({ seed, scores }))),
    parts.map((part) => part.predictions),
    resampling,
    majority.length === predictions.length ? majority : undefined,
  );
  const evaluation = withProbe(evaluated, probe);
  const {
    seed: _seed,
    recipe_sha256: _recipe,
    ...metadata
  } = first.metadata as Record<string, string | number>;
  const missing = parts.flatMap(({ seed, result }) =>
    (result.missing ?? []).map(({ fold }) => ({ seed, fold })),
  );
  const { name, versions, cross_corpus: crossCorpus } = first;
  const result = evaluationResult(evaluation, { name, versions, metadata, missing, crossCorpus });
  return {
    evaluation,
    result,
    predictions,
    majority: majority.length === predictions.length ? majority : undefined,
    paper,
  };
}

/**
 * Whether there are predictions newer than the training of all the runs, covering all of them.
 * @throws InputError if the results of folds are damaged
 */
export async function isScored({ folder, runs, folds }: Omit<SelectedRuns, 'phase'>): Promise<boolean> {
  const scoredMs = await timeOf(folder.predictions);
  // A run that ends after its best epoch changes only run.json.
  const files = runs.flatMap(({ checkpoint, metadata }) => [checkpoint, metadata]);
  const trainedMs = await Promise.all(files.map(timeOf));
  const isFresh = scoredMs !== undefined && trainedMs.every((ms) => ms !== undefined && ms <= scoredMs);
  if (!isFresh || folds === undefined || !(await pathExists(folder.results))) return isFresh;
  const { missing = [] } = await readResults(folder.results);
  return missing.map(({ fold }) => fold).join() === folds.missing.join();
}

/**
 * Scores from the last evaluation of runs, with intervals recomputed as requested now.
 * @throws InputError if files written by the evaluation are missing or damaged
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
      : indicesByFold(predictions).map(({ fold, indices }) => ({
          fold,
          outcomes: indices.map((index) => predictions[index]!),
        }));
  const classes: (string | undefined)[] = [];
  for (const run of runs) classes.push(await trainingMajority(recipe, (await readMetadata(run))!));
  const rows = parts.flatMap(({ outcomes }, index) => outcomes.map(() => classes[index]));
  const majority = rows.every((label) => label !== undefined) ? rows : undefined;
  const evaluation = evaluationOf(
    folds === undefined ? classificationMetrics(predictions, labels) : foldMetrics(parts, labels),
    parts.map(({ outcomes }) => outcomes),
    resampling,
    majority,
  );
  const { name, versions, metadata, missing = [] } = await readResults(folder.results);
  if (name === undefined || versions === undefined || metadata === undefined) {
    throw new InputError(
      `results ${folder.results} have no metadata (name, versions, metadata); delete the file, and score the run again with emoq eval`,
    );
  }
  const result = evaluationResult(evaluation, { name, versions, metadata, missing });
  const scored = parts.flatMap(({ outcomes }) => outcomes);
  return { evaluation, result, predictions: scored, majority, paper: recipe.paper };
}

/** When a file was last modified; undefined if there is none. */
function timeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => undefined,
  );
}

/** Scores of a predictions file. */
export interface FileScores {
  readonly evaluation: Evaluation;
  readonly result: EvaluationResult;
  readonly paper: PaperRow | null;
}

/**
 * Scores a predictions file.
 * @param choice names a recipe that defines the labels, if any
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
    metadata: { predictions: path, predictions_sha256: await sha256OfFile(path), without_reference: without },
  });
  if (without > 0) onWarning(`${without} of ${table.rows.length} rows have no reference and are not scored`);
  for (const text of predictionWarnings(table)) onWarning(`${path}: ${text}`);
  for (const text of unansweredWarnings(rows)) onWarning(text);
  return { evaluation, result, paper: recipe?.paper ?? null };
}

/** The rows of each fold. @throws InputError if only some rows have one */
function groupByFold(
  path: string,
  rows: readonly ScoredPrediction[],
): { fold: string; outcomes: ScoredPrediction[] }[] {
  if (rows.some(({ fold }) => fold === undefined)) {
    throw new InputError(`${path}: some rows have a fold and others have none; fill in the column`);
  }
  return indicesByFold(rows).map(({ fold, indices }) => ({
    fold,
    outcomes: indices.map((index) => rows[index]!),
  }));
}
