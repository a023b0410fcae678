/** @file Ends a run after an epoch whose best validation figure so far is too bad, by thresholds known beforehand. */

import type { TrainingReport } from '../training/index.js';

/** When a run is hopeless. It is data, so that another process can apply it. */
export interface StopRule {
  /** Key of the validation figure. */
  readonly figure: string;
  readonly higherIsBetter: boolean;
  /** For each epoch from the first: what the best figure so far must reach; null if nothing is asked. */
  readonly thresholds: readonly (number | null)[];
}

/**
 * The first epoch after which a run is hopeless; undefined if there is none.
 * @param figures of the epochs so far, from the first; null where there is none
 */
export function hopelessAfter(
  { higherIsBetter, thresholds }: Omit<StopRule, 'figure'>,
  figures: readonly (number | null)[],
): number | undefined {
  const sign = higherIsBetter ? 1 : -1;
  let best = Number.NEGATIVE_INFINITY;
  for (const [index, figure] of figures.entries()) {
    if (figure !== null) best = Math.max(best, sign * figure);
    const threshold = thresholds[index] ?? null;
    if (threshold !== null && best < sign * threshold) return index + 1;
  }
  return undefined;
}

/** Watches a run by its reports. */
export interface WatchedRun {
  /** Aborted when the run is to stop: by the rule, or by `stop`. */
  readonly stop: AbortSignal;
  /** To be called with each report, in the process that trains. */
  readonly onReport: (report: TrainingReport) => void;
}

/**
 * Applies a rule to a run. The run stops right after the epoch, with its state saved.
 * @param earlier figures of the epochs before this process, of a resumed run
 */
export function watchedRun(
  rule: StopRule,
  earlier: readonly (number | null)[],
  stop: AbortSignal,
): WatchedRun {
  const figures = [...earlier];
  const hopeless = new AbortController();
  return {
    stop: AbortSignal.any([stop, hopeless.signal]),
    onReport({ epochEnded, epoch, validation }) {
      if (!epochEnded) return;
      figures[epoch - 1] = validation?.[rule.figure] ?? null;
      if (hopelessAfter(rule, figures) !== undefined) hopeless.abort();
    },
  };
}
