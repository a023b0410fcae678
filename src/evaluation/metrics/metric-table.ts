/**
 * @file The table of metrics, one row each. A row fully defines a metric: results.json, CSV, tables, intervals,
 * comparisons, the report and the recipe's `select` all read this table.
 */

import { calibrationOf } from './calibration.js';
import {
  accuracyInterval,
  type ClosedInterval,
  classF1,
  expectedF1,
  meanRecallInterval,
} from './closed-forms.js';
import { type ConfusionTotals, type ProbabilisticOutcome, sum } from './confusion.js';

/** Fields of every metric. */
interface MetricDescription {
  /** Key in results.json, CSV, metrics.jsonl, and in code. */
  readonly key: string;
  /** Name in tables. */
  readonly short: string;
  /** Name in plots and on pages. */
  readonly title: string;
  /** `%`: a fraction, displayed in percent. null: a number without a unit. */
  readonly unit: '%' | 'nats' | null;
  readonly higherIsBetter: boolean;
  /**
   * How test set results show it. `column`: everywhere. `listed`: everywhere except in terminal tables, which would
   * become too wide. null: nowhere.
   */
  readonly test: 'column' | 'listed' | null;
  /** Whether every validation records it, or only one that selects by it; null: none does. */
  readonly validation: 'recorded' | 'selected' | null;
  /** Its name in a recipe's `select`; null if it cannot be selected by. */
  readonly select: string | null;
}

/** A metric of predicted labels, computed from the confusion matrix. The bootstrap gives it intervals. */
export interface CountMetric extends MetricDescription {
  readonly kind: 'counts';
  readonly test: 'column' | 'listed';
  /** Its name in the paper's tables; null if they do not have it. */
  readonly paper: string | null;
  /** @param totals of one utterance or more. The bootstrap calls this ten thousand times. */
  compute(totals: ConfusionTotals): number;
  /**
   * The expected value when every class is answered with equal probability.
   * @param supports utterances of each class, one or more in all
   */
  chance(supports: readonly number[]): number;
  /** A 95 % interval in closed form; without it the bootstrap computes one. */
  readonly interval?: ClosedInterval;
}

/** A metric of class probabilities. */
export interface ProbabilityMetric extends MetricDescription {
  readonly kind: 'probabilities';
  /** null when no outcome has probabilities. */
  compute(outcomes: readonly ProbabilisticOutcome[], labels: readonly string[]): number | null;
}

export type Metric = CountMetric | ProbabilityMetric;

/** In output order; label metrics come first. */
const rows = [
  {
    // Weighted accuracy: the share of correct utterances (scikit-learn's `accuracy_score`).
    kind: 'counts',
    key: 'wa',
    short: 'WA',
    title: 'WA',
    unit: '%',
    higherIsBetter: true,
    test: 'column',
    validation: 'recorded',
    select: 'wa',
    paper: 'WA',
    compute: ({ right, n }) => right / n,
    chance: (supports) => 1 / supports.length,
    interval: accuracyInterval,
  },
  {
    // Unweighted accuracy: recall averaged over the classes that have at least one reference, as in scikit-learn's
    // `balanced_accuracy_score`. A class without references has no recall and is left out rather than counted as 0.
    kind: 'counts',
    key: 'ua',
    short: 'UA',
    title: 'UA',
    unit: '%',
    higherIsBetter: true,
    test: 'column',
    validation: 'recorded',
    select: 'ua',
    paper: 'UA',
    compute: ({ hits, support }) => {
      const recalls = hits.flatMap((hit, k) => (support[k] === 0 ? [] : [hit / support[k]!]));
      return sum(recalls) / recalls.length;
    },
    chance: (supports) => 1 / supports.length,
    interval: meanRecallInterval,
  },
  {
    // F1 averaged with class supports as weights (`f1_score(average="weighted")`).
    kind: 'counts',
    key: 'wf1',
    short: 'WF1',
    title: 'weighted F1',
    unit: '%',
    higherIsBetter: true,
    test: 'column',
    validation: 'recorded',
    select: 'wf1',
    paper: 'F1',
    compute: (totals) => sum(classF1(totals).map((f1, k) => (f1 ?? 0) * totals.support[k]!)) / totals.n,
    chance: (supports) => {
      const n = sum(supports);
      return sum(expectedF1(supports).map((f1, k) => (f1 * supports[k]!) / n));
    },
  },
  {
    // F1 averaged over the classes that occur among references or predictions (`f1_score(average="macro")`).
    kind: 'counts',
    key: 'macro_f1',
    short: 'macro F1',
    title: 'macro F1',
    unit: '%',
    higherIsBetter: true,
    test: 'column',
    validation: null,
    select: null,
    paper: null,
    compute: (totals) => {
      const occurring = classF1(totals).filter((f1) => f1 !== null);
      return sum(occurring) / occurring.length;
    },
    chance: (supports) => sum(expectedF1(supports)) / supports.length,
  },
  {
    // Cohen's kappa (1960): how far the accuracy exceeds the agreement expected by chance, given how often each class
    // is answered, as a share of the largest possible excess (`cohen_kappa_score`). An utterance without an answer
    // agrees with nothing. 1 when there is only one class and all answers are right, which scikit-learn leaves
    // undefined.
    kind: 'counts',
    key: 'kappa',
    short: 'kappa',
    title: "Cohen's kappa",
    unit: null,
    higherIsBetter: true,
    test: 'listed',
    validation: 'selected',
    select: 'kappa',
    paper: null,
    compute: ({ right, n, support, predicted }) => {
      const expected = sum(support.map((own, k) => own * predicted[k]!)) / n ** 2;
      return expected === 1 ? 1 : (right / n - expected) / (1 - expected);
    },
    chance: () => 0, // expected agreement is `expected` regardless of the order of the answers
  },
  {
    // Expected calibration error, see calibration.ts.
    kind: 'probabilities',
    key: 'ece',
    short: 'ECE',
    title: 'expected calibration error',
    unit: '%',
    higherIsBetter: false,
    test: 'column',
    validation: null,
    select: null,
    compute: (outcomes, labels) => calibrationOf(outcomes, labels)?.ece ?? null,
  },
  {
    // Mean negative log-probability of the reference, with probabilities clamped to at least 1e-30.
    kind: 'probabilities',
    key: 'nll',
    short: 'nll',
    title: 'negative log-likelihood',
    unit: 'nats',
    higherIsBetter: false,
    test: null,
    validation: 'recorded',
    select: 'loss',
    compute: (outcomes, labels) => {
      const known = outcomes.flatMap(({ reference, probabilities }) =>
        probabilities === undefined ? [] : [probabilities[labels.indexOf(reference)]!],
      );
      return known.length === 0
        ? null
        : -sum(known.map((share) => Math.log(Math.max(share, 1e-30)))) / known.length;
    },
  },
] as const satisfies readonly Metric[];

