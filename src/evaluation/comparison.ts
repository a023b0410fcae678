/** @file Compares two systems over the same utterances: their scores, the differences, and their significance. */

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
  /** Number of utterances. */
  readonly n: number;
  /** McNemar's test for the two models of each seed. Empty where the systems have different seeds. */
  readonly mcnemar: readonly SeedTest[];
  /** Whether both systems have the same seeds; these are compared in pairs. */
  readonly pairedSeeds: boolean;
  /** Second minus first; null when resampling is off or there is only one utterance. */
  readonly bootstrap: PairedBootstrap | null;
}

/** Scores per seed. A system trained once has a single entry with a null seed. */
export interface ComparedScores {
  readonly seeds: readonly { readonly seed: number | null; readonly metrics: Metrics }[];
}

interface SeedTest {
  readonly seed: number | null;
  readonly counts: PairedCounts;
  /** Two-sided p-value of McNemar's exact test. */
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
  /** null when either system has several seeds. */
  readonly mcnemar: McNemarResult | null;
  /** When both systems have the same seeds: the test of the two models of each seed. */
  readonly mcnemar_by_seed?: readonly ({ readonly seed: number | null } & McNemarResult)[];
  /** With several seeds: whether they were resampled in pairs. */
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

/** Figures of one system; means over its seeds when there are several. */
export interface ComparedSystem extends MetricFigures {
  readonly name: string;
  /** Total over all seeds. */
  readonly unanswered: number;
  readonly seeds?: readonly ({ readonly seed: number | null } & MetricFigures)[];
  readonly sd?: Readonly<Record<MetricKey, number | null>>;
}

/**
 * Compares two systems. @param resampling null to skip the bootstrap
 * @throws InputError when rows have no speaker or dialogue to resample by, or all share one
 */
export function comparePredictions(
  { first, second, ...paired }: PairedPredictions,
  resampling: Resampling | null,
): Comparison {
  const once = (rows: PairedPredictions['first']) => [{ seed: null, rows }];
  return compareSeeds({ ...paired, first: once(first), second: once(second) }, resampling);
}

/**
 * Compares two systems by their means over seeds. McNemar's test compares two models utterance by utterance, so it is
 * run per seed when both systems have the same seeds. The seeds share their utterances, so the p-values are not
 * combined.
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

/** The comparison as a JSON object. It has no date, so the same input gives the same bytes. */
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
