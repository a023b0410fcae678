/** @file Counts outcomes by reference and predicted class, the input of every label metric. */

import { InputError } from '../../base/index.js';

/** One scored utterance. `label` is absent where the system gave no answer. */
export interface Outcome {
  readonly reference: string;
  readonly label?: string | undefined;
}

/** The input of the probability metrics. */
export interface ProbabilisticOutcome {
  readonly reference: string;
  /** [classes], in the order of the labels; absent if the system gave none. */
  readonly probabilities?: ArrayLike<number> | undefined;
}

/** Counts that determine every label metric. The counts of parts add up to the counts of the whole. */
export interface ConfusionCounts {
  readonly labels: readonly string[];
  /** Utterances by [reference class, predicted class], in the order of `labels`. */
  readonly confusion: readonly (readonly number[])[];
  /** Utterances without a predicted label, by reference class. */
  readonly unanswered: readonly number[];
}

/** A confusion matrix with a last column for missing answers, and its totals. */
export interface ConfusionTotals {
  readonly classes: number;
  /** [classes, classes + 1], row by row, as in {@link outcomeCells}. */
  readonly cells: ArrayLike<number>;
  /** Number of utterances. */
  readonly n: number;
  /** Utterances predicted correctly. */
  readonly right: number;
  /** Per class: utterances predicted correctly. */
  readonly hits: readonly number[];
  /** Per class: utterances whose reference it is. */
  readonly support: readonly number[];
  /** Per class: utterances predicted as it. */
  readonly predicted: readonly number[];
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
 * Maps each outcome to a cell of the table [reference, predicted or unanswered], whose rows are `labels.length` + 1
 * long.
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

/** Adds up counts over the same labels, such as the folds of one cross-validation. `counts` has at least one part. */
export function addCounts(counts: readonly ConfusionCounts[]): ConfusionCounts {
  const labels = counts[0]!.labels;
  return {
    labels,
    confusion: labels.map((_, i) => labels.map((_, j) => sum(counts.map((part) => part.confusion[i]![j]!)))),
    unanswered: labels.map((_, i) => sum(counts.map((part) => part.unanswered[i]!))),
  };
}

/** The totals of counted cells. @param cells [classes, classes + 1] row by row */
export function totalsOf(cells: ArrayLike<number>, classes: number): ConfusionTotals {
  const [hits, support, predicted]: [number[], number[], number[]] = [[], [], []];
  let [n, right] = [0, 0];
  for (let i = 0; i < classes; i++) {
    let [own, asOwn] = [0, 0];
    for (let j = 0; j <= classes; j++) own += cells[i * (classes + 1) + j]!;
    for (let j = 0; j < classes; j++) asOwn += cells[j * (classes + 1) + i]!;
    const hit = cells[i * (classes + 1) + i]!;
    hits.push(hit);
    support.push(own);
    predicted.push(asOwn);
    n += own;
    right += hit;
  }
  return { classes, cells, n, right, hits, support, predicted };
}

/**
 * Index of the largest value; the first one on a tie, as in numpy's argmax.
 * @throws RangeError when there are no values, or one is NaN
 */
export function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 0; i < values.length; i++) {
    if (Number.isNaN(values[i])) throw new RangeError(`value ${i} of ${values.length} is not a number`);
    if (values[i]! > values[best]!) best = i;
  }
  if (values.length === 0) throw new RangeError('argmax of an empty list');
  return best;
}

/** The totals of confusion counts. */
export function totalsOfCounts({ labels, confusion, unanswered }: ConfusionCounts): ConfusionTotals {
  return totalsOf(
    confusion.flatMap((row, i) => [...row, unanswered[i]!]),
    labels.length,
  );
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
