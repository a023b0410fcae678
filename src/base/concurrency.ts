/** @file Many jobs, a few at a time. */

import { availableParallelism } from 'node:os';

/** One job for each core: what keeps the machine busy without crowding it. */
export function defaultJobs(): number {
  return availableParallelism();
}

/**
 * Maps a list with at most `jobs` calls under way, results in the list's order. The first failure (or an abort of
 * `signal`) stops new calls; the promise rejects once those under way have ended, so nothing runs on behind it.
 */
export async function mapConcurrently<T, R>(
  items: readonly T[],
  jobs: number,
  run: (item: T, index: number) => Promise<R>,
  signal?: AbortSignal,
): Promise<R[]> {
  const results = new Array<R>(items.length);
  let next = 0;
  let failure: { error: unknown } | undefined;
  const worker = async (): Promise<void> => {
    while (next < items.length && !failure && !signal?.aborted) {
      const index = next++;
      try {
        results[index] = await run(items[index]!, index);
      } catch (error) {
        failure ??= { error };
      }
    }
  };
  const workers = Math.max(1, Math.min(Math.floor(jobs) || 1, items.length));
  await Promise.all(Array.from({ length: workers }, worker));
  if (failure) throw failure.error;
  signal?.throwIfAborted();
  return results;
}
