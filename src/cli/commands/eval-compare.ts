/** @file `emoq eval --compare`: two runs or two predictions files over the same utterances, and whether they differ. */

import { stat } from 'node:fs/promises';
import { InputError, sha256OfFile } from '../../base/index.js';
import {
  comparePredictions,
  comparisonCsv,
  comparisonResult,
  comparisonTables,
  pairPredictions,
  predictionDoubts,
  readPredictions,
  spellingWarning,
} from '../../evaluate/index.js';
import type { RunFolder } from '../../train/index.js';
import { recipeOfOptions } from '../options.js';
import { note, printJson, printResult, warn } from '../output.js';
import { emoqVersion } from '../version.js';
import { type EvalOptions, formatOf, resamplingOf } from './eval.js';
import { foldersOf, resultsFolder, scoreRuns } from './eval-run.js';
import { isScored } from './scored-before.js';
import { printTables, warnOfFewUnits } from './scores.js';

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
  const a = await systemAt(first, options);
  const b = await systemAt(second, options);
  for (const system of [a, b]) await makePredictions(system, options);
  const tables = [
    await readPredictions(a.predictions, { labels }),
    await readPredictions(b.predictions, { labels }),
  ] as const;
  const paired = pairPredictions(...tables);
  const comparison = comparePredictions(paired, resamplingOf(options));
  const result = comparisonResult(comparison, [first, second], {
    versions: { emoq: emoqVersion(), node: process.versions.node },
    facts: {
      a_predictions_sha256: await sha256OfFile(a.predictions),
      b_predictions_sha256: await sha256OfFile(b.predictions),
      without_reference: paired.withoutReference,
    },
  });
  if (paired.withoutReference > 0) {
    warn(`${paired.withoutReference} utterances have no reference in either file and are not compared`);
  }
  tables.forEach((table, system) => {
    for (const doubt of predictionDoubts(table)) warn(`${table.path}: ${doubt}`);
    const unanswered = [paired.first, paired.second][system]!.filter(
      ({ label }) => label === undefined,
    ).length;
    if (unanswered > 0)
      warn(`${table.path}: ${unanswered} of ${paired.first.length} rows have no label and count as wrong`);
  });
  const spelling = spellingWarning(paired.labels);
  if (spelling !== undefined && tables.every(({ labels: own }) => spellingWarning(own) === undefined)) {
    warn(`${first} and ${second}: ${spelling}`);
  }
  warnOfFewUnits(comparison.bootstrap, options);
  const format = formatOf(options);
  if (format === 'json') printJson(result);
  else if (format === 'csv') printResult(comparisonCsv(result));
  else printTables(comparisonTables(result), format);
}

interface System {
  readonly path: string;
  readonly predictions: string;
  /** Empty where the system is a predictions file. */
  readonly runs: readonly RunFolder[];
}

/** Finds a run or a predictions file; computes nothing. */
async function systemAt(path: string, options: EvalOptions): Promise<System> {
  const entry = await stat(path).catch(() => undefined);
  if (entry === undefined) {
    throw new InputError(`${path} does not exist; name a run folder or a predictions file`);
  }
  if (!entry.isDirectory()) return { path, predictions: path, runs: [] };
  const runs = await foldersOf(path, options);
  return { path, predictions: resultsFolder(path, runs, options).predictions, runs };
}

/** Predicts the test set of a run that has no predictions since its training. */
async function makePredictions({ path, predictions, runs }: System, options: EvalOptions): Promise<void> {
  if (runs.length === 0) return;
  if (await isScored(predictions, runs)) note(`predictions from ${predictions}`);
  else await scoreRuns(path, options);
}
