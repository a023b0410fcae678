/** @file Scores runs: predicts their test sets, and writes predictions and results beside them. */

import { join } from 'node:path';
import { sha256OfFile, writeJsonAtomic } from '../base/index.js';
import {
  evaluationOf,
  evaluationResult,
  foldMetrics,
  mostFrequent,
  type ScoredPrediction,
  type Scores,
  type SeedMetrics,
  writeEmbeddings,
  writePredictions,
} from '../evaluation/index.js';
import { classificationMetrics } from '../evaluation/metrics/index.js';
import {
  predictOtherCorpus,
  predictTestSet,
  type TestSetPredictions,
  unfinishedWarning,
} from '../inference/index.js';
import type { RunFolder } from '../training/runs/index.js';
import { phaseKeys } from '../training/runs/index.js';
import type { ExperimentContext } from './context.js';
import {
  type EvaluationTarget,
  evaluationTarget,
  type TargetChoice,
  targetFolder,
} from './evaluation-target.js';
import { checkAgainstRuns, type ExperimentChoice, rootOf } from './named-experiment.js';
import { type RunScores, type SeedScores, seedResults, seedScores } from './run-scores.js';
import { foldsText, missingFoldsWarning, type SeedRuns, selectSeeds } from './run-selection.js';

/**
 * Finds the runs that are named, and scores one run, the folds of a cross-validation together, or several seeds.
 * @throws InputError where they are not there or not what is asked for; InterruptedError when it is stopped
 */
export async function evaluateExperiment(
  choice: ExperimentChoice & TargetChoice,
  context: ExperimentContext,
): Promise<RunScores<Scores>> {
  const root = await rootOf(choice, context.onNote);
  const seeds = await selectSeeds(root, choice);
  const changed = await checkAgainstRuns(
    choice,
    seeds.flatMap(({ runs }) => runs),
  );
  if (changed !== undefined) context.onWarning(changed);
  const target = await evaluationTarget(choice, seeds, context);
  return choice.seeds === undefined
    ? scoreRuns(seeds[0]!, context, target)
    : scoreSeeds(root, seeds, context, target);
}

/** Scores the runs of several seeds, each as `scoreRuns` does; the results of all are written beside their folders. */
async function scoreSeeds(
  root: string,
  seeds: readonly SeedRuns[],
  context: ExperimentContext,
  target: EvaluationTarget,
): Promise<RunScores<SeedMetrics>> {
  const parts: SeedScores[] = [];
  for (const each of seeds) parts.push({ seed: each.seed!, ...(await scoreRuns(each, context, target)) });
  const scores = seedScores(root, parts, context.resampling);
  const dir = target.other === undefined ? root : join(root, 'cross', target.other.name);
  const path = seedResults(dir, seeds[0]!.phase);
  await writeJsonAtomic(path, scores.result);
  context.onNote(`results over ${parts.length} seeds in ${path}`);
  return scores;
}

/** Scores one run of an experiment, or its folds together; predictions and results are written beside them. */
export async function scoreRuns(
  selected: SeedRuns,
  context: ExperimentContext,
  target: EvaluationTarget = {},
): Promise<RunScores> {
  const missing = missingFoldsWarning(selected);
  if (missing !== undefined) context.onWarning(missing);
  const tested = await predictRuns(selected.runs, context, target);
  const { recipe, labels } = tested[0]!.test;
  const { folds } = selected;
  const scores =
    folds === undefined
      ? classificationMetrics(tested[0]!.test.predictions, labels)
      : foldMetrics(
          tested.map(({ test }) => ({ fold: String(test.metadata.fold), outcomes: test.predictions })),
          labels,
        );
  const folder = await targetFolder(selected.folder, target);
  const predictions = tested.flatMap(({ test }) => test.predictions);
  await writePredictions(folder.predictions, labels, predictions);
  await writeEmbeddings(
    folder.predictions,
    tested.flatMap(({ test }) => test.embeddings),
  );
  // What was computed is on disk by now, whatever is wrong with the resampling that was asked for.
  const majority = majorityOf(tested.map(({ test }) => test));
  const evaluation = evaluationOf(
    scores,
    tested.map(({ test }) => drawnParts(test, target)),
    context.resampling,
    majority,
  );
  const { metadata } = tested[0]!.test;
  const result = evaluationResult(evaluation, {
    name: target.other === undefined ? recipe.name : `${recipe.name} on ${target.other.name}`,
    versions: context.versions,
    facts: {
      ...phaseKeys(metadata),
      seed: recipe.seed,
      split: target.other?.corpus.part ?? (folds === undefined ? 'test' : foldsText(folds)),
      manifest_sha256: target.other?.metadata.manifest_sha256 ?? metadata.manifest.sha256,
      recipe_sha256: await sha256OfFile(tested[0]!.folder.recipe),
    },
    missing: (folds?.missing ?? []).map((fold) => ({ fold: String(fold) })),
    crossCorpus: target.other?.metadata,
  });
  await writeJsonAtomic(folder.results, result);
  context.onNote(`predictions in ${folder.predictions}, results in ${folder.results}`);
  // The paper's figures are of the recipe's own corpus.
  return {
    evaluation,
    result,
    predictions,
    majority,
    paper: target.other === undefined ? recipe.paper : null,
  };
}

async function predictRuns(
  folders: readonly RunFolder[],
  { withCompute, onNote, onWarning, onPrediction }: ExperimentContext,
  { manifest, other }: EvaluationTarget,
): Promise<{ folder: RunFolder; test: TestSetPredictions }[]> {
  return withCompute(async (compute) => {
    const results: { folder: RunFolder; test: TestSetPredictions }[] = [];
    for (const folder of folders) {
      compute.stop?.throwIfAborted();
      const progress = onPrediction(folder.dir);
      const onProgress = (done: number, total: number): void => progress.update(done, total);
      const test = await (other === undefined
        ? predictTestSet(folder, compute, { manifest, onProgress })
        : predictOtherCorpus(folder, other.corpus, compute, { onProgress })
      ).finally(() => progress.finish());
      const unfinished = unfinishedWarning(folder, test.metadata);
      if (unfinished !== undefined) onWarning(unfinished);
      for (const text of test.cut) onNote(`${folder.dir}: ${text}`);
      results.push({ folder, test });
    }
    return results;
  });
}

/** On another corpus every fold has predicted the same utterances: one is drawn with the predictions of all of them. */
function drawnParts({ predictions }: TestSetPredictions, { other }: EvaluationTarget): ScoredPrediction[] {
  return predictions.map((row) => (other === undefined ? row : { ...row, fold: undefined }));
}

/** For each prediction, the most frequent class in its model's training; undefined where that is not known. */
function majorityOf(tests: readonly TestSetPredictions[]): string[] | undefined {
  const perTest = tests.map(
    ({ labels, trainingCounts }) => trainingCounts && mostFrequent(labels, trainingCounts),
  );
  if (!perTest.every((label) => label !== undefined)) return undefined;
  return tests.flatMap(({ predictions }, index) => predictions.map(() => perTest[index]!));
}
