/** @file Says when a validation set is too small to tell epochs apart, from the interval of the figure that selects. */

import {
  bootstrapIntervals,
  countMetrics,
  type Interval,
  type Metrics,
  metricText,
  type Outcome,
  type SelectKey,
  selectableMetric,
  totalsOfCounts,
} from '../evaluation/index.js';

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
  select: SelectKey,
  key: string,
): string | undefined {
  const metric = decisiveMetric(metrics, select);
  const interval = intervalOf(metric, outcomes, metrics);
  if (interval.high - interval.low <= WIDE) return undefined;
  const unit = metric.unit === '%' ? ' %' : '';
  return (
    `the validation set of ${metrics.n} utterances is small: its ${metric.key}, ${metricText(metric, metrics[metric.key])}${unit}, ` +
    `has a 95 % interval of ${metricText(metric, interval.low)} to ${metricText(metric, interval.high)}${unit}, so that the epoch ` +
    `that ${key}=${select} keeps may be chosen by chance; --set ${key}=smoothed averages neighbouring epochs, ` +
    `--set ${key}=last keeps the last without choosing`
  );
}

type LabelMetric = (typeof countMetrics)[number];

/**
 * The metric whose interval decides: the selecting one where it is of labels, else the accuracy. It is the accuracy too where
 * only a bootstrap would tell and all are right or none is: its resamples are all alike.
 */
function decisiveMetric({ wa }: Metrics, select: SelectKey): LabelMetric {
  const { key } = selectableMetric(select);
  const metric = countMetrics.find((each) => each.key === key);
  const [accuracy] = countMetrics as [LabelMetric];
  if (metric === undefined) return accuracy;
  return metric.interval !== undefined || (wa > 0 && wa < 1) ? metric : accuracy;
}

function intervalOf(metric: LabelMetric, outcomes: readonly Outcome[], metrics: Metrics): Interval {
  if (metric.interval !== undefined) return metric.interval(totalsOfCounts(metrics));
  const keys = outcomes.map((_, index) => String(index));
  const resampling = { resamples: RESAMPLES, seed: 0, unit: 'utterance' } as const;
  return bootstrapIntervals(outcomes, keys, metrics.labels, resampling).metrics[metric.key];
}
