/**
 * @file results.json and `eval --json`: figures, counts and metadata. Writes them as JSON and CSV, and reads the
 * results files of this and earlier versions.
 */

import { z } from 'zod';
import { InputError, oneLine, readJson } from '../base/index.js';
import { formatCsv } from '../data/tables/index.js';
import { type Baselines, type Evaluation, mean, overallOf, sampleDeviation } from './evaluation.js';
import {
  type CalibrationBin,
  type Interval,
  type MetricFigures,
  type MetricKey,
  type Metrics,
  metricKeys,
  ofMetrics,
  ofPaperMetrics,
  type ProbabilityFigures,
  type ProbabilityKey,
  probabilityMetrics,
} from './metrics/index.js';
import type { BootstrapIntervals } from './statistics/significance.js';

/** Where the figures come from: everything needed to reproduce them. */
export interface ResultSource {
  /** Dataset or recipe name. */
  readonly name: string;
  /** Versions of emoq, Node, and the software that computed the predictions. */
  readonly versions: Readonly<Record<string, string>>;
  /** Further metadata, such as stage, seed, split and the checksums of recipe and manifest. */
  readonly metadata?: Readonly<Record<string, string | number | boolean | null>>;
  readonly missing?: readonly MissingFold[];
  readonly crossCorpus?: CrossCorpusMetadata | undefined;
  readonly ensemble?: readonly EnsembleMember[] | undefined;
}

/** A run of an ensemble, whose members are scored by the mean of their probabilities. */
export interface EnsembleMember {
  readonly run: string;
  /** Of its recipe. */
  readonly name: string;
  readonly phase: string;
  readonly seed: number;
  readonly fold: number | null;
  readonly checkpoint_sha256: string | null;
}

/** Figures of one set of utterances, by metric key; `confusion` is counts by [reference, predicted]. */
export interface ResultFigures extends MetricFigures, ProbabilityFigures {
  readonly n: number;
  /** Utterances without a predicted label; they count as wrong. */
  readonly unanswered: number;
  readonly confusion: readonly (readonly number[])[];
  /** Shares of each reference class; zeros for a class without references, as in scikit-learn. */
  readonly confusion_normalized: readonly (readonly number[])[];
}

/** How the percentile bootstrap computed the intervals. */
export type ResultResampling = Omit<BootstrapIntervals, 'metrics'>;

/** A fold whose run is missing or unfinished. */
export interface MissingFold {
  readonly seed?: number | undefined;
  readonly fold: string;
}

/** For a run scored on another corpus than it was trained on. */
export interface CrossCorpusMetadata {
  readonly corpus: string;
  readonly manifest: string;
  readonly manifest_sha256: string;
  readonly trained_manifest_sha256: string;
  /** Which utterances were scored: the test split, or all if the corpus has no splits. */
  readonly part: 'test' | 'all';
  /** Label of the corpus -> label of the run, where the names differ. */
  readonly label_map: Readonly<Record<string, string>>;
  /**
   * Classes of the run that the corpus does not have. Their probabilities are dropped and the others rescaled to sum to
   * 1.
   */
  readonly classes_left_out: readonly string[];
  /** Utterances of that part whose label is not a class of the run, by label. */
  readonly utterances_left_out: Readonly<Record<string, number>>;
}

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
  /** Each is pooled over its folds, if any. */
  readonly seeds?: readonly ({ readonly seed: number } & ResultFigures)[];
  /** Mean over the seeds, or else the folds. */
  readonly mean?: MetricFigures & ProbabilityFigures;
  /** Sample standard deviation over the seeds, or else the folds; null for a single one. */
  readonly sd?: Readonly<Record<MetricKey, number | null>> & ProbabilityFigures;
  readonly intervals: (ResultResampling & Readonly<Record<MetricKey, Interval>>) | null;
  /** Trivial classifiers on the same test set: always the most frequent class, and the expected value of guessing. */
  readonly baselines: Baselines;
  /** Folds of a cross-validation that are not included; absent if all are. */
  readonly missing?: readonly MissingFold[];
  readonly cross_corpus?: CrossCorpusMetadata;
  /** The runs whose mean is scored; absent for a single model. */
  readonly ensemble?: readonly EnsembleMember[];
  readonly calibration: { readonly n: number; readonly bins: readonly CalibrationBin[] } | null;
  readonly higher_is_better: Readonly<Record<MetricKey | ProbabilityKey, boolean>>;
  readonly versions: Readonly<Record<string, string>>;
  readonly metadata: Readonly<Record<string, string | number | boolean | null>>;
}

