/** @file The metrics of outcomes: figures of the whole set and of each class. */

import { InputError } from '../../base/index.js';
import {
  type ConfusionCounts,
  type ConfusionTotals,
  countOutcomes,
  type Outcome,
  type ProbabilisticOutcome,
  totalsOfCounts,
} from './confusion.js';
import {
  type MetricKey,
  ofMetrics,
  type ProbabilityKey,
  probabilityMetrics,
  type SelectKey,
  validationMetrics,
} from './metric-table.js';

/** Figures of one class, fractions in [0, 1]; 0 where the denominator is 0 (scikit-learn's `zero_division=0`). */
export interface ClassMetrics {
  readonly label: string;
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
  /** Utterances whose reference is this class. */
  readonly support: number;
  /** Utterances that were predicted as this class. */
  readonly predicted: number;
}

/** A figure of each metric of labels, as the table of metrics defines them. */
export type MetricFigures = Readonly<Record<MetricKey, number>>;

/** A figure of each metric of probabilities that a test set is scored by; null without probabilities. */
export type ProbabilityFigures = Readonly<Record<ProbabilityKey, number | null>>;

/** The metrics of labels over a set of utterances, with the counts that they follow from. */
export interface Metrics extends ConfusionCounts, MetricFigures {
  readonly kind: 'single';
  /** Utterances with a reference label. */
  readonly n: number;
  readonly perClass: readonly ClassMetrics[];
}

/** Metrics of outcomes over `labels`. @throws InputError for a label outside the set, or without outcomes. */
export function classificationMetrics(outcomes: Iterable<Outcome>, labels: readonly string[]): Metrics {
  return metricsOfCounts(countOutcomes(outcomes, labels));
}

/**
 * Every metric of labels, from counts. An utterance without an answer is wrong: it stays in n and in its class's recall.
 * @throws InputError when there is nothing to score.
 */
export function metricsOfCounts(counts: ConfusionCounts): Metrics {
  const totals = totalsOfCounts(counts);
  const { n, hits, support, predicted } = totals;
  if (n === 0) throw new InputError('there is nothing to score: no utterance has a reference label');
  const perClass = counts.labels.map(
    (label, i): ClassMetrics => ({
      label,
      precision: ratio(hits[i]!, predicted[i]!),
      recall: ratio(hits[i]!, support[i]!),
      f1: ratio(2 * hits[i]!, support[i]! + predicted[i]!), // 2PR / (P + R), with P = hits / predicted, R = hits / support
      support: support[i]!,
      predicted: predicted[i]!,
    }),
  );
  return { kind: 'single', ...counts, n, ...metricFigures(totals), perClass };
}

/** The metrics of labels, from totals that are not all zero. */
export function metricFigures(totals: ConfusionTotals): MetricFigures {
  return ofMetrics((_, metric) => metric.compute(totals));
}

/** The metrics of probabilities that test sets are scored by. */
export function probabilityFigures(
  outcomes: readonly ProbabilisticOutcome[],
  labels: readonly string[],
): ProbabilityFigures {
  return Object.fromEntries(
    probabilityMetrics.map((metric) => [metric.key, metric.compute(outcomes, labels)]),
  ) as ProbabilityFigures;
}

/**
 * What a validation records, by the keys of the metrics.
 * @param outcomes of one utterance or more, with labels and probabilities
 * @param select what epochs are selected by, where a metric does
 */
export function validationFigures(
  outcomes: readonly (Outcome & ProbabilisticOutcome)[],
  labels: readonly string[],
  select?: SelectKey,
): Record<string, number> {
  const scores = classificationMetrics(outcomes, labels);
  return Object.fromEntries(
    validationMetrics(select).map((metric) => [
      metric.key,
      metric.kind === 'counts'
        ? scores[metric.key as MetricKey]
        : (metric.compute(outcomes, labels) ?? Number.NaN),
    ]),
  );
}

function ratio(numerator: number, denominator: number): number {
  return denominator === 0 ? 0 : numerator / denominator;
}
