/** @file Whether runs were scored before: what scoring has written is younger than they are, and of the same folds. */

import { stat } from 'node:fs/promises';
import { pathExists } from '../../base/index.js';
import { readResults } from '../../evaluation/index.js';
import type { SelectedRuns } from './run-selection.js';

/**
 * True where predictions are there that were made after the training of all the runs, and of all of them.
 * @throws InputError where the results of folds are damaged
 */
export async function isScored({ folder, runs, folds }: Omit<SelectedRuns, 'phase'>): Promise<boolean> {
  const scoredMs = await timeOf(folder.predictions);
  // A run that ends after its best epoch changes run.json alone.
  const files = runs.flatMap(({ checkpoint, metadata }) => [checkpoint, metadata]);
  const trainedMs = await Promise.all(files.map(timeOf));
  const isFresh = scoredMs !== undefined && trainedMs.every((ms) => ms !== undefined && ms <= scoredMs);
  if (!isFresh || folds === undefined || !(await pathExists(folder.results))) return isFresh;
  const { missing = [] } = await readResults(folder.results);
  return missing.map(({ fold }) => fold).join() === folds.missing.join();
}

/** When a file was last changed; undefined where there is none. */
function timeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => undefined,
  );
}
