/** @file Cross-validation: metrics per fold, their mean and standard deviation, and pooled over all folds. */

import { InputError } from '../base/index.js';
import { addCounts, classificationMetrics, type Metrics, metricsOfCounts, type Outcome } from './metrics.js';

/** The metrics that summaries and tables carry. */
export const headlineMetrics = ['wa', 'ua', 'wf1', 'macroF1'] as const;
export type HeadlineMetric = (typeof headlineMetrics)[number];

/** The outcomes of one fold's held-out utterances. */
export interface FoldOutcomes {
  readonly fold: string;
  readonly outcomes: Iterable<Outcome>;
}

/** Metrics of every fold and of all of them together. */
export interface FoldMetrics {
  readonly folds: readonly { readonly fold: string; readonly metrics: Metrics }[];
  /** Mean over folds, every fold with the same weight. */
  readonly mean: Readonly<Record<HeadlineMetric, number>>;
  /** Sample standard deviation over folds (n - 1); null with a single fold, which has none. */
  readonly sd: Readonly<Record<HeadlineMetric, number | null>>;
  /** Metrics over the utterances of all folds put together. */
  readonly pooled: Metrics;
}

/**
 * Metrics of a cross-validation.
 * @throws InputError without folds, for a fold that has no utterances, or for a label outside the set.
 */
export function foldMetrics(parts: readonly FoldOutcomes[], labels: readonly string[]): FoldMetrics {
  if (parts.length === 0) throw new InputError('there are no folds to score');
  const folds = parts.map(({ fold, outcomes }) => {
    try {
      return { fold, metrics: classificationMetrics(outcomes, labels) };
    } catch (error) {
      if (error instanceof InputError) throw new InputError(`fold ${fold}: ${error.message}`);
      throw error;
    }
  });
  const overFolds = <T>(summary: (values: number[]) => T): Record<HeadlineMetric, T> => {
    const of = (metric: HeadlineMetric): T => summary(folds.map(({ metrics }) => metrics[metric]));
    return { wa: of('wa'), ua: of('ua'), wf1: of('wf1'), macroF1: of('macroF1') };
  };
  return {
    folds,
    mean: overFolds(mean),
    sd: overFolds(sampleDeviation),
    pooled: metricsOfCounts(addCounts(folds.map(({ metrics }) => metrics))),
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0) / values.length;
}

/** sqrt(sum (x - mean)^2 / (n - 1)); null for fewer than two values. */
function sampleDeviation(values: readonly number[]): number | null {
  if (values.length < 2) return null;
  const centre = mean(values);
  return Math.sqrt(values.reduce((total, value) => total + (value - centre) ** 2, 0) / (values.length - 1));
}
