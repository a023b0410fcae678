/**
 * @file What costs nothing, on the same test set: always answering the most frequent class, and guessing. A system is
 * worth something where it is above them.
 */

import {
  argmax,
  classificationMetrics,
  countOutcomes,
  type HeadlineMetric,
  headlineMetrics,
  type Outcome,
} from './metrics.js';

export type HeadlineFigures = Readonly<Record<HeadlineMetric, number>>;

/** Figures of two systems that have learnt nothing. */
export interface Baselines {
  /** Always the most frequent class. */
  readonly majority: HeadlineFigures & {
    /** The class; several where folds or seeds have training sets of which others are the most frequent. */
    readonly labels: readonly string[];
    /** Of which set it is the most frequent: a training set where that is known, else the test set itself. */
    readonly from: 'training' | 'test';
  };
  /** Each class guessed with the same probability: expected values. */
  readonly chance: HeadlineFigures;
}

/**
 * The baselines of a test set.
 * @param outcomes of which the references count
 * @param trained for each outcome, the most frequent class of what its model was trained on; undefined where that is
 *   not known
 * @param guessed references to guess at: those of one seed where the same ones are there for each
 */
export function baselinesOf(
  outcomes: readonly Outcome[],
  labels: readonly string[],
  trained: readonly string[] | undefined,
  guessed: readonly Outcome[] = outcomes,
): Baselines {
  const own = mostFrequent(labels, supportsOf(outcomes, labels));
  const majority = trained ?? outcomes.map(() => own);
  const answers = outcomes.map(({ reference }, row): Outcome => ({ reference, label: majority[row]! }));
  return {
    majority: {
      ...headline(classificationMetrics(answers, labels)),
      labels: [...new Set(majority)],
      from: trained === undefined ? 'test' : 'training',
    },
    chance: chanceFigures(supportsOf(guessed, labels)),
  };
}

/** The most frequent class. @param counts utterances of each label, in label order; of equal ones the first */
export function mostFrequent(labels: readonly string[], counts: readonly number[]): string {
  return labels[argmax(counts)]!;
}

/**
 * Expected figures of an answer drawn uniformly from the C classes for each of N utterances, n_k of them of class k.
 * WA and UA: 1 / C. F1 of class k is 2 T / (n_k + P) with P ~ Binomial(N, 1/C) answers of which T are right, and T given P
 * is P n_k / N on average: E[F1_k] = (2 n_k / N) E[P / (P + n_k)], an exact sum over P. Weighted F1 is their mean with
 * the weights n_k / N; macro F1 their mean over the C classes, of which one without references has an F1 of 0.
 */
function chanceFigures(supports: readonly number[]): HeadlineFigures {
  const classes = supports.length;
  const n = sum(supports);
  const answers = binomial(n, 1 / classes);
  const f1 = supports.map((support) =>
    support === 0
      ? 0
      : ((2 * support) / n) * sum(answers.map(({ count, share }) => (share * count) / (count + support))),
  );
  return {
    wa: 1 / classes,
    ua: 1 / classes,
    wf1: sum(f1.map((value, k) => (value * supports[k]!) / n)),
    macroF1: sum(f1) / classes,
  };
}

/** P(X = count) for X ~ Binomial(n, p), where it is not negligible: ratios of neighbours from the likeliest count on. */
function binomial(n: number, p: number): { count: number; share: number }[] {
  const mode = Math.min(n, Math.floor((n + 1) * p));
  const odds = p / (1 - p);
  const terms = [{ count: mode, weight: 1 }];
  for (let k = mode, weight = 1; k < n && weight > Number.EPSILON ** 2; k++) {
    weight *= (odds * (n - k)) / (k + 1);
    terms.push({ count: k + 1, weight });
  }
  for (let k = mode, weight = 1; k > 0 && weight > Number.EPSILON ** 2; k--) {
    weight *= k / (odds * (n - k + 1));
    terms.push({ count: k - 1, weight });
  }
  const total = sum(terms.map(({ weight }) => weight));
  return terms.map(({ count, weight }) => ({ count, share: weight / total }));
}

function supportsOf(outcomes: readonly Outcome[], labels: readonly string[]): number[] {
  const { confusion, unanswered } = countOutcomes(
    outcomes.map(({ reference }) => ({ reference })),
    labels,
  );
  return confusion.map((row, k) => sum(row) + unanswered[k]!);
}

function headline(figures: HeadlineFigures): HeadlineFigures {
  return Object.fromEntries(headlineMetrics.map((metric) => [metric, figures[metric]])) as HeadlineFigures;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
