/** @file `emoq eval` on runs: predicts test sets, writes predictions and results beside the runs, prints scores. */

import { join } from 'node:path';
import { InputError, sha256OfFile, writeJsonAtomic } from '../../base/index.js';
import {
  classificationMetrics,
  type Evaluation,
  type EvaluationResult,
  evaluationOf,
  evaluationResult,
  type FoldMetrics,
  foldMetrics,
  hasReference,
  type Metrics,
  mostFrequent,
  type PaperRow,
  placesByFold,
  readPredictions,
  readResults,
  type ScoredPrediction,
  type Scores,
  type SeedMetrics,
  seedMetrics,
  writeEmbeddings,
  writePredictions,
} from '../../evaluation/index.js';
import {
  predictOtherCorpus,
  predictTestSet,
  type TestSetPredictions,
  trainingMajority,
} from '../../inference/index.js';
import { phaseKeys, type RunFolder, readMetadata, runRecipe } from '../../training/runs/index.js';
import { withInterrupts } from '../interrupt.js';
import { type Progress, startProgress } from '../progress.js';
import { note } from '../terminal-output.js';
import { recordedVersions } from '../versions.js';
import { warnUnfinished, withCompute } from './compute.js';
import {
  type ComputeChoice,
  type EvalOptions,
  type ResamplingOptions,
  resamplingOf,
} from './eval-options.js';
import { type EvaluationTarget, evaluationTarget, targetFolder } from './eval-target.js';
import { checkAgainstRuns, rootOf } from './named-experiment.js';
import {
  foldsText,
  type SeedRuns,
  type SelectedRuns,
  selectSeeds,
  warnMissingFolds,
} from './run-selection.js';
import { printScores } from './scores.js';

/** Scores one run, the folds of a cross-validation together, or several seeds, and prints the scores. */
export async function evaluateRuns(options: EvalOptions): Promise<void> {
  const root = await rootOf(options);
  const seeds = await selectSeeds(root, options);
  await checkAgainstRuns(
    options,
    seeds.flatMap(({ runs }) => runs),
  );
  const target = await evaluationTarget(options, seeds);
  const { evaluation, result, paper } =
    options.seeds === undefined
      ? await scoreRuns(seeds[0]!, options, target)
      : await scoreSeeds(root, seeds, options, target);
  printScores(evaluation, result, paper, options);
}

/** Scores the runs of several seeds, each as `scoreRuns` does; the results of all are written beside their folders. */
async function scoreSeeds(
  root: string,
  seeds: readonly SeedRuns[],
  options: ComputeChoice & ResamplingOptions,
  target: EvaluationTarget,
): Promise<RunScores<SeedMetrics>> {
  const parts: SeedScores[] = [];
  for (const each of seeds) parts.push({ seed: each.seed!, ...(await scoreRuns(each, options, target)) });
  const scores = seedScores(root, parts, options);
  const dir = target.other === undefined ? root : join(root, 'cross', target.other.name);
  const path = seedResults(dir, seeds[0]!.phase);
  await writeJsonAtomic(path, scores.result);
  note(`results over ${parts.length} seeds in ${path}`);
  return scores;
}

/** Where the results of several seeds together lie. */
export function seedResults(root: string, phase: string): string {
  return join(root, `${phase}-seeds.json`);
}

/** What the runs of one seed scored. */
export type SeedScores = RunScores & { readonly seed: number };

/** What several seeds scored together. @throws InputError where they have different labels */
export function seedScores(
  root: string,
  parts: readonly SeedScores[],
  options: ResamplingOptions,
): RunScores<SeedMetrics> {
  const { result: first, paper } = parts[0]!;
  const other = parts.find(({ result }) => result.labels.join() !== first.labels.join());
  if (other) throw new InputError(`${root}: seeds ${parts[0]!.seed} and ${other.seed} have different labels`);
  const majority = parts.flatMap((part) => part.majority ?? []);
  const predictions = parts.flatMap((part) => part.predictions);
  const evaluation = evaluationOf(
    seedMetrics(parts.map(({ seed, evaluation: { scores } }) => ({ seed, scores }))),
    parts.map((part) => part.predictions),
    resamplingOf(options),
    majority.length === predictions.length ? majority : undefined,
  );
  const { seed: _seed, recipe_sha256: _recipe, ...facts } = first.facts as Record<string, string | number>;
  const missing = parts.flatMap(({ seed, result }) =>
    (result.missing ?? []).map(({ fold }) => ({ seed, fold })),
  );
  const { name, versions, cross_corpus: crossCorpus } = first;
  const result = evaluationResult(evaluation, { name, versions, facts, missing, crossCorpus });
  return {
    evaluation,
    result,
    predictions,
    majority: majority.length === predictions.length ? majority : undefined,
    paper,
  };
}

