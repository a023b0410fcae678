/** @file Bounded concurrency. */

import { availableParallelism } from 'node:os';

/** One job per core. */
export function defaultJobs(): number {
  return availableParallelism();
}

/**
 * Maps a list with at most `jobs` calls in flight and returns the results in order. After the first failure, or when
 * `signal` is aborted, no new calls start; the promise rejects once the running ones have finished, so nothing keeps
 * running in the background.
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
