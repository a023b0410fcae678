/** @file What is known of a figure beside its value: an interval around it, and how it was found. */

import type { HeadlineMetric } from '../metrics.js';

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