/** Which direction of each label metric is better. */
export const higherIsBetter = ofMetrics((_, metric) => metric.higherIsBetter);

/**
 * The result object of an evaluation, a cross-validation or several seeds. It has no date, so the same input gives the
 * same bytes.
 */
export function evaluationResult(
  { scores, intervals, calibration, probabilistic, probabilisticParts, baselines }: Evaluation,
  source: ResultSource,
): EvaluationResult {
  const overall = overallOf(scores);
  const partFigures = (metrics: Metrics, part: number): ResultFigures =>
    figures(metrics, probabilisticParts[part]!);
  return {
    name: source.name,
    ...figures(overall, probabilistic),
    labels: overall.labels,
    per_class: overall.perClass.map(({ label, precision, recall, f1, support }) => ({
      label,
      precision,
      recall,
      f1,
      support,
    })),
    ...(scores.kind === 'folds' && {
      folds: scores.folds.map(({ fold, metrics }, i) => ({ fold, ...partFigures(metrics, i) })),
    }),
    ...(scores.kind === 'seeds' && {
      seeds: scores.seeds.map(({ seed, metrics }, i) => ({ seed, ...partFigures(metrics, i) })),
    }),
    ...(scores.kind !== 'single' && {
      mean: { ...scores.mean, ...probabilitySpread(probabilisticParts, mean) },
      sd: { ...scores.sd, ...probabilitySpread(probabilisticParts, sampleDeviation) },
    }),
    intervals: intervals && {
      ...resamplingSettings(intervals),
      ...intervals.metrics,
    },
    baselines: {
      majority: {
        labels: baselines.majority.labels,
        from: baselines.majority.from,
        ...ofMetrics((key) => baselines.majority[key]),
      },
      chance: baselines.chance,
      ...(baselines.probe && { probe: baselines.probe }),
    },
    ...(source.missing !== undefined && source.missing.length > 0 && { missing: source.missing }),
    ...(source.crossCorpus !== undefined && { cross_corpus: source.crossCorpus }),
    ...(source.ensemble !== undefined && { ensemble: source.ensemble }),
    calibration: calibration && { n: calibration.n, bins: calibration.bins },
    higher_is_better: { ...higherIsBetter, ...ofProbabilityMetrics((metric) => metric.higherIsBetter) },
    versions: source.versions,
    metadata: source.metadata ?? {},
  };
}

/** The bootstrap settings of an interval, without the interval itself. */
export function resamplingSettings(resampling: ResultResampling): ResultResampling {
  const { level, resamples, seed, unit, units } = resampling;
  return { level, resamples, seed, unit, units };
}

/** A summary over folds or seeds; null if one of them has no probabilities. */
export function probabilitySpread(
  parts: readonly ProbabilityFigures[],
  of: (values: readonly number[]) => number | null,
): ProbabilityFigures {
  return ofProbabilityMetrics(({ key }) => {
    const values = parts.flatMap((part) => part[key] ?? []);
    return values.length > 0 && values.length === parts.length ? of(values) : null;
  });
}

function ofProbabilityMetrics<T>(of: (metric: (typeof probabilityMetrics)[number]) => T) {
  return Object.fromEntries(probabilityMetrics.map((metric) => [metric.key, of(metric)])) as Record<
    ProbabilityKey,
    T
  >;
}

/** Each row of the confusion matrix divided by the number of utterances of its class, answered or not. */
export function normalizedConfusion({ confusion, perClass }: Metrics): number[][] {
  return confusion.map((row, i) => {
    const { support } = perClass[i]!;
    return row.map((count) => (support === 0 ? 0 : count / support));
  });
}

function figures(metrics: Metrics, probabilistic: ProbabilityFigures): ResultFigures {
  return {
    ...ofMetrics((key) => metrics[key]),
    ...probabilistic,
    n: metrics.n,
    unanswered: metrics.unanswered.reduce((total, count) => total + count, 0),
    confusion: metrics.confusion,
    confusion_normalized: normalizedConfusion(metrics),
  };
}

const count = z.int().min(0);
const fraction = z.number().min(0).max(1);
const interval = z.object({ low: z.number(), high: z.number() });
/** Metrics that results of every version have. */
const figureSchemas = { ...ofPaperMetrics(() => fraction), n: count };

