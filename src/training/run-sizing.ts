/** @file How many batches one run of a graph takes: as many as fit a target time, so that Ctrl-C responds quickly. */

import type { Device } from '../engine/runtime/index.js';
import type { Tensor } from '../engine/tensor/index.js';

/** Long enough to spread the cost of transferring a RoBERTa's state, a quarter of a step, over several steps. */
const TARGET_RUN_SEC = 6;

/** What goes to a run at most. */
export interface RunLimits {
  /** More batches of a toy model would not be faster. */
  readonly batches: number;
  /** Of feeds. They are in memory several times: the next ones are prepared while a run has its own. */
  readonly feedBytes: number;
}

/** A GPU takes steps so fast that its time limits a run less than its feeds do. */
const ON_CUDA: RunLimits = { batches: 256, feedBytes: 2 ** 30 };
const ELSEWHERE: RunLimits = { batches: 64, feedBytes: 2 ** 27 };

export function runLimits({ kind }: Pick<Device, 'kind'>): RunLimits {
  return kind === 'cuda' ? ON_CUDA : ELSEWHERE;
}

/** The batches of a run when each takes so many seconds and bytes of feeds; at least one. */
export function batchesThatFit(
  batch: { readonly seconds: number; readonly feedBytes: number },
  limits: RunLimits,
): number {
  const byTime = Math.floor(TARGET_RUN_SEC / batch.seconds);
  const bySize = Math.floor(limits.feedBytes / batch.feedBytes);
  return Math.max(1, Math.min(byTime, bySize, limits.batches));
}

export interface RunSizing {
  /** Batches for the next run. */
  readonly size: () => number;
  /** Learns from a run. */
  readonly took: (
    run: { readonly count: number; readonly feeds: Readonly<Record<string, Tensor>> },
    seconds: number,
  ) => void;
}

/** @param fixed a number that is given instead of learnt */
export function runSizing(limits: RunLimits, fixed?: number): RunSizing {
  let size = fixed ?? 1;
  return {
    size: () => size,
    took({ count, feeds }, seconds) {
      if (fixed !== undefined) return;
      const bytes = Object.values(feeds).reduce((total, { data }) => total + data.byteLength, 0);
      const fitting = batchesThatFit({ seconds: seconds / count, feedBytes: bytes / count }, limits);
      // At most doubled each time, because the first runs are slow while memory is allocated.
      size = Math.min(fitting, size * 2);
    },
  };
}
