/**
 * @file Scores runs: predicts their test sets and writes predictions and results. Also scores the trained rows of an
 * ablation and compares them with the full system.
 */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pathExists, sha256OfFile, writeJsonAtomic } from '../base/index.js';
import {
  type AblationScores,
  compareSeeds,
  comparisonResult,
  type EvaluationResult,
  evaluationOf,
  evaluationResult,
  foldMetrics,
  mostFrequent,
  pairSeeds,
  type Resampling,
  type ResultSource,
  type ScoredPrediction,
  type Scores,
  type SeedMetrics,
  type SeedTable,
  withProbe,
  writeEmbeddings,
  writePredictions,
} from '../evaluation/index.js';
import { classificationMetrics } from '../evaluation/metrics/index.js';
import {
  type FeatureMeans,
  finalPhaseIn,
  predictOtherCorpus,
  predictTestSet,
  seedFolder,
  type TestSetPredictions,
  unfinishedWarning,
} from '../inference/index.js';
import { phaseKeys, type RunFolder, readMetadata, runRecipe } from '../training/runs/index.js';
import type { ExperimentContext } from './evaluation-target.js';
import {
  type EvaluationTarget,
  evaluationTarget,
  type NoiseChoice,
  type TargetChoice,
  targetFolder,
} from './evaluation-target.js';
import { checkAgainstRuns, type ExperimentChoice, rootOf } from './named-experiment.js';
import {
  checkNoiseTest,
  checkpointsOf,
  type NoiseTest,
  noiseResults,
  openNoiseTest,
  writeNoiseResults,
} from './noise-test.js';
import {
  isScored,
  type RunScores,
  type SeedScores,
  scoresBefore,
  seedNoiseResults,
  seedResults,
  seedScores,
  sumOfWordErrors,
} from './run-scores.js';
import {
  foldsText,
  missingFoldsWarning,
  type RunChoice,
  type SeedRuns,
  selectSeeds,
} from './run-selection.js';

/**
 * Finds the named runs, and scores one run, the folds of a cross-validation together, or several seeds.
 * @throws InputError if they are missing or not what was asked for; InterruptedError when stopped
 */
export async function evaluateExperiment(
  choice: ExperimentChoice & TargetChoice & NoiseChoice,
  context: ExperimentContext,
): Promise<RunScores<Scores>> {
  const root = await rootOf(choice, context.onNote);
  const seeds = await selectSeeds(root, choice);
  const changed = await checkAgainstRuns(
    choice,
    seeds.flatMap(({ runs }) => runs),
  );
  if (changed !== undefined) context.onWarning(changed);
  const { runs, phase } = seeds[0]!;
  checkNoiseTest([{ name: runs[0]!.dir, recipe: await runRecipe(runs[0]!), phase }], choice);
  const target = { ...(await evaluationTarget(choice, seeds, context)), noise: choice };
  return choice.seeds === undefined
    ? scoreRuns(seeds[0]!, context, target)
    : scoreSeeds(root, seeds, context, target);
}

/** Scores the runs of several seeds, each as in `scoreRuns`; the combined results go next to their folders. */
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
  if (scores.underNoise !== undefined) {
    const noisePath = seedNoiseResults(dir, seeds[0]!.phase);
    await writeJsonAtomic(noisePath, noiseResults(scores, scores.underNoise));
    context.onNote(`results under noise in ${noisePath}`);
  }
  return scores;
}

/** Predictions of the linear probe, beside those of the run: `--compare` takes them like any other. */
const PROBE_FILE = 'linear-probe.csv';

/** Scores one run of an experiment, or its folds together, and writes predictions and results to their folder. */
export async function scoreRuns(
  selected: SeedRuns,
  context: ExperimentContext,
  target: EvaluationTarget = {},
): Promise<RunScores> {
  const missing = missingFoldsWarning(selected);
  if (missing !== undefined) context.onWarning(missing);
  const { tested, noise } = await predictRuns(selected.runs, context, target);
  const { recipe, metadata } = tested[0]!.test;
  const tests = tested.map(({ test }) => test);
  const checkpoints = checkpointsOf(tests.map((test) => test.metadata));
  return scoreTests(tests, { ...selected, noise, checkpoints }, context, target, {
    name: recipe.name,
    metadata: {
      ...phaseKeys(metadata),
      seed: recipe.seed,
      split: splitOf(selected, target),
      manifest_sha256: target.other?.metadata.manifest_sha256 ?? metadata.manifest.sha256,
      recipe_sha256: await sha256OfFile(tested[0]!.folder.recipe),
    },
  });
}

