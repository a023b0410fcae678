/** @file Compares two experiments or predictions files over the same utterances. */

import { stat } from 'node:fs/promises';
import { InputError, pathExists, sha256OfFile } from '../base/index.js';
import {
  type Comparison,
  type ComparisonResult,
  compareSeeds,
  comparisonResult,
  type PredictionTable,
  pairSeeds,
  predictionWarnings,
  readPredictions,
  type SeedTable,
  spellingWarning,
  unansweredWarnings,
} from '../evaluation/index.js';
import { finalPhaseIn, foldRuns, phasesIn, seedFolders } from '../inference/index.js';
import { countFolds } from '../training/index.js';
import { phaseFolder, runFolder, runRecipe } from '../training/runs/index.js';
import type { ExperimentContext } from './evaluation-target.js';
import { namedRecipe, type RecipeChoice } from './named-experiment.js';
import { isScored } from './run-scores.js';
import { missingFoldsWarning, type RunChoice, type SeedRuns, selectSeeds } from './run-selection.js';
import { scoreRuns } from './scoring.js';

/** A comparison of two systems, with its result object. */
export interface SystemComparison {
  readonly comparison: Comparison;
  readonly result: ComparisonResult;
}

/** Options that select the systems; `device` and `threads` are rejected if nothing is computed. */
export type ComparisonChoice = RecipeChoice &
  RunChoice & { readonly device?: string; readonly threads?: number };

/**
 * Compares two systems. Runs scored since their training are not predicted again.
 * @param systems runs, experiments or predictions files
 * @throws InputError when there are not two of them, or they are not over the same utterances
 */
export async function compareSystems(
  systems: readonly string[],
  choice: ComparisonChoice,
  context: ExperimentContext,
): Promise<SystemComparison> {
  const { onWarning } = context;
  const [first, second] = systems;
  if (first === undefined || second === undefined || systems.length > 2) {
    throw new InputError(
      `--compare takes two runs or predictions files, but got ${systems.length}: ${systems.join(', ')}`,
    );
  }
  const named = choice.dataset !== undefined || choice.recipe !== undefined;
  const labels = named ? (await namedRecipe(choice)).labels : undefined;
  const found = [await systemAt(first, choice), await systemAt(second, choice)] as const;
  if (found.every(({ runs }) => runs.length === 0)) refuseRunOptions(choice);
  for (const system of found) await makePredictions(system, context);
  const [a, b] = [await tablesOf(found[0], labels), await tablesOf(found[1], labels)];
  const paired = pairSeeds(a, b);
  const comparison = compareSeeds(paired, context.resampling);
  const { emoq, node } = context.versions;
  const result = comparisonResult(comparison, [first, second], {
    versions: { emoq: emoq!, node: node! },
    metadata: {
      a_predictions_sha256: await sha256Of(found[0]),
      b_predictions_sha256: await sha256Of(found[1]),
      without_reference: paired.withoutReference,
    },
  });
  if (paired.withoutReference > 0) {
    onWarning(`${paired.withoutReference} utterances have no reference in either file and are not compared`);
  }
  const all = [...a, ...b].map(({ table }) => table);
  [...paired.first, ...paired.second].forEach(({ rows }, index) => {
    for (const text of tableWarnings(all[index]!, rows)) onWarning(text);
  });
  const spelling = spellingWarning(paired.labels);
  if (spelling !== undefined && all.every(({ labels: own }) => spellingWarning(own) === undefined)) {
    onWarning(`${first} and ${second}: ${spelling}`);
  }
  return { comparison, result };
}

/** With fewer seeds than this, intervals are known to be too narrow. */
const FEW_SEEDS = 5;

/** A warning if a system has too few seeds to resample; undefined if it has enough, or a single one. */
export function fewSeedsWarning({ first, second, bootstrap }: Comparison): string | undefined {
  const seeds = Math.min(...[first, second].map((each) => each.seeds.length).filter((count) => count > 1));
  return bootstrap !== null && seeds < FEW_SEEDS
    ? `${seeds} seeds are few to resample: the intervals are likely too narrow`
    : undefined;
}