type Row = (typeof rows)[number];

/** Keys of the label metrics. */
export type MetricKey = Extract<Row, { kind: 'counts' }>['key'];
/** Keys of the probability metrics reported for test sets. */
export type ProbabilityKey = Extract<Row, { kind: 'probabilities'; test: string }>['key'];
/** Metrics in the paper's tables. */
export type PaperKey = Extract<Row, { paper: string }>['key'];
/** Values that a recipe may select by. */
export type SelectKey = Exclude<Row['select'], null>;

/** Every metric, in output order. */
export const metrics: readonly Metric[] = rows;

/** The label metrics. */
export const countMetrics = rows.filter((row) => row.kind === 'counts') as readonly (CountMetric & {
  readonly key: MetricKey;
})[];

export const metricKeys: readonly MetricKey[] = countMetrics.map(({ key }) => key);

/** The probability metrics reported for test sets. */
export const probabilityMetrics = rows.filter(
  (row) => row.kind === 'probabilities' && row.test !== null,
) as readonly (ProbabilityMetric & { readonly key: ProbabilityKey })[];

/** The metrics in the paper's tables, which ablations and run lists show. */
export const paperMetrics = countMetrics.filter(({ paper }) => paper !== null) as readonly (CountMetric & {
  readonly key: PaperKey;
  readonly paper: string;
})[];

export const selectKeys: readonly SelectKey[] = rows.flatMap(({ select }) =>
  select === null ? [] : [select],
);

/** Looks up the metric that a recipe's `select` names. */
export function selectableMetric(select: SelectKey): Metric {
  return rows.find((row) => row.select === select)!;
}

/** The metrics that a validation records. @param select the metric that selects epochs, if any */
export function validationMetrics(select?: SelectKey): readonly Metric[] {
  return metrics.filter(
    ({ validation, select: own }) =>
      validation === 'recorded' || (validation === 'selected' && own === select),
  );
}

/** Builds a value for each label metric, by key. */
export function ofMetrics<T>(of: (key: MetricKey, metric: CountMetric) => T): Readonly<Record<MetricKey, T>> {
  return Object.fromEntries(countMetrics.map((metric) => [metric.key, of(metric.key, metric)])) as Record<
    MetricKey,
    T
  >;
}

/** Builds a value for each metric in the paper's tables, by key. */
export function ofPaperMetrics<T>(of: (key: PaperKey) => T): Readonly<Record<PaperKey, T>> {
  return Object.fromEntries(paperMetrics.map(({ key }) => [key, of(key)])) as Record<PaperKey, T>;
}