/** What was scored: `test`, `5 folds`, or a part of another corpus. */
export function splitOf({ folds }: Pick<SeedRuns, 'folds'>, { other }: EvaluationTarget): string {
  return other?.corpus.part ?? (folds === undefined ? 'test' : foldsText(folds));
}

/** What predictions are of. */
interface TestedRuns extends Pick<SeedRuns, 'folder' | 'folds'> {
  readonly noise: NoiseTest | undefined;
  /** SHA-256 of the checkpoints of all of them. */
  readonly checkpoints: readonly (string | null)[];
}

/**
 * Scores the predictions of one test set, or of each fold, and writes them and the results.
 * @param folder of the results on the runs' own test set
 * @param source what results.json says of the models; the name without the corpus
 */
export async function scoreTests(
  tests: readonly TestSetPredictions[],
  { folder: own, folds, noise, checkpoints }: TestedRuns,
  context: ExperimentContext,
  target: EvaluationTarget,
  { name, ...models }: Omit<ResultSource, 'versions' | 'missing' | 'crossCorpus'>,
): Promise<RunScores> {
  const { recipe, labels } = tests[0]!;
  const folder = await targetFolder(own, target);
  await writePredictions(
    folder.predictions,
    labels,
    tests.flatMap(({ predictions }) => predictions),
  );
  await writeEmbeddings(
    folder.predictions,
    tests.flatMap(({ embeddings }) => embeddings),
  );
  // Predictions are on disk by now, even if the requested resampling is invalid.
  const majority = majorityOf(tests);
  const source = {
    name: target.other === undefined ? name : `${name} on ${target.other.name}`,
    versions: context.versions,
    ...models,
    missing: (folds?.missing ?? []).map((fold) => ({ fold: String(fold) })),
    crossCorpus: target.other?.metadata,
  };
  const probes = tests.map(({ probe }) => probe);
  const probe = probes.every((each) => each !== undefined) ? probes.flat() : undefined;
  const probePath = join(folder.dir, PROBE_FILE);
  if (probe !== undefined) await writePredictions(probePath, labels, probe);
  else await rm(probePath, { force: true }); // those of an earlier scoring would look like this one's
  const scored = (
    rowsOf: (test: TestSetPredictions) => readonly ScoredPrediction[],
    beside?: readonly ScoredPrediction[],
  ): RunScores => {
    const parts = tests.map(rowsOf);
    const scores =
      folds === undefined
        ? classificationMetrics(parts[0]!, labels)
        : foldMetrics(
            tests.map(({ metadata }, i) => ({ fold: String(metadata.fold), outcomes: parts[i]! })),
            labels,
          );
    const evaluated = evaluationOf(
      scores,
      parts.map((rows) => drawnPart(rows, target)),
      context.resampling,
      majority,
    );
    const evaluation = withProbe(evaluated, beside);
    const result = evaluationResult(evaluation, source);
    // The paper's figures are for the recipe's own corpus.
    const paper = target.other === undefined ? recipe.paper : null;
    return {
      ...{ evaluation, result, predictions: parts.flat(), majority, paper },
      ...(beside && { probe: beside }),
    };
  };
  const clean = scored(({ predictions }) => predictions, probe);
  await writeJsonAtomic(folder.results, clean.result);
  context.onNote(`predictions in ${folder.predictions}, results in ${folder.results}`);
  if (noise === undefined) return clean;
  const underNoise = {
    noise: noise.noise,
    checkpoints,
    wordErrors: sumOfWordErrors(tests),
    levels: noise.levels.map(({ snrDb }, level) => ({
      snrDb,
      ...scored((test) => test.underNoise[level]!),
    })),
  };
  await writeNoiseResults(folder, clean, underNoise);
  context.onNote(`results under noise in ${folder.noise}`);
  return { ...clean, underNoise };
}

