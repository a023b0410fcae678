/** @file Scores of one run, its folds or its seeds, with intervals, calibration and baselines. */

import { InputError } from '../base/index.js';
import {
  addCounts,
  argmax,
  type Calibration,
  calibrationOf,
  classificationMetrics,
  countOutcomes,
  type MetricFigures,
  type MetricKey,
  type Metrics,
  metricsOfCounts,
  type Outcome,
  ofMetrics,
  type ProbabilityFigures,
  probabilityFigures,
  totalsOfCounts,
} from './metrics/index.js';
import { resamplingKeys } from './pairing.js';
import type { ScoredPrediction } from './predictions.js';
import { type BootstrapIntervals, bootstrapIntervals, type Resampling } from './statistics/significance.js';

/** One evaluation, a cross-validation, or several seeds. */
export type Scores = Metrics | FoldMetrics | SeedMetrics;

/** Scores with their uncertainty. With folds or seeds, intervals and calibration are over all utterances together. */
export interface Evaluation<S extends Scores = Scores> {
  readonly scores: S;
  /** null when none were requested, or there is only one utterance. */
  readonly intervals: BootstrapIntervals | null;
  /** null where no row has probabilities. */
  readonly calibration: Calibration | null;
  /** The metrics of probabilities. */
  readonly probabilistic: ProbabilityFigures;
  /** The same for each fold or seed, in order; empty when there are none. */
  readonly probabilisticParts: readonly ProbabilityFigures[];
  /** Scores of trivial classifiers on the same test set. */
  readonly baselines: Baselines;
}

/**
 * Adds intervals, calibration and baselines to scores. A cross-validation is resampled over the utterances of all its
 * folds. With several seeds, an utterance is drawn together with its predictions from every seed: the interval reflects
 * the sampling of the test set, and the standard deviation over seeds estimates training variance.
 * @param parts the scored rows of each fold or seed in the order of `scores`; a single part otherwise
 * @param resampling null for no intervals
 * @param trained for each row, part after part, the most frequent class of its model's training set, where known
 * @throws InputError when rows have no speaker or dialogue to resample by, or all share one
 */
export function evaluationOf<S extends Scores>(
  scores: S,
  parts: readonly (readonly ScoredPrediction[])[],
  resampling: Resampling | null,
  trained?: readonly string[],
): Evaluation<S> {
  const { labels } = overallOf(scores);
  const rows = parts.flat();
  const keys = resampling && resamplingKeys(rows, resampling.unit);
  const single = resampling?.unit === 'utterance' && new Set(keys).size < 2;
  return {
    scores,
    intervals: keys === null || single ? null : bootstrapIntervals(rows, keys, labels, resampling!),
    calibration: calibrationOf(rows, labels),
    probabilistic: probabilityFigures(rows, labels),
    probabilisticParts: scores.kind === 'single' ? [] : parts.map((part) => probabilityFigures(part, labels)),
    baselines: baselinesOf(rows, labels, trained, scores.kind === 'seeds' ? parts[0] : rows),
  };
}

/** The metrics over all utterances. */
export function overallOf(scores: Scores): Metrics {
  return scores.kind === 'single' ? scores : scores.pooled;
}

/** The folds or seeds, each with its display name. */
export function scorePartsOf(
  scores: FoldMetrics | SeedMetrics,
): readonly { readonly part: string; readonly metrics: Metrics }[] {
  return scores.kind === 'folds'
    ? scores.folds.map(({ fold, metrics }) => ({ part: fold, metrics }))
    : scores.seeds.map(({ seed, metrics }) => ({ part: String(seed), metrics }));
}

/** The outcomes of one fold's held-out utterances. */
export interface FoldOutcomes {
  readonly fold: string;
  readonly outcomes: Iterable<Outcome>;
}

/** Aggregates of several evaluations. */
export interface Spread {
  /** Unweighted mean over the parts. */
  readonly mean: MetricFigures;
  /** Sample standard deviation over the parts (n - 1); null for a single part. */
  readonly sd: Readonly<Record<MetricKey, number | null>>;
  /** Metrics over the utterances of all parts combined. */
  readonly pooled: Metrics;
}

/** Metrics of each fold and of all folds combined. */
export interface FoldMetrics extends Spread {
  readonly kind: 'folds';
  readonly folds: readonly { readonly fold: string; readonly metrics: Metrics }[];
}

