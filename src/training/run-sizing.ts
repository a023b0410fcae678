/** @file How many batches one run of a graph takes: as many as fit a target time, so that Ctrl-C responds quickly. */

import type { Tensor } from '../engine/tensor/index.js';

/** Long enough to spread the cost of transferring a RoBERTa's state, a quarter of a step, over several steps. */
export const TARGET_RUN_SEC = 6;
/** Feeds that go to a run at once. */
export const MAX_FEED_BYTES = 1024 * 1024 * 1024;

export interface RunSizing {
  /** Batches for the next run. */
  readonly size: () => number;
  /** Learns from a run. */
  readonly took: (
    run: { readonly count: number; readonly feeds: Readonly<Record<string, Tensor>> },
    seconds: number,
  ) => void;
}

/**
 * @param max batches in a run at most
 * @param fixed a number that is given instead of learnt
 */
export function runSizing(max: number, fixed?: number): RunSizing {
  let size = fixed ?? 1;
  return {
    size: () => size,
    took({ count, feeds }, seconds) {
      if (fixed !== undefined) return;
      const bytes = Object.values(feeds).reduce((total, { data }) => total + data.byteLength, 0);
      const byTime = Math.floor(TARGET_RUN_SEC / (seconds / count));
      const bySize = Math.floor(MAX_FEED_BYTES / (bytes / count));
      // At most doubled each time, because the first runs are slow while memory is allocated.
      size = Math.max(1, Math.min(byTime, bySize, size * 2, max));
    },
  };
}
