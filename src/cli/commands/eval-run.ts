/** @file `emoq eval` on runs: predicts their test sets, writes predictions and results beside them, prints scores. */

import { join } from 'node:path';
import { InputError, pathExists, sha256OfFile, writeJsonAtomic } from '../../base/index.js';
import {
  classificationMetrics,
  type Evaluation,
  type EvaluationResult,
  evaluationOf,
  evaluationResult,
  type FoldMetrics,
  foldMetrics,
  type Metrics,
  type PaperRow,
  type ScoredPrediction,
  type Scores,
  type SeedMetrics,
  seedMetrics,
  writeEmbeddings,
  writePredictions,
} from '../../evaluate/index.js';
import { hasFormer } from '../../models/index.js';
import { findRun, predictTestSet, seedFolders, type TestSetPredictions } from '../../predict/index.js';
import { loadRecipe, type Recipe } from '../../recipe/index.js';
import { checkFolds, type RunFolder, runFolder, stageFolder } from '../../train/index.js';
import { withInterrupts } from '../interrupt.js';
import { type CorpusOptions, recipeOfOptions } from '../options.js';
import { note } from '../output.js';
import { type Progress, startProgress } from '../progress.js';
import { recordedVersions, warnUnfinished, withCompute } from './compute.js';
import { type EvalOptions, type ResamplingOptions, resamplingOf } from './eval.js';
import { printScores } from './scores.js';
import { experimentFolder } from './stage-run.js';
import { seedFolder } from './stage-runs.js';

/** Which run or experiment. */
export type RunChoice = CorpusOptions & Pick<EvalOptions, 'run' | 'stage'>;

/** Scores one run, or the folds of a cross-validation together, and prints the scores. */
export async function evaluateRuns(options: EvalOptions): Promise<void> {
  const root = await rootOf(options);
  const { evaluation, result, paper } =
    options.seeds === undefined ? await scoreRuns(root, options) : await scoreSeeds(root, options);
  printScores(evaluation, result, paper, options);
}

/** Scores the runs of several seeds, each as `scoreRuns` does; the results of all are written beside their folders. */
async function scoreSeeds(root: string, options: EvalOptions): Promise<RunScores<SeedMetrics>> {
  const seeds = await seedsOf(root, options);
  for (const { dir } of seeds) await foldersOf(dir, options); // a missing one is told before anything is computed
  const parts: (RunScores & { readonly seed: number })[] = [];
  for (const { seed, dir } of seeds) parts.push({ seed, ...(await scoreRuns(dir, options)) });
  const { result: first, paper } = parts[0]!;
  const other = parts.find(({ result }) => result.labels.join() !== first.labels.join());
  if (other) throw new InputError(`${root}: seeds ${parts[0]!.seed} and ${other.seed} have different labels`);
  const evaluation = evaluationOf(
    seedMetrics(parts.map(({ seed, evaluation: { scores } }) => ({ seed, scores }))),
    parts.map(({ predictions }) => predictions),
    resamplingOf(options),
  );
  const { stage, split, manifest_sha256 } = first.facts as Record<string, string | number>;
  const facts = { stage: stage!, split: split!, manifest_sha256: manifest_sha256! };
  const result = evaluationResult(evaluation, { name: first.name, versions: first.versions, facts });
  const path = join(root, `stage${options.stage}-seeds.json`);
  await writeJsonAtomic(path, result);
  note(`results over ${parts.length} seeds in ${path}`);
  return { evaluation, result, predictions: parts.flatMap(({ predictions }) => predictions), paper };
}

/** The runs of the seeds that are asked for. @throws InputError where there are none */
export async function seedsOf(
  root: string,
  { seeds }: Pick<EvalOptions, 'seeds'>,
): Promise<{ seed: number; dir: string }[]> {
  const present = await seedFolders(root);
  if (present.length === 0) {
    throw new InputError(
      `${root} holds no runs of seeds (seed-N); train with --seeds first, or leave it out`,
    );
  }
  if (seeds === 'all' || seeds === undefined) return present;
  return seeds.map((seed) => ({ seed, dir: seedFolder(root, seed) }));
}

/** What runs scored, and the paper's figures that their recipe names. */
export interface RunScores<S extends Scores = Metrics | FoldMetrics> {
  readonly evaluation: Evaluation<S>;
  readonly result: EvaluationResult;
  readonly predictions: readonly ScoredPrediction[];
  readonly paper: PaperRow | null;
}

