/** @file Intervals of accuracy and of mean recall from counts alone, which hold for few utterances and for none wrong. */

import type { ConfusionTotals } from './confusion.js';

/** Both ends, fractions where the metric is one. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** An interval of a metric, 95 %, from one or more counted utterances. */
export type ClosedInterval = (totals: ConfusionTotals) => Interval;

/** The normal quantile of 97.5 %, for intervals of 95 %. */
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
 * Of UA, 95 %: the mean of the classes' recalls, each a proportion with Wilson's interval, whose distances to the recalls
 * add up in squares (the method of variance estimates recovery, Zou and Donner 2008).
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