/** What runs scored, and the paper's figures that their recipe names. */
export interface RunScores<S extends Scores = Metrics | FoldMetrics> {
  readonly evaluation: Evaluation<S>;
  readonly result: EvaluationResult;
  readonly predictions: readonly ScoredPrediction[];
  /** For each prediction, the most frequent class in its model's training; undefined where that is not known. */
  readonly majority: readonly string[] | undefined;
  readonly paper: PaperRow | null;
}

/** Scores one run of an experiment, or its folds together; predictions and results are written beside them. */
export async function scoreRuns(
  selected: SelectedRuns & Pick<SeedRuns, 'root'>,
  options: ComputeChoice & ResamplingOptions,
  target: EvaluationTarget = {},
): Promise<RunScores> {
  warnMissingFolds(selected.root, selected);
  const tested = await predictRuns(selected.runs, options, target);
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
    resamplingOf(options),
    majority,
  );
  const { metadata } = tested[0]!.test;
  const result = evaluationResult(evaluation, {
    name: target.other === undefined ? recipe.name : `${recipe.name} on ${target.other.name}`,
    versions: await recordedVersions(),
    facts: {
      ...phaseKeys(metadata),
      seed: recipe.seed,
      split: target.other?.corpus.part ?? (folds === undefined ? 'test' : foldsText(folds)),
      manifest_sha256: target.other?.facts.manifest_sha256 ?? metadata.manifest.sha256,
      recipe_sha256: await sha256OfFile(tested[0]!.folder.recipe),
    },
    missing: (folds?.missing ?? []).map((fold) => ({ fold: String(fold) })),
    crossCorpus: target.other?.facts,
  });
  await writeJsonAtomic(folder.results, result);
  note(`predictions in ${folder.predictions}, results in ${folder.results}`);
  // The paper's figures are of the recipe's own corpus.
  return {
    evaluation,
    result,
    predictions,
    majority,
    paper: target.other === undefined ? recipe.paper : null,
  };
}

/**
 * What runs scored when they were scored last, with intervals as they are asked for now.
 * @throws InputError where what scoring wrote is missing or damaged
 */
export async function scoresBefore(
  { runs, folder, folds }: SelectedRuns,
  options: ResamplingOptions,
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
  for (const run of runs) classes.push(await trainingMajority(recipe, (await readMetadata(run))!));
  const rows = parts.flatMap(({ outcomes }, index) => outcomes.map(() => classes[index]));
  const majority = rows.every((label) => label !== undefined) ? rows : undefined;
  const evaluation = evaluationOf(
    folds === undefined ? classificationMetrics(predictions, labels) : foldMetrics(parts, labels),
    parts.map(({ outcomes }) => outcomes),
    resamplingOf(options),
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

async function predictRuns(
  folders: readonly RunFolder[],
  { device, threads }: ComputeChoice,
  { manifest, other }: EvaluationTarget,
): Promise<{ folder: RunFolder; test: TestSetPredictions }[]> {
  return withInterrupts('finishing the utterances in hand', (stop) =>
    withCompute(
      device,
      stop,
      async (compute) => {
        const results: { folder: RunFolder; test: TestSetPredictions }[] = [];
        for (const folder of folders) {
          stop.throwIfAborted();
          let progress: Progress | undefined;
          const onProgress = (done: number, total: number): void => {
            progress ??= startProgress({ label: `testing ${folder.dir}`, unit: 'utterances' });
            progress.update(done, total);
          };
          const test = await (other === undefined
            ? predictTestSet(folder, compute, { manifest, onProgress })
            : predictOtherCorpus(folder, other.corpus, compute, { onProgress })
          ).finally(() => progress?.finish());
          warnUnfinished(folder, test.metadata);
          for (const text of test.cut) note(`${folder.dir}: ${text}`);
          results.push({ folder, test });
        }
        return results;
      },
      threads,
    ),
  );
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
