/** @file Many clips written a few at a time: progress, interruption, and files that are right already left alone. */

import { readFile } from 'node:fs/promises';
import { defaultJobs, InterruptedError, mapConcurrently, writeFileAtomic } from '../../../base/index.js';
import type { PreparationControls } from '../clips/index.js';

/** Writes one clip for each item. */
export type ClipWriter = <T>(items: readonly T[], write: (item: T) => Promise<void>) => Promise<void>;

/** @throws InterruptedError from the writer when `signal` fires, naming `out`; clips that are written stay. */
export function clipWriter(out: string, { jobs, onProgress, signal }: PreparationControls): ClipWriter {
  return async (items, write) => {
    let done = 0;
    const writeOne = async (item: (typeof items)[number]): Promise<void> => {
      await write(item);
      done += 1;
      onProgress?.(done, items.length);
    };
    try {
      await mapConcurrently(items, jobs ?? defaultJobs(), writeOne, signal);
    } catch (error) {
      if (!signal?.aborted) throw error;
      throw new InterruptedError(
        `stopped with ${done} of ${items.length} clips written to ${out}; run the same command again to go on`,
      );
    }
  };
}

/** Writes a file unless it holds these bytes already. */
export async function writeIfChanged(path: string, bytes: Buffer): Promise<void> {
  const before = await readFile(path).catch(() => undefined);
  if (!before?.equals(bytes)) await writeFileAtomic(path, bytes);
}