interface System {
  readonly path: string;
  /** A predictions file for each seed; null if there are no seeds. */
  readonly predictions: readonly { readonly seed: number | null; readonly path: string }[];
  /** Empty if the system is a predictions file. */
  readonly runs: readonly SeedRuns[];
}

/** Finds an experiment, a run or a predictions file, without computing anything. */
async function systemAt(path: string, options: RunChoice): Promise<System> {
  const entry = await stat(path).catch(() => undefined);
  if (entry === undefined) {
    throw new InputError(`${path} does not exist; name a run folder or a predictions file`);
  }
  if (!entry.isDirectory()) return { path, predictions: [{ seed: null, path }], runs: [] };
  const runs = await selectSeeds(path, await partsIn(path, await phaseOf(path, options)));
  return { path, predictions: runs.map(({ seed, folder }) => ({ seed, path: folder.predictions })), runs };
}

/** A system without the phase that is asked for is compared by its last one. */
async function phaseOf(root: string, options: RunChoice): Promise<RunChoice> {
  const { stage, ...others } = options;
  const isItself = await pathExists(runFolder(root).metadata);
  return stage === undefined || isItself || (await phasesIn(root)).includes(stage) ? options : others;
}

/** The folds and seeds that options ask for; by default all that an experiment has. */
export async function partsIn(root: string, options: RunChoice): Promise<RunChoice> {
  const { stage = await finalPhaseIn(root), fold, folds, seeds } = options;
  if (fold !== undefined || folds !== undefined) return options;
  if (await pathExists(runFolder(root).metadata)) return options;
  if (seeds === undefined) {
    if (await pathExists(phaseFolder(root, stage, undefined).metadata)) return options;
    const own = await allFolds(root, stage);
    if (own !== undefined) return { ...options, folds: own };
  }
  const [seed] = await seedFolders(root);
  if (seed === undefined) return options;
  const ofSeed = await allFolds(seed.dir, stage);
  return { ...options, seeds: seeds ?? 'all', ...(ofSeed !== undefined && { folds: ofSeed }) };
}

/** Number of folds in an experiment's cross-validation; undefined if it is not one. */
async function allFolds(root: string, phase: string): Promise<number | undefined> {
  const [first] = await foldRuns(root, phase);
  return first && countFolds(await runRecipe(first.folder));
}

/** @throws InputError for an option that applies to runs if both systems are files */
function refuseRunOptions({ stage, fold, folds, seeds, device, threads }: ComparisonChoice): void {
  const given = Object.entries({ stage, fold, folds, seeds, device, threads }).find(
    ([name, value]) => value !== undefined && !(name === 'device' && value === 'auto'),
  );
  if (given === undefined) return;
  throw new InputError(`--${given[0]} applies to runs, but both systems are predictions files; leave it out`);
}

/** Predicts the test set of runs without predictions since their training. */
async function makePredictions({ runs }: System, context: ExperimentContext): Promise<void> {
  for (const each of runs) {
    if (await isScored(each)) {
      const missing = missingFoldsWarning(each);
      if (missing !== undefined) context.onWarning(missing);
      context.onNote(`predictions from ${each.folder.predictions}`);
    } else await scoreRuns(each, context);
  }
}

async function tablesOf(
  { predictions }: System,
  labels: readonly string[] | undefined,
): Promise<SeedTable[]> {
  return Promise.all(
    predictions.map(async ({ seed, path }) => ({ seed, table: await readPredictions(path, { labels }) })),
  );
}

/** For several files, their checksums concatenated. */
async function sha256Of({ predictions }: System): Promise<string> {
  return (await Promise.all(predictions.map(({ path }) => sha256OfFile(path)))).join(' ');
}

/** Warnings about the predictions of a system, of which `rows` are compared. */
function tableWarnings(
  table: PredictionTable,
  rows: readonly { readonly label?: string | undefined }[],
): string[] {
  return [...predictionWarnings(table), ...unansweredWarnings(rows)].map((text) => `${table.path}: ${text}`);
}
