/** @file Two systems over the same utterances: what each scores, by how much they differ, and whether that may be chance. */

import { classificationMetrics, headlineMetrics, type Metrics, metricKeys } from './metrics.js';
import type { PairedPredictions } from './pairing.js';
import { resamplingKeys } from './resampling-keys.js';
import {
  higherIsBetter,
  type ResultResampling,
  type ResultSource,
  resamplingFacts,
  type Summary,
  summary,
} from './results.js';
import { csvOf } from './results-csv.js';
import { intervalText, levelText, metricTitles, resamplingNote } from './score-tables.js';
import { type PairedBootstrap, pairedBootstrap, type Resampling } from './statistics/bootstrap.js';
import { mcnemarExact, type PairedCounts, pairedCounts } from './statistics/mcnemar.js';
import { percent, type Table } from './table.js';

/** Two systems compared. */
export interface Comparison {
  readonly first: Metrics;
  readonly second: Metrics;
  readonly counts: PairedCounts;
  /** Of McNemar's exact test, two-sided. */
  readonly mcnemarP: number;
  /** The second's figures minus the first's; null where no resampling was asked for, or there is a single utterance. */
  readonly bootstrap: PairedBootstrap | null;
}

/** What `eval --compare --json` prints. `a` is the first system, `b` the second; differences are b - a, fractions. */
export interface ComparisonResult {
  readonly a: ComparedSystem;
  readonly b: ComparedSystem;
  readonly n: number;
  readonly labels: readonly string[];
  readonly differences: Summary<{
    readonly difference: number;
    readonly low: number | null;
    readonly high: number | null;
    readonly p: number | null;
  }>;
  readonly resampling: ResultResampling | null;
  readonly mcnemar: {
    readonly both_right: number;
    readonly only_a_right: number;
    readonly only_b_right: number;
    readonly both_wrong: number;
    readonly p: number;
  };
  readonly higher_is_better: Summary<boolean>;
  readonly versions: ResultSource['versions'];
  readonly facts: ResultSource['facts'];
}

export interface ComparedSystem extends Summary<number> {
  readonly name: string;
  readonly unanswered: number;
}

/**
 * Compares two systems. @param resampling null for no bootstrap
 * @throws InputError when rows have no speaker or dialogue to resample by, or all have the same
 */
export function comparePredictions(
  { first, second, labels }: PairedPredictions,
  resampling: Resampling | null,
): Comparison {
  const counts = pairedCounts(first, second);
  const keys = resampling && resamplingKeys(first, resampling.unit);
  const single = resampling?.unit === 'utterance' && first.length < 2;
  return {
    first: classificationMetrics(first, labels),
    second: classificationMetrics(second, labels),
    counts,
    mcnemarP: mcnemarExact(counts),
    bootstrap: keys === null || single ? null : pairedBootstrap(first, second, keys, labels, resampling!),
  };
}

/** The comparison as one JSON object. No date: the same input gives the same bytes. */
export function comparisonResult(
  { first, second, counts, mcnemarP, bootstrap }: Comparison,
  names: readonly [a: string, b: string],
  { versions, facts = {} }: Pick<ResultSource, 'versions' | 'facts'>,
): ComparisonResult {
  const { ece: _, ...better } = higherIsBetter;
  return {
    a: systemOf(names[0], first),
    b: systemOf(names[1], second),
    n: first.n,
    labels: first.labels,
    differences: summary((metric) => {
      const found = bootstrap?.metrics[metric];
      return {
        difference: second[metric] - first[metric],
        low: found?.low ?? null,
        high: found?.high ?? null,
        p: found?.p ?? null,
      };
    }),
    resampling: bootstrap && resamplingFacts(bootstrap),
    mcnemar: {
      both_right: counts.bothRight,
      only_a_right: counts.onlyFirst,
      only_b_right: counts.onlySecond,
      both_wrong: counts.bothWrong,
      p: mcnemarP,
    },
    higher_is_better: better,
    versions,
    facts,
  };
}

/** The tables of a comparison: the metrics, and who was right. */
export function comparisonTables({ a, b, n, differences, resampling, mcnemar }: ComparisonResult): Table[] {
  const interval = resampling === null ? [] : [`${levelText(resampling)} interval`, 'p'];
  const systems = `A is ${a.name}, B is ${b.name}; n = ${n}.`;
  return [
    {
      title: 'Difference',
      header: ['', 'A %', 'B %', 'B - A', ...interval],
      rows: headlineMetrics.map((metric) => {
        const key = metricKeys[metric];
        const { difference, low, high, p } = differences[key];
        return [
          metricTitles[metric],
          percent(a[key]),
          percent(b[key]),
          signedPercent(difference),
          ...(low === null || high === null || p === null ? [] : [intervalText({ low, high }), pText(p)]),
        ];
      }),
      note: resampling === null ? systems : `${systems} ${resamplingNote(resampling)}`,
    },
    {
      title: 'Utterances, by who was right',
      header: ['', 'B right', 'B wrong'],
      rows: [
        ['A right', String(mcnemar.both_right), String(mcnemar.only_a_right)],
        ['A wrong', String(mcnemar.only_b_right), String(mcnemar.both_wrong)],
      ],
      note: `McNemar's exact test, two-sided: p ${pText(mcnemar.p).replace(/^(?=\d)/, '= ')}.`,
    },
  ];
}

/** One row for each metric, and one for McNemar's test. */
export function comparisonCsv(result: ComparisonResult): string {
  const { a, b, n, differences, mcnemar, higher_is_better } = result;
  const rows = headlineMetrics.map((metric) => {
    const key = metricKeys[metric];
    const { difference, low, high, p } = differences[key];
    return [a.name, b.name, key, a[key], b[key], difference, low, high, p, n, higher_is_better[key]];
  });
  const { only_a_right, only_b_right, p } = mcnemar;
  const difference = only_b_right - only_a_right;
  return csvOf(
    ['a', 'b', 'metric', 'value_a', 'value_b', 'difference', 'low', 'high', 'p', 'n', 'higher_is_better'],
    [...rows, [a.name, b.name, 'mcnemar', only_a_right, only_b_right, difference, null, null, p, n, true]],
  );
}

function systemOf(name: string, metrics: Metrics): ComparedSystem {
  return {
    name,
    ...summary((metric) => metrics[metric]),
    unanswered: metrics.unanswered.reduce((total, count) => total + count, 0),
  };
}

function signedPercent(fraction: number): string {
  const text = percent(fraction);
  return Number(text) > 0 ? `+${text}` : text.replace(/^-(?=0\.0$)/, '');
}

/** Four decimals; `< 0.0001` where that would be 0. */
function pText(p: number): string {
  return p < 0.00005 ? '< 0.0001' : p.toFixed(4);
}
