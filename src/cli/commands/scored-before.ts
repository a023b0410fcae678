/** @file Whether a run was scored before: what scoring has written is younger than the checkpoints. */

import { stat } from 'node:fs/promises';
import type { RunFolder } from '../../train/index.js';

/** True where `path` is there and was written after the checkpoints of all `runs`. */
export async function isScored(
  path: string,
  runs: readonly Pick<RunFolder, 'checkpoint'>[],
): Promise<boolean> {
  const scoredMs = await timeOf(path);
  const trainedMs = await Promise.all(runs.map(({ checkpoint }) => timeOf(checkpoint)));
  return scoredMs !== undefined && trainedMs.every((ms) => ms !== undefined && ms <= scoredMs);
}

/** When a file was last changed; undefined where there is none. */
function timeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => undefined,
  );
}
