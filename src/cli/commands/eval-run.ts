/** @file `emoq eval` on runs: predicts their test sets, writes predictions and results beside them, prints scores. */

import { join } from 'node:path';
import { InputError, sha256OfFile, writeJsonAtomic } from '../../base/index.js';
import {
  classificationMetrics,
  evaluationResult,
  foldMetrics,
  type Outcome,
  type Prediction,
  writePredictions,
} from '../../evaluate/index.js';
import { findRun, predictTestSet, type TestSetPredictions } from '../../predict/index.js';
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

/** Scores one run, or the folds of a cross-validation together. */
export async function evaluateRuns(options: EvalOptions): Promise<void> {
  const root = await rootOf(options);
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
  if (options.json) printJson(result);
  else printScores(scores, recipe.paper);
}

/** The run to score, or those of all folds. @throws InputError when one is missing */
async function foldersOf(root: string, { stage, folds }: EvalOptions): Promise<RunFolder[]> {
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
