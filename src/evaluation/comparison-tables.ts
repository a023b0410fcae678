/** @file Comparisons to read or to paste: of two systems, as tables and CSV, and of the rows of an ablation. */

import type { ComparedSystem, ComparisonResult } from './comparison.js';
import {
  type CountMetric,
  countMetrics,
  type MetricKey,
  metricKeys,
  type PaperKey,
  paperMetrics,
} from './metrics/index.js';
import type { EvaluationResult } from './results.js';
import { csvOf } from './results.js';
import { intervalText, levelText, resamplingNote } from './score-tables.js';
import {
  columnName,
  metricText,
  type PaperFigures,
  paperCells,
  signedMetricText,
  type Table,
} from './table.js';

/** The tables of a comparison: the metrics, and who was right. */
export function comparisonTables(result: ComparisonResult): Table[] {
  const { a, b, n, differences, resampling } = result;
  const interval = resampling === null ? [] : [`${levelText(resampling)} interval`, 'p'];
  const systems = `A is ${systemText(a)}, B is ${systemText(b)}; n = ${n}.`;
  const cell = (system: ComparedSystem, metric: CountMetric & { readonly key: MetricKey }): string => {
    const [value, sd] = [system[metric.key], system.sd?.[metric.key] ?? null];
    return metricText(metric, value) + (sd === null ? '' : ` ± ${metricText(metric, sd)}`);
  };
  return [
    {
      title: 'Difference',
      header: ['', 'A %', 'B %', 'B - A', ...interval],
      rows: countMetrics.map((metric) => {
        const { difference, low, high, p } = differences[metric.key];
        return [
          metric.short,
          cell(a, metric),
          cell(b, metric),
          signedMetricText(metric, difference),
          ...(low === null || high === null || p === null
            ? []
            : [intervalText(metric, { low, high }), pText(p)]),
        ];
      }),
      note: [
        systems,
        ...(resampling === null ? [] : [resamplingNote(resampling)]),
        ...seedNotes(result),
      ].join(' '),
    },
    ...testTables(result),
  ];
}

function systemText({ name, seeds }: ComparedSystem): string {
  return seeds === undefined ? name : `${name} (mean ± sd of ${seeds.length} seeds)`;
}

/** How seeds were drawn. */
function seedNotes({ resampling, paired_seeds: paired }: ComparisonResult): string[] {
  if (paired === undefined || resampling === null) return [];
  return [
    paired
      ? 'Seeds are drawn too, the same of both systems.'
      : 'Seeds are drawn too, those of each system by themselves, because they are not the same.',
  ];
}

function testTables({ mcnemar, mcnemar_by_seed: bySeed }: ComparisonResult): Table[] {
  if (mcnemar !== null) {
    return [
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
  if (bySeed === undefined || bySeed.length === 0) return [];
  return [
    {
      title: 'Utterances, by who was right with each seed',
      header: ['seed', 'both', 'only A', 'only B', 'neither', 'p'],
      rows: bySeed.map(({ seed, both_right, only_a_right, only_b_right, both_wrong, p }) => [
        ...[seed, both_right, only_a_right, only_b_right, both_wrong].map(String),
        pText(p),
      ]),
      note: "McNemar's exact test, two-sided, of the two models of each seed. The seeds share their utterances: the p are not to be put together.",
    },
  ];
}

/** One row for each metric, and one for each of McNemar's tests. */
export function comparisonCsv(result: ComparisonResult): string {
  const { a, b, n, differences, mcnemar, mcnemar_by_seed: bySeed = [], higher_is_better } = result;
  const rows = metricKeys.map((key) => {
    const { difference, low, high, p } = differences[key];
    return [a.name, b.name, key, a[key], b[key], difference, low, high, p, n, higher_is_better[key]];
  });
  const tests = [
    ...(mcnemar === null ? [] : [{ metric: 'mcnemar', ...mcnemar }]),
    ...bySeed.map((test) => ({ metric: `mcnemar_seed_${test.seed}`, ...test })),
  ];
  return csvOf(
    ['a', 'b', 'metric', 'value_a', 'value_b', 'difference', 'low', 'high', 'p', 'n', 'higher_is_better'],
    [
      ...rows,
      ...tests.map(({ metric, only_a_right, only_b_right, p }) => {
        const difference = only_b_right - only_a_right;
        return [a.name, b.name, metric, only_a_right, only_b_right, difference, null, null, p, n, true];
      }),
    ],
  );
}

/** Four decimals; `< 0.0001` where that would be 0. */
function pText(p: number): string {
  return p < 0.00005 ? '< 0.0001' : p.toFixed(4);
}

/** A row of an ablation: what it scored, and what the paper's row did. */
export interface AblationScores {
  readonly label: string;
  readonly result: Pick<EvaluationResult, PaperKey | 'n' | 'intervals' | 'seeds' | 'mean' | 'sd'>;
  readonly paper: PaperFigures;
  /** The row's figures less the full system's; null for the full system itself. */
  readonly fromFull: Pick<ComparisonResult, 'differences' | 'resampling'> | null;
}

/** A figure of a row: pooled over folds, the mean over seeds. */
export function ablationFigure({ result }: Pick<AblationScores, 'result'>, key: PaperKey): number {
  return result.seeds === undefined ? result[key] : (result.mean?.[key] ?? result[key]);
}

/**
 * Two tables in percent: every row with its intervals, then the paper's; and the rows' differences from the full system.
 * @param full what the full system is called
 */
export function ablationTables(title: string, full: string, rows: readonly AblationScores[]): Table[] {
  const { intervals } = rows[0]!.result;
  const cell = (row: AblationScores, metric: (typeof paperMetrics)[number]): string => {
    const { seeds, sd, intervals: found } = row.result;
    const deviation = seeds === undefined ? null : (sd?.[metric.key] ?? null);
    const spread = deviation === null ? '' : ` ± ${metricText(metric, deviation)}`;
    const between = found === null ? '' : ` ${intervalText(metric, found[metric.key])}`;
    return `${metricText(metric, ablationFigure(row, metric.key))}${spread}${between}`;
  };
  const printed = paperMetrics.map(({ short }, i) => (i === 0 ? `paper ${short}` : short));
  const compared = rows.filter(({ fromFull }) => fromFull !== null);
  const resampling = compared[0]?.fromFull?.resampling;
  return [
    {
      title,
      header: ['', ...paperMetrics.map(columnName), 'n', ...printed],
      rows: rows.map((row) => [
        row.label,
        ...paperMetrics.map((metric) => cell(row, metric)),
        String(row.result.n),
        ...paperCells(row.paper),
      ]),
      note: intervals === null ? undefined : resamplingNote(intervals),
    },
    {
      title: `Difference from "${full}", in points`,
      header: ['', ...paperMetrics.map(({ short }) => short)],
      rows: compared.map(({ label, fromFull }) => [
        label,
        ...paperMetrics.map((metric) => {
          const { difference, low, high } = fromFull!.differences[metric.key];
          const between = low === null || high === null ? '' : ` ${intervalText(metric, { low, high })}`;
          return `${signedMetricText(metric, difference)}${between}`;
        }),
      ]),
      note: resampling ? `Paired over utterances. ${resamplingNote(resampling)}` : undefined,
    },
  ];
}
