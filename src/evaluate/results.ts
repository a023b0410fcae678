/** @file The content of results.json and of `eval --json`: figures, counts, and what they were made with. */

import { type FoldMetrics, type HeadlineMetric, headlineMetrics, type SeedMetrics } from './folds.js';
import type { Metrics } from './metrics.js';

/** Where the figures come from; everything that a reader needs to make them again. */
export interface ResultSource {
  /** Dataset or recipe name. */
  readonly name: string;
  /** Versions of emoq, Node and whatever computed the predictions. */
  readonly versions: Readonly<Record<string, string>>;
  /** Further facts, such as stage, seed, split and the checksums of recipe and manifest. */
  readonly facts?: Readonly<Record<string, string | number | boolean | null>>;
}

/** Figures of one set of utterances. Fractions in [0, 1]; `confusion` is counts by [reference, predicted]. */
export interface ResultFigures {
  readonly wa: number;
  readonly ua: number;
  readonly wf1: number;
  readonly macro_f1: number;
  readonly n: number;
  /** Utterances without a predicted label; they count as wrong. */
  readonly unanswered: number;
  readonly confusion: readonly (readonly number[])[];
}

type Summary<T> = Readonly<Record<'wa' | 'ua' | 'wf1' | 'macro_f1', T>>;

/** results.json. With folds or seeds the top-level figures are pooled over all of them. */
export interface EvaluationResult extends ResultFigures {
  readonly name: string;
  readonly labels: readonly string[];
  readonly per_class: readonly {
    readonly label: string;
    readonly precision: number;
    readonly recall: number;
    readonly f1: number;
    readonly support: number;
  }[];
  readonly folds?: readonly ({ readonly fold: string } & ResultFigures)[];
  /** Each pooled over its folds where it has them. */
  readonly seeds?: readonly ({ readonly seed: number } & ResultFigures)[];
  /** Mean over the seeds, or else the folds. */
  readonly mean?: Summary<number>;
  /** Sample standard deviation over the seeds, or else the folds; null with one of them. */
  readonly sd?: Summary<number | null>;
  readonly higher_is_better: Summary<boolean>;
  readonly versions: Readonly<Record<string, string>>;
  readonly facts: Readonly<Record<string, string | number | boolean | null>>;
}

/** The result object of an evaluation, a cross-validation or several seeds. No date: the same input gives the same bytes. */
export function evaluationResult(
  scores: Metrics | FoldMetrics | SeedMetrics,
  source: ResultSource,
): EvaluationResult {
  const overall = 'pooled' in scores ? scores.pooled : scores;
  return {
    name: source.name,
    ...figures(overall),
    labels: overall.labels,
    per_class: overall.perClass.map(({ label, precision, recall, f1, support }) => ({
      label,
      precision,
      recall,
      f1,
      support,
    })),
    ...('pooled' in scores
      ? {
          ...('folds' in scores
            ? { folds: scores.folds.map(({ fold, metrics }) => ({ fold, ...figures(metrics) })) }
            : { seeds: scores.seeds.map(({ seed, metrics }) => ({ seed, ...figures(metrics) })) }),
          mean: summary((metric) => scores.mean[metric]),
          sd: summary((metric) => scores.sd[metric]),
        }
      : {}),
    higher_is_better: summary(() => true),
    versions: source.versions,
    facts: source.facts ?? {},
  };
}

function figures(metrics: Metrics): ResultFigures {
  return {
    ...summary((metric) => metrics[metric]),
    n: metrics.n,
    unanswered: metrics.unanswered.reduce((total, count) => total + count, 0),
    confusion: metrics.confusion,
  };
}

function summary<T>(of: (metric: HeadlineMetric) => T): Summary<T> {
  const entries = headlineMetrics.map((metric) => [metric === 'macroF1' ? 'macro_f1' : metric, of(metric)]);
  return Object.fromEntries(entries) as Summary<T>;
}
