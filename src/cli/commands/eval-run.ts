/** @file `emoq eval` on runs: predicts their test sets, writes predictions and results beside them, prints scores. */

import { join } from 'node:path';
import { InputError, sha256OfFile, writeJsonAtomic } from '../../base/index.js';
import {
  classificationMetrics,
  type EvaluationResult,
  evaluationResult,
  type FoldMetrics,
  foldMetrics,
  type Metrics,
  type Outcome,
  type PaperRow,
  type Prediction,
  type SeedMetrics,
  seedMetrics,
  writePredictions,
} from '../../evaluate/index.js';
import { findRun, predictTestSet, seedFolders, type TestSetPredictions } from '../../predict/index.js';
import { loadRecipe } from '../../recipe/index.js';
import { checkFolds, type RunFolder, runFolder } from '../../train/index.js';
import { withInterrupts } from '../interrupt.js';
import { recipeOfOptions } from '../options.js';
import { note, printJson } from '../output.js';
import { type Progress, startProgress } from '../progress.js';
import { recordedVersions, warnUnfinished, withCompute } from './compute.js';
import type { EvalOptions } from './eval.js';
import { printScores } from './scores.js';
import { experimentFolder } from './stage-run.js';
import { seedFolder } from './stage-runs.js';

/** Scores one run, or the folds of a cross-validation together, and prints the scores. */
export async function evaluateRuns(options: EvalOptions): Promise<void> {
  const root = await rootOf(options);
  const { result, scores, paper } =
    options.seeds === undefined ? await scoreRuns(root, options) : await scoreSeeds(root, options);
  if (options.json) printJson(result);
  else printScores(scores, paper);
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
  const scores = seedMetrics(parts);
  const { stage, split, manifest_sha256 } = first.facts as Record<string, string | number>;
  const facts = { stage: stage!, split: split!, manifest_sha256: manifest_sha256! };
  const result = evaluationResult(scores, { name: first.name, versions: first.versions, facts });
  const path = join(root, `stage${options.stage}-seeds.json`);
  await writeJsonAtomic(path, result);
  note(`results over ${parts.length} seeds in ${path}`);
  return { result, scores, paper };
}

async function seedsOf(root: string, { seeds }: EvalOptions): Promise<{ seed: number; dir: string }[]> {
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
export interface RunScores<Scores = Metrics | FoldMetrics> {
  readonly result: EvaluationResult;
  readonly scores: Scores;
  readonly paper: PaperRow | null;
}

/** Scores one run of an experiment, or its folds together; predictions and results are written beside them. */
export async function scoreRuns(
  root: string,
  options: Pick<EvalOptions, 'stage' | 'folds' | 'device'>,
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
        results.push({ folder, test });
      }
      return results;
    }),
  );
  const { recipe, labels } = tested[0]!.test;
  const scores =
    options.folds === undefined
      ? classificationMetrics(tested[0]!.test.predictions.map(scored), labels)
      : foldMetrics(
          tested.map(({ test }) => ({
            fold: String(test.facts.fold),
            outcomes: test.predictions.map(scored),
          })),
          labels,
        );
  // One run's results lie in its own folder, a cross-validation's in the folder around the folds.
  const folder =
    options.folds === undefined ? tested[0]!.folder : runFolder(join(root, `stage${options.stage}`));
  const rows = tested.flatMap(({ test }) => test.predictions);
  await writePredictions(folder.predictions, labels, rows);
  const result = evaluationResult(scores, {
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
  return { result, scores, paper: recipe.paper };
}

/** The run to score, or those of all folds. @throws InputError when one is missing */
async function foldersOf(
  root: string,
  { stage, folds }: Pick<EvalOptions, 'stage' | 'folds'>,
): Promise<RunFolder[]> {
  if (folds === undefined) return [await findRun(root, stage)];
  const folders = [await findRun(root, stage, 1)];
  await checkFolds(await loadRecipe({ path: folders[0]!.recipe }), folds);
  for (let fold = 2; fold <= folds; fold++) folders.push(await findRun(root, stage, fold));
  return folders;
}

async function rootOf(options: EvalOptions): Promise<string> {
  if (options.run !== undefined) return options.run;
  if (options.dataset === undefined && options.recipe === undefined && options.manifest === undefined) {
    throw new InputError('say what to score: --dataset NAME, --run FOLDER or --predictions FILE');
  }
  return experimentFolder(await recipeOfOptions(options), undefined);
}

function scored(prediction: Prediction): Outcome {
  return { reference: prediction.reference!, label: prediction.label };
}