/** Scores one run of an experiment, or its folds together; predictions and results are written beside them. */
export async function scoreRuns(
  root: string,
  options: Pick<EvalOptions, 'stage' | 'folds' | 'device'> & ResamplingOptions,
): Promise<RunScores> {
  const folders = await foldersOf(root, options);
  const tested = await withInterrupts('finishing the utterances in hand', (stop) =>
    withCompute(options.device, stop, async (compute) => {
      const results: { folder: RunFolder; test: TestSetPredictions }[] = [];
      for (const folder of folders) {
        stop.throwIfAborted();
        let progress: Progress | undefined;
        const test = await predictTestSet(folder, compute, (done, total) => {
          progress ??= startProgress({ label: `testing ${folder.dir}`, unit: 'utterances' });
          progress.update(done, total);
        }).finally(() => progress?.finish());
        warnUnfinished(folder, test.facts);
        for (const text of test.cut) note(`${folder.dir}: ${text}`);
        results.push({ folder, test });
      }
      return results;
    }),
  );
  const { recipe, labels } = tested[0]!.test;
  const scores =
    options.folds === undefined
      ? classificationMetrics(tested[0]!.test.predictions, labels)
      : foldMetrics(
          tested.map(({ test }) => ({ fold: String(test.facts.fold), outcomes: test.predictions })),
          labels,
        );
  const folder = resultsFolder(root, folders, options);
  const parts = tested.map(({ test }) => test.predictions);
  const predictions = parts.flat();
  await writePredictions(folder.predictions, labels, predictions);
  await writeEmbeddings(
    folder.predictions,
    tested.flatMap(({ test }) => test.embeddings),
  );
  // What was computed is on disk by now, whatever is wrong with the resampling that was asked for.
  const evaluation = evaluationOf(scores, parts, resamplingOf(options));
  const result = evaluationResult(evaluation, {
    name: recipe.name,
    versions: await recordedVersions(),
    facts: {
      stage: tested[0]!.test.facts.stage,
      seed: recipe.seed,
      split: options.folds === undefined ? 'test' : `${options.folds} folds`,
      manifest_sha256: tested[0]!.test.facts.manifest.sha256,
      recipe_sha256: await sha256OfFile(tested[0]!.folder.recipe),
    },
  });
  await writeJsonAtomic(folder.results, result);
  note(`predictions in ${folder.predictions}, results in ${folder.results}`);
  return { evaluation, result, predictions, paper: recipe.paper };
}

/** The run to score, or those of all folds. @throws InputError when one is missing */
export async function foldersOf(
  root: string,
  { stage, folds }: Pick<EvalOptions, 'stage' | 'folds'>,
): Promise<RunFolder[]> {
  if (stage === 1) await checkStage1(root, folds);
  if (folds === undefined) return [await findRun(root, stage)];
  const folders = [await findRun(root, stage, 1)];
  await checkFolds(await loadRecipe({ path: folders[0]!.recipe }), folds);
  for (let fold = 2; fold <= folds; fold++) folders.push(await findRun(root, stage, fold));
  return folders;
}

/** Where the results of runs lie: one run's in its own folder, a cross-validation's in the folder around the folds. */
export function resultsFolder(
  root: string,
  runs: readonly RunFolder[],
  { stage, folds }: Pick<EvalOptions, 'stage' | 'folds'>,
): RunFolder {
  return folds === undefined ? runs[0]! : runFolder(join(root, `stage${stage}`));
}

/** The run or experiment that options name. @throws InputError where they name none */
export async function rootOf(options: RunChoice): Promise<string> {
  if (options.run !== undefined) return options.run;
  if (options.dataset === undefined && options.recipe === undefined && options.manifest === undefined) {
    throw new InputError('say what to score: --dataset NAME, --run FOLDER or --predictions FILE');
  }
  const recipe = await recipeOfOptions(options);
  if (options.stage === 1) refuseUnfused(recipe, `recipe ${recipe.name}`);
  return experimentFolder(recipe, undefined);
}

/** @throws InputError where a run has no stage 1 because its stage 2 needs none */
async function checkStage1(root: string, folds: number | undefined): Promise<void> {
  const fold = folds === undefined ? undefined : 1;
  if (await pathExists(stageFolder(root, 1, fold).facts)) return;
  const { recipe } = stageFolder(root, 2, fold);
  if (await pathExists(recipe)) refuseUnfused(await loadRecipe({ path: recipe }), `the run in ${root}`);
}

function refuseUnfused(recipe: Recipe, what: string): void {
  if (hasFormer(recipe)) return;
  throw new InputError(
    `${what} has no stage 1, because without a Former (fusion is none) there is none to train; leave out --stage 1`,
  );
}