/** Metrics of each seed (pooled over its folds, if any) and of all seeds combined. */
export interface SeedMetrics extends Spread {
  readonly kind: 'seeds';
  readonly seeds: readonly { readonly seed: number; readonly metrics: Metrics }[];
}

/** Row indices of each fold, in the order of fold numbers or names. @param rows each has a fold */
export function indicesByFold(
  rows: readonly { readonly fold?: string | undefined }[],
): { fold: string; indices: number[] }[] {
  const folds = new Map<string, number[]>();
  for (const [index, { fold = '' }] of rows.entries()) {
    const members = folds.get(fold);
    if (members) members.push(index);
    else folds.set(fold, [index]);
  }
  return [...folds]
    .sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }))
    .map(([fold, indices]) => ({ fold, indices }));
}

/**
 * Metrics of a cross-validation.
 * @throws InputError when there are no folds, a fold is empty, or a label is unknown.
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
  return { kind: 'folds', folds, ...spreadOf(folds) };
}

/** Scores of one experiment over several seeds. @param parts one or more, with the same labels */
export function seedMetrics(
  parts: readonly { readonly seed: number; readonly scores: Metrics | FoldMetrics }[],
): SeedMetrics {
  const seeds = parts.map(({ seed, scores }) => ({ seed, metrics: overallOf(scores) }));
  return { kind: 'seeds', seeds, ...spreadOf(seeds) };
}

function spreadOf(parts: readonly { readonly metrics: Metrics }[]): Spread {
  const overParts = <T>(summary: (values: number[]) => T) =>
    ofMetrics((key) => summary(parts.map(({ metrics }) => metrics[key])));
  return {
    mean: overParts(mean),
    sd: overParts(sampleDeviation),
    pooled: metricsOfCounts(addCounts(parts.map(({ metrics }) => metrics))),
  };
}

export function mean(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0) / values.length;
}

/** sqrt(sum (x - mean)^2 / (n - 1)); null for fewer than two values. */
export function sampleDeviation(values: readonly number[]): number | null {
  if (values.length < 2) return null;
  const centre = mean(values);
  return Math.sqrt(values.reduce((total, value) => total + (value - centre) ** 2, 0) / (values.length - 1));
}

/** Figures of two trivial classifiers. */
export interface Baselines {
  /** Always the most frequent class. */
  readonly majority: MetricFigures & {
    /** The class; several when the training sets of folds or seeds differ in their most frequent class. */
    readonly labels: readonly string[];
    /** Where its frequency was counted: the training set if known, else the test set itself. */
    readonly from: 'training' | 'test';
  };
  /** Guessing every class with equal probability: expected values. */
  readonly chance: MetricFigures;
  /** A linear probe of the features that the model reads; absent where it was not fitted. */
  readonly probe?: MetricFigures;
}

/** Adds the figures of a linear probe's predictions, if there are any, to the baselines of an evaluation. */
export function withProbe<S extends Scores>(
  evaluation: Evaluation<S>,
  predictions: readonly Outcome[] | undefined,
): Evaluation<S> {
  if (predictions === undefined) return evaluation;
  const metrics = classificationMetrics(predictions, overallOf(evaluation.scores).labels);
  return {
    ...evaluation,
    baselines: { ...evaluation.baselines, probe: ofMetrics((key) => metrics[key]) },
  };
}

/**
 * The baselines of a test set.
 * @param outcomes only their references are used
 * @param trained for each outcome, the most frequent class of its model's training set; undefined where not known
 * @param guessed references for the chance baseline: those of one seed when all seeds share them
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
  const always = classificationMetrics(answers, labels);
  const supports = supportsOf(guessed, labels);
  return {
    majority: {
      ...ofMetrics((key) => always[key]),
      labels: [...new Set(majority)],
      from: trained === undefined ? 'test' : 'training',
    },
    chance: ofMetrics((_, metric) => metric.chance(supports)),
  };
}

/** The most frequent class. @param counts utterances of each label, in label order; the first one wins a tie */
export function mostFrequent(labels: readonly string[], counts: readonly number[]): string {
  return labels[argmax(counts)]!;
}

/** References per class, in label order. */
function supportsOf(outcomes: readonly Outcome[], labels: readonly string[]): readonly number[] {
  const references = outcomes.map(({ reference }) => ({ reference }));
  return totalsOfCounts(countOutcomes(references, labels)).support;
}
