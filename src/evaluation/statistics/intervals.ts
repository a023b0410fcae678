/** @file Intervals of accuracy and of mean recall from counts alone, which hold for few utterances and for none wrong. */

import type { HeadlineMetric, Metrics } from '../metrics.js';

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
export function accuracyInterval({ wa, n }: Pick<Metrics, 'wa' | 'n'>): Interval {
  return wilsonInterval(Math.round(wa * n), n);
}

/**
 * Of UA, 95 %: the mean of the classes' recalls, each a proportion with Wilson's interval, whose distances to the recalls
 * add up in squares (the method of variance estimates recovery, Zou and Donner 2008).
 */
export function meanRecallInterval({ ua, perClass }: Pick<Metrics, 'ua' | 'perClass'>): Interval {
  const classes = perClass.filter(({ support }) => support > 0);
  const limits = classes.map(({ recall, support }) => ({
    recall,
    ...wilsonInterval(Math.round(recall * support), support),
  }));
  const distance = (of: (limit: (typeof limits)[number]) => number): number =>
    Math.sqrt(limits.reduce((sum, limit) => sum + of(limit) ** 2, 0)) / limits.length;
  return {
    low: Math.max(0, ua - distance(({ recall, low }) => recall - low)),
    high: Math.min(1, ua + distance(({ recall, high }) => high - recall)),
  };
}

/** Both ends, fractions. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** What is drawn with replacement: single utterances, or all utterances of a speaker or a dialogue together. */
export type ResamplingUnit = 'utterance' | 'speaker' | 'dialogue';

/** Percentile bootstrap intervals of the headline metrics. */
export interface BootstrapIntervals {
  /** Share of resamples between the ends, such as 0.95. */
  readonly level: number;
  readonly resamples: number;
  readonly seed: number;
  readonly unit: ResamplingUnit;
  /** How many of the unit were drawn from. */
  readonly units: number;
  readonly metrics: Readonly<Record<HeadlineMetric, Interval>>;
}
