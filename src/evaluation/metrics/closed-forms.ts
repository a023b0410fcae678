/** @file Closed forms from counts: F1, its expected value under guessing, and intervals of accuracy and mean recall. */

import { type ConfusionTotals, sum } from './confusion.js';

/** Both endpoints; fractions if the metric is one. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** A 95 % interval of a metric, from one or more utterances. */
export type ClosedInterval = (totals: ConfusionTotals) => Interval;

/** The 97.5 % quantile of the normal distribution, for 95 % intervals. */
const Z = 1.959963984540054;

/** Wilson's score interval of a proportion (Wilson 1927), 95 %. `total` is at least 1. */
export function wilsonInterval(successes: number, total: number): Interval {
  const share = successes / total;
  const centre = share + Z ** 2 / (2 * total);
  const margin = Z * Math.sqrt((share * (1 - share)) / total + Z ** 2 / (4 * total ** 2));
  const scale = 1 + Z ** 2 / total;
  return { low: Math.max(0, (centre - margin) / scale), high: Math.min(1, (centre + margin) / scale) };
}

/** Of WA: Wilson's, 95 %. */
export function accuracyInterval({ right, n }: ConfusionTotals): Interval {
  return wilsonInterval(right, n);
}

/**
 * Of UA, 95 %: the mean of the per-class recalls, each a proportion with a Wilson interval. The distances of the
 * interval ends from the recalls are combined in quadrature (the method of variance estimates recovery, Zou and Donner
 * 2008).
 */
export function meanRecallInterval({ hits, support }: ConfusionTotals): Interval {
  const limits = hits.flatMap((hit, k) =>
    support[k] === 0 ? [] : [{ recall: hit / support[k]!, ...wilsonInterval(hit, support[k]!) }],
  );
  const ua = limits.reduce((sum, { recall }) => sum + recall, 0) / limits.length;
  const distance = (of: (limit: (typeof limits)[number]) => number): number =>
    Math.sqrt(limits.reduce((sum, limit) => sum + of(limit) ** 2, 0)) / limits.length;
  return {
    low: Math.max(0, ua - distance(({ recall, low }) => recall - low)),
    high: Math.min(1, ua + distance(({ recall, high }) => high - recall)),
  };
}

/** F1 of each class; null for a class that occurs neither among references nor among predictions. */
export function classF1({ hits, support, predicted }: ConfusionTotals): (number | null)[] {
  return hits.map((hit, k) => {
    const occurrences = support[k]! + predicted[k]!;
    return occurrences === 0 ? null : (2 * hit) / occurrences;
  });
}

/**
 * Expected F1 of each class when answers are drawn uniformly from C classes for each of N utterances, n_k of them of
 * class k. F1 of class k is 2 T / (n_k + P), with P ~ Binomial(N, 1/C) answers of which T are right. T given P is P n_k
 * / N on average, so E[F1_k] = (2 n_k / N) E[P / (P + n_k)], an exact sum over P. 0 without references.
 */
export function expectedF1(supports: readonly number[]): number[] {
  const n = sum(supports);
  const answers = binomial(n, 1 / supports.length);
  return supports.map((support) =>
    support === 0
      ? 0
      : ((2 * support) / n) * sum(answers.map(({ count, share }) => (share * count) / (count + support))),
  );
}

/** P(X = count) for X ~ Binomial(n, p), where it is not negligible: ratios of neighbours, starting from the mode. */
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
