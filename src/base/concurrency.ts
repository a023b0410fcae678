/** @file Bounded concurrency, and things of which each is used by one task at a time. */

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

/** Things to use, such as devices. */
export interface Pool<T> {
  /**
   * Runs `work` with a thing that no other work is using, waiting for one if need be, in the order of the calls.
   * @param prefers says which it would rather have; it gets another if none of those is free
   */
  use<R>(work: (thing: T) => Promise<R>, prefers?: (thing: T) => boolean): Promise<R>;
}

/** A pool of these things. Work that fails frees its thing too. */
export function createPool<T>(things: readonly [T, ...T[]]): Pool<T> {
  const free: T[] = [...things];
  const waiting: ((thing: T) => void)[] = [];
  return {
    async use(work, prefers = () => true) {
      const preferred = free.findIndex(prefers);
      const thing =
        free.length === 0
          ? await new Promise<T>((resolve) => waiting.push(resolve))
          : free.splice(Math.max(preferred, 0), 1)[0]!;
      try {
        return await work(thing);
      } finally {
        const next = waiting.shift();
        if (next === undefined) free.push(thing);
        else next(thing);
      }
    },
  };
}

/**
 * The elements of a source, of which the next is already being made while one is used. When reading ends early, nobody
 * waits for that one.
 */
export async function* readAhead<T>(source: AsyncIterable<T>): AsyncGenerator<T> {
  const iterator = source[Symbol.asyncIterator]();
  try {
    let next = iterator.next();
    for (;;) {
      const result = await next;
      if (result.done === true) return;
      next = iterator.next();
      next.catch(() => undefined); // thrown in the next round
      yield result.value;
    }
  } finally {
    iterator.return?.().catch(() => undefined);
  }
}