/** Predicts the test sets of runs, also under noise if the target asks for it. */
export async function predictRuns(
  folders: readonly RunFolder[],
  { withCompute, onNote, onWarning, onWork }: ExperimentContext,
  { manifest, other, noise: choice = {} }: EvaluationTarget,
): Promise<{
  readonly tested: readonly { readonly folder: RunFolder; readonly test: TestSetPredictions }[];
  readonly noise: NoiseTest | undefined;
}> {
  return withCompute(async (compute) => {
    const [first] = folders as [RunFolder];
    const reading = {
      recipe: await runRecipe(first),
      recogniser: (other?.corpus.manifest.info ?? (await readMetadata(first))!.manifest).recogniser,
    };
    const noise = await openNoiseTest(choice, reading, compute, { onWork, onWarning });
    const results: { folder: RunFolder; test: TestSetPredictions }[] = [];
    const probe: FeatureMeans = new Map();
    for (const folder of folders) {
      compute.stop?.throwIfAborted();
      const progress = onWork(`testing ${folder.dir}`, 'utterances');
      const onProgress = (done: number, total: number): void => progress.update(done, total);
      const options = { noise, onProgress };
      const test = await (other === undefined
        ? predictTestSet(folder, compute, { manifest, probe, ...options })
        : predictOtherCorpus(folder, other.corpus, compute, options)
      ).finally(() => progress.finish());
      const unfinished = unfinishedWarning(folder, test.metadata);
      if (unfinished !== undefined) onWarning(unfinished);
      const remarks = [...test.cut, ...(test.probeMissing === undefined ? [] : [test.probeMissing])];
      for (const text of remarks) onNote(`${folder.dir}: ${text}`);
      results.push({ folder, test });
    }
    return { tested: results, noise };
  });
}

/**
 * On another corpus every fold has predicted the same utterances, so an utterance is drawn with the predictions of all
 * folds.
 */
function drawnPart(
  rows: readonly ScoredPrediction[],
  { other }: EvaluationTarget,
): readonly ScoredPrediction[] {
  return rows.map((row) => (other === undefined ? row : { ...row, fold: undefined }));
}

/** For each prediction, the most frequent class of its model's training set; undefined if not known. */
function majorityOf(tests: readonly TestSetPredictions[]): string[] | undefined {
  const perTest = tests.map(
    ({ labels, trainingCounts }) => trainingCounts && mostFrequent(labels, trainingCounts),
  );
  if (!perTest.every((label) => label !== undefined)) return undefined;
  return tests.flatMap(({ predictions }, index) => predictions.map(() => perTest[index]!));
}

/** A trained and scored row. */
export interface ScoredRow extends Omit<AblationScores, 'fromFull'> {
  /** Folder of its experiment. */
  readonly run: string;
  /** Its predictions for each seed. */
  readonly tables: readonly SeedTable[];
}

/**
 * Scores a trained row unless that is already done.
 * @param root its experiment's folder
 */
export async function scoreRow(
  { label, paper }: Pick<AblationScores, 'label' | 'paper'>,
  root: string,
  { folds, seeds, stage: named }: Pick<RunChoice, 'folds' | 'seeds' | 'stage'>,
  context: ExperimentContext,
): Promise<ScoredRow> {
  const stage = named ?? (await finalPhaseIn(root));
  const choice = {
    stage,
    ...(folds !== undefined && { folds }),
    ...(seeds && { seeds }),
  };
  const parts: (RunScores & { readonly seed: number | null })[] = [];
  let isNew = false;
  for (const each of await selectSeeds(root, choice)) {
    const known = (await isScored(each)) && (await pathExists(each.folder.results));
    isNew ||= !known;
    const scores = known ? await scoresBefore(each, context.resampling) : await scoreRuns(each, context);
    parts.push({ seed: each.seed, ...scores });
  }
  const result =
    seeds === undefined
      ? parts[0]!.result
      : await resultOfSeeds(seedResults(root, stage), root, parts as SeedScores[], isNew, context.resampling);
  const tables = parts.map(({ seed, predictions, result: { labels } }) => ({
    seed,
    table: { path: seed === null ? root : seedFolder(root, seed), labels, declared: true, rows: predictions },
  }));
  return { label, run: root, result, paper, tables };
}

/** The rows with their differences from the full system, paired over utterances and seeds. @param full one of them */
export function ablationScores(
  rows: readonly ScoredRow[],
  full: ScoredRow,
  resampling: Resampling | null,
): (ScoredRow & AblationScores)[] {
  return rows.map((row) => {
    if (row === full) return { ...row, fromFull: null };
    const comparison = compareSeeds(pairSeeds(full.tables, row.tables), resampling);
    return { ...row, fromFull: comparisonResult(comparison, [full.label, row.label], { versions: {} }) };
  });
}

/** The combined results of several seeds, written if they are new. */
async function resultOfSeeds(
  path: string,
  root: string,
  parts: readonly SeedScores[],
  isNew: boolean,
  resampling: Resampling | null,
): Promise<EvaluationResult> {
  const { result } = seedScores(root, parts, resampling);
  if (isNew || !(await pathExists(path))) await writeJsonAtomic(path, result);
  return result;
}
