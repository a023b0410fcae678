/** @file Classification metrics from reference and predicted labels: WA, UA, weighted and macro F1, confusion. */

import { InputError } from '../base/index.js';

/** The metrics that summaries and tables carry. */
export const headlineMetrics = ['wa', 'ua', 'wf1', 'macroF1'] as const;
export type HeadlineMetric = (typeof headlineMetrics)[number];

/** Their names in JSON and CSV. */
export const metricKeys = { wa: 'wa', ua: 'ua', wf1: 'wf1', macroF1: 'macro_f1' } as const;

/** One scored utterance. `label` is absent where the system gave no answer. */
export interface Outcome {
  readonly reference: string;
  readonly label?: string | undefined;
}

/** Counts from which every metric here follows; counts of parts add up to the counts of the whole. */
export interface ConfusionCounts {
  readonly labels: readonly string[];
  /** Utterances by [reference class, predicted class], in the order of `labels`. */
  readonly confusion: readonly (readonly number[])[];
  /** Utterances without a predicted label, by reference class. */
  readonly unanswered: readonly number[];
}

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

/** The metrics of the paper (WA, UA, weighted F1) and their parts. All are fractions, and higher is better. */
export interface Metrics extends ConfusionCounts, Readonly<Record<HeadlineMetric, number>> {
  /** Utterances with a reference label. */
  readonly n: number;
  /** Weighted accuracy: the share of all utterances that is right (scikit-learn's `accuracy_score`). */
  readonly wa: number;
  /**
   * Unweighted accuracy: recall averaged over the classes that have at least one reference, as scikit-learn's
   * `balanced_accuracy_score` does. A class without references has no recall and is left out, not counted as 0.
   */
  readonly ua: number;
  /** F1 averaged with the class supports as weights (`f1_score(average="weighted")`). */
  readonly wf1: number;
  /** F1 averaged over the classes that occur among references or predictions (`f1_score(average="macro")`). */
  readonly macroF1: number;
  readonly perClass: readonly ClassMetrics[];
}

/**
 * Counts outcomes by reference and predicted class.
 * @throws InputError when a label is not one of `labels`.
 */
export function countOutcomes(outcomes: Iterable<Outcome>, labels: readonly string[]): ConfusionCounts {
  const classes = labels.length;
  const cells = new Array<number>(classes * (classes + 1)).fill(0);
  for (const cell of outcomeCells(outcomes, labels)) cells[cell]! += 1;
  const rows = labels.map((_, i) => cells.slice(i * (classes + 1), (i + 1) * (classes + 1)));
  return {
    labels,
    confusion: rows.map((row) => row.slice(0, classes)),
    unanswered: rows.map((row) => row[classes]!),
  };
}

/**
 * Each outcome as a cell of the table [reference, predicted or unanswered], whose rows are `labels.length` + 1 long.
 * @throws InputError when a label is not one of `labels`.
 */
export function outcomeCells(outcomes: Iterable<Outcome>, labels: readonly string[]): number[] {
  const classOf = new Map(labels.map((label, index) => [label, index]));
  const indexOf = (label: string, what: string): number => {
    const index = classOf.get(label);
    if (index === undefined) {
      throw new InputError(`${what} "${label}" is not one of the labels ${labels.join(', ')}`);
    }
    return index;
  };
  return Array.from(outcomes, ({ reference, label }) => {
    const row = indexOf(reference, 'reference');
    const column = label === undefined ? labels.length : indexOf(label, 'predicted label');
    return row * (labels.length + 1) + column;
  });
}

/** Adds counts over the same labels, as of the folds of one cross-validation. `counts` has at least one part. */
export function addCounts(counts: readonly ConfusionCounts[]): ConfusionCounts {
  const labels = counts[0]!.labels;
  return {
    labels,
    confusion: labels.map((_, i) => labels.map((_, j) => sum(counts.map((part) => part.confusion[i]![j]!)))),
    unanswered: labels.map((_, i) => sum(counts.map((part) => part.unanswered[i]!))),
  };
}

/**
 * Every metric from counts. An utterance without an answer is wrong: it stays in n and in its class's recall.
 * @throws InputError when there is nothing to score.
 */
export function metricsOfCounts(counts: ConfusionCounts): Metrics {
  const { labels, confusion, unanswered } = counts;
  const perClass = labels.map((label, i): ClassMetrics => {
    const hits = confusion[i]![i]!;
    const support = sum(confusion[i]!) + unanswered[i]!;
    const predicted = sum(confusion.map((row) => row[i]!));
    return {
      label,
      precision: ratio(hits, predicted),
      recall: ratio(hits, support),
      f1: ratio(2 * hits, support + predicted), // 2PR / (P + R), with P = hits / predicted, R = hits / support
      support,
      predicted,
    };
  });
  const n = sum(perClass.map((c) => c.support));
  if (n === 0) throw new InputError('there is nothing to score: no utterance has a reference label');
  const cells = confusion.flatMap((row, i) => [...row, unanswered[i]!]);
  return { ...counts, n, ...headlineFigures(cells, labels.length), perClass };
}

/**
 * The headline metrics of counted cells, as `Metrics` defines them; quick, because a bootstrap asks ten thousand times.
 * @param cells [classes, classes + 1] row by row, as of {@link outcomeCells}; not all zero
 */
export function headlineFigures(cells: ArrayLike<number>, classes: number): Record<HeadlineMetric, number> {
  let n = 0;
  let right = 0;
  let [recalls, referenced] = [0, 0];
  let weightedF1 = 0;
  let [f1s, occurring] = [0, 0];
  for (let i = 0; i < classes; i++) {
    const hits = cells[i * (classes + 1) + i]!;
    let support = 0;
    for (let j = 0; j <= classes; j++) support += cells[i * (classes + 1) + j]!;
    let predicted = 0;
    for (let j = 0; j < classes; j++) predicted += cells[j * (classes + 1) + i]!;
    n += support;
    right += hits;
    if (support + predicted === 0) continue;
    const f1 = (2 * hits) / (support + predicted);
    weightedF1 += f1 * support;
    f1s += f1;
    occurring += 1;
    if (support === 0) continue;
    recalls += hits / support;
    referenced += 1;
  }
  return { wa: right / n, ua: recalls / referenced, wf1: weightedF1 / n, macroF1: f1s / occurring };
}

/** Metrics of outcomes over `labels`. @throws InputError for a label outside the set, or without outcomes. */
export function classificationMetrics(outcomes: Iterable<Outcome>, labels: readonly string[]): Metrics {
  return metricsOfCounts(countOutcomes(outcomes, labels));
}

/**
 * Index of the largest value; of equal ones the first, as numpy's argmax.
 * @throws RangeError without values, or where one is not a number: the largest is then unknown
 */
export function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 0; i < values.length; i++) {
    if (Number.isNaN(values[i])) throw new RangeError(`value ${i} of ${values.length} is not a number`);
    if (values[i]! > values[best]!) best = i;
  }
  if (values.length === 0) throw new RangeError('there is no largest of no values');
  return best;
}

function ratio(numerator: number, denominator: number): number {
  return denominator === 0 ? 0 : numerator / denominator;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
