/** @file Says when a validation set is too small to tell epochs apart, from the interval of the figure that selects. */

import {
  accuracyInterval,
  bootstrapIntervals,
  type Interval,
  type Metrics,
  meanRecallInterval,
  type Outcome,
} from '../evaluation/index.js';
import type { SelectFigure } from './selection.js';

/** Intervals wider than this, in points, hide what epochs mostly differ by. */
const WIDE = 0.1;
const RESAMPLES = 1000;

/**
 * A warning in one line where the figure that selects has a wide 95 % interval on the validation set; undefined where it
 * has not.
 * @param key of the recipe, such as `stage1.select`
 */
export function smallValidationWarning(
  outcomes: readonly Outcome[],
  metrics: Metrics,
  select: SelectFigure,
  key: string,
): string | undefined {
  const { name, value, interval } = selectingFigure(outcomes, metrics, select);
  if (interval.high - interval.low <= WIDE) return undefined;
  const percent = (share: number): string => (100 * share).toFixed(1);
  return (
    `the validation set of ${metrics.n} utterances is small: its ${name}, ${percent(value)} %, has a 95 % interval of ` +
    `${percent(interval.low)} to ${percent(interval.high)} %, so that the epoch that ${key}=${select} keeps may be chosen ` +
    `by chance; --set ${key}=smoothed averages neighbouring epochs, --set ${key}=last keeps the last without choosing`
  );
}

/** The figure, and how well these utterances tell it. The loss is no share of them: there it is the accuracy. */
function selectingFigure(
  outcomes: readonly Outcome[],
  metrics: Metrics,
  select: SelectFigure,
): { readonly name: string; readonly value: number; readonly interval: Interval } {
  if (select === 'ua') return { name: 'ua', value: metrics.ua, interval: meanRecallInterval(metrics) };
  // Where all are right or none is, resamples are all alike.
  if (select === 'wf1' && metrics.wa > 0 && metrics.wa < 1) {
    const keys = outcomes.map((_, index) => String(index));
    const resampling = { resamples: RESAMPLES, seed: 0, unit: 'utterance' } as const;
    const { wf1 } = bootstrapIntervals(outcomes, keys, metrics.labels, resampling).metrics;
    return { name: 'wf1', value: metrics.wf1, interval: wf1 };
  }
  return { name: 'wa', value: metrics.wa, interval: accuracyInterval(metrics) };
}
