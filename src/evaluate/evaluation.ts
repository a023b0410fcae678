/** @file Scores with what is known beside them: bootstrap intervals and calibration. */

import { type Baselines, baselinesOf } from './baselines.js';
import type { FoldMetrics, SeedMetrics } from './folds.js';
import type { Metrics } from './metrics.js';
import type { ScoredPrediction } from './predictions.js';
import { resamplingKeys } from './resampling-keys.js';
import { bootstrapIntervals, type Resampling } from './statistics/bootstrap.js';
import { type Calibration, calibrationOf } from './statistics/calibration.js';
import type { BootstrapIntervals } from './statistics/interval.js';

/** One evaluation, a cross-validation, or several seeds. */
export type Scores = Metrics | FoldMetrics | SeedMetrics;

/** Scores, and how sure they are. With folds or seeds, intervals and calibration are of all utterances together. */
export interface Evaluation<S extends Scores = Scores> {
  readonly scores: S;
  /** null where none were asked for, or there is a single utterance. */
  readonly intervals: BootstrapIntervals | null;
  /** null where no row has probabilities. */
  readonly calibration: Calibration | null;
  /** Of each fold or seed, in their order; empty where there are none. */
  readonly partCalibrations: readonly (Calibration | null)[];
  /** What costs nothing on the same test set. */
  readonly baselines: Baselines;
}

/**
 * Puts intervals and calibration beside scores. A cross-validation is resampled over the utterances of all its folds.
 * Of several seeds an utterance is drawn with the predictions of all of them: the interval tells of the test set, and
 * the deviation over the seeds of training.
 * @param parts the scored rows of each fold or seed in the order of `scores`; one part where there are none
 * @param resampling null for no intervals
 * @param trained for each row, part after part, the most frequent class in its model's training, where that is known
 * @throws InputError when rows have no speaker or dialogue to resample by, or all have the same
 */
export function evaluationOf<S extends Scores>(
  scores: S,
  parts: readonly (readonly ScoredPrediction[])[],
  resampling: Resampling | null,
  trained?: readonly string[],
): Evaluation<S> {
  const { labels } = overallOf(scores);
  const rows = parts.flat();
  const keys = resampling && resamplingKeys(rows, resampling.unit);
  const single = resampling?.unit === 'utterance' && new Set(keys).size < 2;
  return {
    scores,
    intervals: keys === null || single ? null : bootstrapIntervals(rows, keys, labels, resampling!),
    calibration: calibrationOf(rows, labels),
    partCalibrations: 'pooled' in scores ? parts.map((part) => calibrationOf(part, labels)) : [],
    baselines: baselinesOf(rows, labels, trained, 'seeds' in scores ? parts[0] : rows),
  };
}

/** The metrics over all utterances. */
export function overallOf(scores: Scores): Metrics {
  return 'pooled' in scores ? scores.pooled : scores;
}