const sourceMetadata = z
  .record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()]))
  .optional();

/** The keys of EvaluationResult that are read back; other commands need no more. */
const resultsSchema = z.object({
  ...figureSchemas,
  name: z.string().optional(),
  folds: z.array(z.object({ fold: z.string(), ...figureSchemas })).optional(),
  intervals: z.object(ofPaperMetrics(() => interval)).nullish(),
  missing: z.array(z.object({ seed: count.optional(), fold: z.string() })).optional(),
  cross_corpus: z
    .object({
      manifest: z.string(),
      manifest_sha256: z.string(),
      label_map: z.record(z.string(), z.string()),
    })
    .optional(),
  versions: z.record(z.string(), z.string()).optional(),
  metadata: sourceMetadata,
  /** The former name of `metadata`, in results files of older versions. */
  facts: sourceMetadata,
});

export type StoredResults = Omit<z.infer<typeof resultsSchema>, 'facts'>;

/** @throws InputError, one line with file and key, when the results are missing or invalid */
export async function readResults(path: string): Promise<StoredResults> {
  const result = resultsSchema.safeParse(await readJson(path, 'results'), {
    error: ({ input }) => (input === undefined ? 'is missing' : undefined),
  });
  if (result.success) {
    const { facts, metadata = facts, ...results } = result.data;
    return { ...results, ...(metadata !== undefined && { metadata }) };
  }
  const [issue] = result.error.issues;
  const where = issue!.path.length === 0 ? 'are damaged' : `are damaged, key ${issue!.path.join('.')}`;
  throw new InputError(
    oneLine(
      `results ${path} ${where}: ${issue!.message}; delete the file, and score the run again with emoq eval`,
    ),
  );
}

export const RESULT_COLUMNS = [
  'name',
  'scope',
  'part',
  'metric',
  'value',
  'low',
  'high',
  'n',
  'higher_is_better',
];

/** A missing value becomes an empty cell. */
export type Cell = string | number | boolean | null | undefined;

/** The figures of a result as CSV, see {@link resultRows}. */
export function resultsCsv(result: EvaluationResult): string {
  return csvOf(RESULT_COLUMNS, resultRows(result));
}

/**
 * The figures of a result, as fractions. `scope` is `all` (`partial` if folds are missing), `fold`, `seed`, `mean`,
 * `sd`, `probe`, `majority`, `chance` or `class`. `part` names the fold, seed or class. `low` and `high` are the ends of the
 * interval, if any.
 */
export function resultRows(result: EvaluationResult): Cell[][] {
  const rows: Cell[][] = [];
  const whole = result.missing === undefined ? 'all' : 'partial';
  const add = (
    scope: string,
    part: string | number,
    figures: Readonly<Record<MetricKey, number | null>> & Partial<ProbabilityFigures>,
    n: number,
  ): void => {
    const ends = new Map(metricKeys.map((key) => [key as string, result.intervals?.[key]]));
    for (const key of [...metricKeys, ...probabilityMetrics.map((metric) => metric.key)]) {
      if (figures[key] === undefined) continue;
      const interval = scope === whole ? ends.get(key) : undefined;
      const better = scope === 'sd' ? undefined : result.higher_is_better[key];
      rows.push([result.name, scope, part, key, figures[key], interval?.low, interval?.high, n, better]);
    }
  };
  add(whole, '', result, result.n);
  for (const { fold, ...figures } of result.folds ?? []) add('fold', fold, figures, figures.n);
  for (const { seed, ...figures } of result.seeds ?? []) add('seed', seed, figures, figures.n);
  if (result.mean) add('mean', '', result.mean, result.n);
  if (result.sd) add('sd', '', result.sd, result.n);
  const { majority, chance, probe } = result.baselines;
  if (probe !== undefined) add('probe', '', probe, result.n);
  add('majority', majority.labels.join(' '), majority, result.n);
  add('chance', '', chance, result.n);
  for (const { label, support, ...figures } of result.per_class) {
    for (const metric of ['precision', 'recall', 'f1'] as const) {
      rows.push([result.name, 'class', label, metric, figures[metric], null, null, support, true]);
    }
  }
  return rows;
}

/** Formats cells of any type as CSV. */
export function csvOf(columns: readonly string[], rows: readonly (readonly Cell[])[]): string {
  return formatCsv(
    columns,
    rows.map((row) => row.map((cell) => (cell === null || cell === undefined ? '' : String(cell)))),
  );
}
