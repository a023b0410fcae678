/** @file `emoq eval --compare`: two experiments or two predictions files over the same utterances, and whether they differ. */

import { stat } from 'node:fs/promises';
import { InputError, pathExists, sha256OfFile } from '../../base/index.js';
import {
  compareSeeds,
  comparisonCsv,
  comparisonResult,
  comparisonTables,
  type PredictionTable,
  pairSeeds,
  predictionDoubts,
  readPredictions,
  type SeedTable,
  spellingWarning,
} from '../../evaluation/index.js';
import { finalPhaseIn, foldRuns, seedFolders } from '../../inference/index.js';
import { countFolds } from '../../training/index.js';
import { phaseFolder, runFolder, runRecipe } from '../../training/runs/index.js';
import { recipeOfOptions } from '../options.js';
import { note, printJson, printResult, warn } from '../terminal-output.js';
import { emoqVersion } from '../versions.js';
import { type EvalOptions, formatOf, type RunOptions, resamplingOf } from './eval-options.js';
import { scoreRuns } from './eval-run.js';
import { type SeedRuns, selectSeeds, warnMissingFolds } from './run-selection.js';
import { isScored } from './scored-before.js';
import { printTables, warnOfFewUnits } from './scores.js';

/** Below this many seeds an interval is known to come out too narrow. */
const FEW_SEEDS = 5;

/**
 * Compares two systems and prints what differs. A run that was scored since it was trained is not predicted again.
 * @throws InputError when there are not two of them, or they are not over the same utterances
 */
export async function compareSystems(systems: readonly string[], options: EvalOptions): Promise<void> {
  const [first, second] = systems;
  if (first === undefined || second === undefined || systems.length > 2) {
    throw new InputError(
      `--compare takes two runs or predictions files, and here are ${systems.length}: ${systems.join(', ')}`,
    );
  }
  const named = options.dataset !== undefined || options.recipe !== undefined;
  const labels = named ? (await recipeOfOptions(options)).labels : undefined;
  const found = [await systemAt(first, options), await systemAt(second, options)] as const;
  if (found.every(({ runs }) => runs.length === 0)) refuseRunOptions(options);
  for (const system of found) await makePredictions(system, options);
  const [a, b] = [await tablesOf(found[0], labels), await tablesOf(found[1], labels)];
  const paired = pairSeeds(a, b);
  const comparison = compareSeeds(paired, resamplingOf(options));
  const result = comparisonResult(comparison, [first, second], {
    versions: { emoq: emoqVersion(), node: process.versions.node },
    facts: {
      a_predictions_sha256: await sha256Of(found[0]),
      b_predictions_sha256: await sha256Of(found[1]),
      without_reference: paired.withoutReference,
    },
  });
  if (paired.withoutReference > 0) {
    warn(`${paired.withoutReference} utterances have no reference in either file and are not compared`);
  }
  const all = [...a, ...b].map(({ table }) => table);
  [...paired.first, ...paired.second].forEach(({ rows }, index) => {
    warnOfTable(all[index]!, rows);
  });
  const spelling = spellingWarning(paired.labels);
  if (spelling !== undefined && all.every(({ labels: own }) => spellingWarning(own) === undefined)) {
    warn(`${first} and ${second}: ${spelling}`);
  }
  warnOfFewUnits(comparison.bootstrap, options);
  const seeds = Math.min(...[a, b].map(({ length }) => length).filter((count) => count > 1));
  if (comparison.bootstrap !== null && seeds < FEW_SEEDS) {
    warn(`${seeds} seeds are few to draw from: the intervals are likely too narrow`);
  }
  const format = formatOf(options);
  if (format === 'json') printJson(result);
  else if (format === 'csv') printResult(comparisonCsv(result));
  else printTables(comparisonTables(result), format);
}

interface System {
  readonly path: string;
  /** A predictions file for each seed; of null where there is one. */
  readonly predictions: readonly { readonly seed: number | null; readonly path: string }[];
  /** Empty where the system is a predictions file. */
  readonly runs: readonly SeedRuns[];
}

/** Finds an experiment, a run or a predictions file; computes nothing. */
async function systemAt(path: string, options: EvalOptions): Promise<System> {
  const entry = await stat(path).catch(() => undefined);
  if (entry === undefined) {
    throw new InputError(`${path} does not exist; name a run folder or a predictions file`);
  }
  if (!entry.isDirectory()) return { path, predictions: [{ seed: null, path }], runs: [] };
  const runs = await selectSeeds(path, await partsIn(path, options));
  return { path, predictions: runs.map(({ seed, folder }) => ({ seed, path: folder.predictions })), runs };
}

/** The folds and seeds that options ask for; of what they say nothing, all that an experiment has. */
async function partsIn(root: string, options: RunOptions): Promise<RunOptions> {
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

/** How many folds an experiment's cross-validation has; undefined where it is none. */
async function allFolds(root: string, phase: string): Promise<number | undefined> {
  const [first] = await foldRuns(root, phase);
  return first && countFolds(await runRecipe(first.folder));
}

/** @throws InputError for an option that is about runs where both systems are files */
function refuseRunOptions({ stage, fold, folds, seeds, device, threads }: EvalOptions): void {
  const given = Object.entries({ stage, fold, folds, seeds, device, threads }).find(
    ([name, value]) => value !== undefined && !(name === 'device' && value === 'auto'),
  );
  if (given === undefined) return;
  throw new InputError(`--${given[0]} is about runs, and both systems are predictions files; leave it out`);
}

/** Predicts the test set of runs that have no predictions since their training. */
async function makePredictions({ runs }: System, options: EvalOptions): Promise<void> {
  for (const each of runs) {
    if (await isScored(each)) {
      warnMissingFolds(each.root, each);
      note(`predictions from ${each.folder.predictions}`);
    } else await scoreRuns(each, options);
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

/** Of several files, the checksums one after the other. */
async function sha256Of({ predictions }: System): Promise<string> {
  return (await Promise.all(predictions.map(({ path }) => sha256OfFile(path)))).join(' ');
}

function warnOfTable(table: PredictionTable, rows: readonly { readonly label?: string | undefined }[]): void {
  for (const doubt of predictionDoubts(table)) warn(`${table.path}: ${doubt}`);
  const unanswered = rows.filter(({ label }) => label === undefined).length;
  if (unanswered > 0)
    warn(`${table.path}: ${unanswered} of ${rows.length} rows have no label and count as wrong`);
}
