/** @file Two systems over the same utterances: what each scores, by how much they differ, and whether that may be chance. */

import { mean, sampleDeviation } from './evaluation.js';
import {
  classificationMetrics,
  type MetricFigures,
  type MetricKey,
  type Metrics,
  ofMetrics,
} from './metrics/index.js';
import type { PairedPredictions, PairedSeeds } from './pairing.js';
import { resamplingKeys } from './pairing.js';
import { higherIsBetter, type ResultResampling, type ResultSource, resamplingSettings } from './results.js';
import {
  mcnemarExact,
  type PairedBootstrap,
  type PairedCounts,
  pairedCounts,
  type Resampling,
  seededBootstrap,
} from './statistics/significance.js';

/** Two systems compared. */
export interface Comparison {
  readonly first: ComparedScores;
  readonly second: ComparedScores;
  readonly labels: readonly string[];
  /** Utterances. */
  readonly n: number;
  /** Of the models of one seed each: which had an utterance right, and whether that is chance. Empty where seeds differ. */
  readonly mcnemar: readonly SeedTest[];
  /** Whether both systems have the same seeds, which are then compared in pairs. */
  readonly pairedSeeds: boolean;
  /** The second's figures minus the first's; null where no resampling was asked for, or there is a single utterance. */
  readonly bootstrap: PairedBootstrap | null;
}

/** What a system scores with each of its seeds; one of null where it was trained once. */
export interface ComparedScores {
  readonly seeds: readonly { readonly seed: number | null; readonly metrics: Metrics }[];
}

interface SeedTest {
  readonly seed: number | null;
  readonly counts: PairedCounts;
  /** Of McNemar's exact test, two-sided. */
  readonly p: number;
}

/** What `eval --compare --json` prints. `a` is the first system, `b` the second; differences are b - a, fractions. */
export interface ComparisonResult {
  readonly a: ComparedSystem;
  readonly b: ComparedSystem;
  readonly n: number;
  readonly labels: readonly string[];
  readonly differences: Readonly<Record<MetricKey, MetricDifference>>;
  readonly resampling: ResultResampling | null;
  /** null where a system has several seeds. */
  readonly mcnemar: McNemarResult | null;
  /** With several seeds, the same ones in both systems: the test of the two models of each. */
  readonly mcnemar_by_seed?: readonly ({ readonly seed: number | null } & McNemarResult)[];
  /** With several seeds: whether they were drawn in pairs. */
  readonly paired_seeds?: boolean;
  readonly higher_is_better: Readonly<Record<MetricKey, boolean>>;
  readonly versions: ResultSource['versions'];
  readonly metadata: ResultSource['metadata'];
}

export interface MetricDifference {
  readonly difference: number;
  readonly low: number | null;
  readonly high: number | null;
  readonly p: number | null;
}

interface McNemarResult {
  readonly both_right: number;
  readonly only_a_right: number;
  readonly only_b_right: number;
  readonly both_wrong: number;
  readonly p: number;
}

/** Figures of a system; with several seeds their means. */
export interface ComparedSystem extends MetricFigures {
  readonly name: string;
  /** Over all seeds. */
  readonly unanswered: number;
  readonly seeds?: readonly ({ readonly seed: number | null } & MetricFigures)[];
  readonly sd?: Readonly<Record<MetricKey, number | null>>;
}

/**
 * Compares two systems. @param resampling null for no bootstrap
 * @throws InputError when rows have no speaker or dialogue to resample by, or all have the same
 */
export function comparePredictions(
  { first, second, ...paired }: PairedPredictions,
  resampling: Resampling | null,
): Comparison {
  const once = (rows: PairedPredictions['first']) => [{ seed: null, rows }];
  return compareSeeds({ ...paired, first: once(first), second: once(second) }, resampling);
}

/**
 * Compares two systems by the means over their seeds.
 * McNemar's test is of two models and what each made of every utterance. With the same seeds in both it is made for
 * each seed; the seeds share their utterances, so its p-values are not put together.
 * @throws InputError as {@link comparePredictions}
 */
export function compareSeeds(
  { first, second, labels }: PairedSeeds,
  resampling: Resampling | null,
): Comparison {
  const rows = first[0]!.rows;
  const keys = resampling && resamplingKeys(rows, resampling.unit);
  const single = resampling?.unit === 'utterance' && rows.length < 2;
  const pairedSeeds =
    first.length === second.length && first.every(({ seed }, i) => seed === second[i]!.seed);
  const once = first.length === 1 && second.length === 1;
  const outcomes = (seeds: typeof first) => seeds.map((each) => each.rows);
  const scores = (seeds: typeof first): ComparedScores => ({
    seeds: seeds.map((each) => ({ seed: each.seed, metrics: classificationMetrics(each.rows, labels) })),
  });
  return {
    first: scores(first),
    second: scores(second),
    labels,
    n: rows.length,
    mcnemar:
      pairedSeeds || once
        ? first.map(({ seed, rows: own }, i) => {
            const counts = pairedCounts(own, second[i]!.rows);
            return { seed, counts, p: mcnemarExact(counts) };
          })
        : [],
    pairedSeeds,
    bootstrap:
      keys === null || single
        ? null
        : seededBootstrap(outcomes(first), outcomes(second), keys, labels, {
            ...resampling!,
            samePairs: pairedSeeds,
          }),
  };
}

/** The comparison as one JSON object. No date: the same input gives the same bytes. */
export function comparisonResult(
  { first, second, labels, n, mcnemar, pairedSeeds, bootstrap }: Comparison,
  names: readonly [a: string, b: string],
  { versions, metadata = {} }: Pick<ResultSource, 'versions' | 'metadata'>,
): ComparisonResult {
  const [a, b] = [systemOf(names[0], first), systemOf(names[1], second)];
  const once = first.seeds.length === 1 && second.seeds.length === 1;
  return {
    a,
    b,
    n,
    labels,
    differences: ofMetrics((key) => {
      const found = bootstrap?.metrics[key];
      return {
        difference: b[key] - a[key],
        low: found?.low ?? null,
        high: found?.high ?? null,
        p: found?.p ?? null,
      };
    }),
    resampling: bootstrap && resamplingSettings(bootstrap),
    mcnemar: once ? testOf(mcnemar[0]!) : null,
    ...(!once && {
      mcnemar_by_seed: mcnemar.map((test) => ({ seed: test.seed, ...testOf(test) })),
      paired_seeds: pairedSeeds,
    }),
    higher_is_better: higherIsBetter,
    versions,
    metadata,
  };
}

function testOf({ counts, p }: SeedTest): McNemarResult {
  return {
    both_right: counts.bothRight,
    only_a_right: counts.onlyFirst,
    only_b_right: counts.onlySecond,
    both_wrong: counts.bothWrong,
    p,
  };
}

function systemOf(name: string, { seeds }: ComparedScores): ComparedSystem {
  const over = <T>(of: (values: number[]) => T) =>
    ofMetrics((key) => of(seeds.map(({ metrics }) => metrics[key])));
  return {
    name,
    ...over(mean),
    unanswered: seeds.reduce(
      (total, { metrics }) => total + metrics.unanswered.reduce((sum, count) => sum + count, 0),
      0,
    ),
    ...(seeds.length > 1 && {
      seeds: seeds.map(({ seed, metrics }) => ({ seed, ...ofMetrics((key) => metrics[key]) })),
      sd: over(sampleDeviation),
    }),
  };
}
