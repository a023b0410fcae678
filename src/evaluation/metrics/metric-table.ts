/**
 * @file The metrics, one row each. A row is all there is to a metric: results.json, CSV, tables, intervals, comparisons, the
 * report and the recipe's `select` go through this table.
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

/** What every metric says of itself. */
interface MetricDescription {
  /** In results.json, CSV, metrics.jsonl, and in code. */
  readonly key: string;
  /** In tables. */
  readonly short: string;
  /** In plots and on pages. */
  readonly title: string;
  /** `%`: a fraction, which people are shown in percent. null: a number without a unit. */
  readonly unit: '%' | 'nats' | null;
  readonly higherIsBetter: boolean;
  /**
   * What a test set's result does with it. `column`: everything. `listed`: everything but a column in the tables of a
   * terminal, which would become too wide. null: nothing.
   */
  readonly test: 'column' | 'listed' | null;
  /** Whether every validation records it, or only one that selects by it; null: none. */
  readonly validation: 'recorded' | 'selected' | null;
  /** What a recipe's `select` calls it; null where it does not select. */
  readonly select: string | null;
}

/** A metric of predicted labels, which follows from the confusion matrix. The bootstrap gives it intervals. */
export interface CountMetric extends MetricDescription {
  readonly kind: 'counts';
  readonly test: 'column' | 'listed';
  /** What the paper's tables call it; null where they do not have it. */
  readonly paper: string | null;
  /** @param totals of one utterance or more. It is asked ten thousand times by a bootstrap. */
  compute(totals: ConfusionTotals): number;
  /**
   * The expected value where each of the classes is answered with the same probability.
   * @param supports utterances of each class, one or more in all
   */
  chance(supports: readonly number[]): number;
  /** A 95 % interval in closed form; without one the bootstrap finds it. */
  readonly interval?: ClosedInterval;
}

/** A metric of the classes' probabilities. */
export interface ProbabilityMetric extends MetricDescription {
  readonly kind: 'probabilities';
  /** null where no outcome has probabilities. */
  compute(outcomes: readonly ProbabilisticOutcome[], labels: readonly string[]): number | null;
}

export type Metric = CountMetric | ProbabilityMetric;

/** In the order of all output: metrics of labels first. */
const rows = [
  {
    // Weighted accuracy: the share of all utterances that is right (scikit-learn's `accuracy_score`).
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
    // Unweighted accuracy: recall averaged over the classes that have at least one reference, as scikit-learn's
    // `balanced_accuracy_score` does. A class without references has no recall and is left out, not counted as 0.
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
    // F1 averaged with the class supports as weights (`f1_score(average="weighted")`).
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
    // Cohen's kappa (1960): how far the accuracy is above that of answers of the same frequencies in another order, as a
    // share of how far it could be (`cohen_kappa_score`). An utterance without an answer agrees with nothing. 1 where one
    // class is all there is, which is right; scikit-learn leaves that undefined.
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
    chance: () => 0, // given how often each class is answered, the expected agreement is `expected`
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
    // Mean negative logarithm of the reference's probability, which is held to 1e-30 from below.
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

/** Keys of the metrics of labels. */
export type MetricKey = Extract<Row, { kind: 'counts' }>['key'];
/** Keys of the metrics of probabilities that test sets are scored by. */
export type ProbabilityKey = Extract<Row, { kind: 'probabilities'; test: string }>['key'];
/** Metrics that the paper's tables have. */
export type PaperKey = Extract<Row, { paper: string }>['key'];
/** What a recipe may select by. */
export type SelectKey = Exclude<Row['select'], null>;

/** Every metric, in the order of all output. */
export const metrics: readonly Metric[] = rows;

/** The metrics of labels. */
export const countMetrics = rows.filter((row) => row.kind === 'counts') as readonly (CountMetric & {
  readonly key: MetricKey;
})[];

export const metricKeys: readonly MetricKey[] = countMetrics.map(({ key }) => key);

/** The metrics of probabilities that test sets are scored by. */
export const probabilityMetrics = rows.filter(
  (row) => row.kind === 'probabilities' && row.test !== null,
) as readonly (ProbabilityMetric & { readonly key: ProbabilityKey })[];

/** The metrics that the paper's tables have, which ablations and lists of runs are of. */
export const paperMetrics = countMetrics.filter(({ paper }) => paper !== null) as readonly (CountMetric & {
  readonly key: PaperKey;
  readonly paper: string;
})[];

export const selectKeys: readonly SelectKey[] = rows.flatMap(({ select }) =>
  select === null ? [] : [select],
);

/** The metric that a recipe's `select` names. */
export function selectableMetric(select: SelectKey): Metric {
  return rows.find((row) => row.select === select)!;
}

/** The metrics that a validation records. @param select what an epoch is selected by, where a metric does */
export function validationMetrics(select?: SelectKey): readonly Metric[] {
  return metrics.filter(
    ({ validation, select: own }) =>
      validation === 'recorded' || (validation === 'selected' && own === select),
  );
}

/** A value for each metric of labels, under its key. */
export function ofMetrics<T>(of: (key: MetricKey, metric: CountMetric) => T): Readonly<Record<MetricKey, T>> {
  return Object.fromEntries(countMetrics.map((metric) => [metric.key, of(metric.key, metric)])) as Record<
    MetricKey,
    T
  >;
}

/** The same for each metric that the paper's tables have. */
export function ofPaperMetrics<T>(of: (key: PaperKey) => T): Readonly<Record<PaperKey, T>> {
  return Object.fromEntries(paperMetrics.map(({ key }) => [key, of(key)])) as Record<PaperKey, T>;
}
