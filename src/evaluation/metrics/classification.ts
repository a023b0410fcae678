/** @file Computes the metrics of outcomes, overall and per class. */

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

/** Figures of one class, fractions in [0, 1]; 0 when the denominator is 0 (scikit-learn's `zero_division=0`). */
export interface ClassMetrics {
  readonly label: string;
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
  /** Utterances whose reference is this class. */
  readonly support: number;
  /** Utterances predicted as this class. */
  readonly predicted: number;
}

/** A value for each label metric; see the table of metrics for their definitions. */
export type MetricFigures = Readonly<Record<MetricKey, number>>;

/** A value for each probability metric of a test set; null without probabilities. */
export type ProbabilityFigures = Readonly<Record<ProbabilityKey, number | null>>;

/** The label metrics of a set of utterances, with the counts they are computed from. */
export interface Metrics extends ConfusionCounts, MetricFigures {
  readonly kind: 'single';
  /** Utterances with a reference label. */
  readonly n: number;
  readonly perClass: readonly ClassMetrics[];
}

/** Metrics of outcomes over `labels`. @throws InputError for an unknown label, or when there are no outcomes. */
export function classificationMetrics(outcomes: Iterable<Outcome>, labels: readonly string[]): Metrics {
  return metricsOfCounts(countOutcomes(outcomes, labels));
}

/**
 * Every label metric, from counts. An utterance without an answer counts as wrong: it stays in n and in its class's
 * recall.
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

/** The label metrics, from totals that are not all zero. */
export function metricFigures(totals: ConfusionTotals): MetricFigures {
  return ofMetrics((_, metric) => metric.compute(totals));
}

/** The probability metrics of a test set. */
export function probabilityFigures(
  outcomes: readonly ProbabilisticOutcome[],
  labels: readonly string[],
): ProbabilityFigures {
  return Object.fromEntries(
    probabilityMetrics.map((metric) => [metric.key, metric.compute(outcomes, labels)]),
  ) as ProbabilityFigures;
}

/**
 * The figures that a validation records, by metric key.
 * @param outcomes one or more, with labels and probabilities
 * @param select the metric that selects epochs, if any
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
