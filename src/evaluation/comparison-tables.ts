/** @file Formats comparisons as tables and CSV: two systems, or the rows of an ablation. */

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
  type PaperRow,
  paperCells,
  signedMetricText,
  type Table,
} from './table.js';

/** The tables of a comparison: metrics, and which system was right. */
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

/** Explains how seeds were resampled. */
function seedNotes({ resampling, paired_seeds: paired }: ComparisonResult): string[] {
  if (paired === undefined || resampling === null) return [];
  return [
    paired
      ? 'Seeds are resampled too, the same ones for both systems.'
      : 'Seeds are resampled too, independently for each system because their seeds differ.',
  ];
}

function testTables({ mcnemar, mcnemar_by_seed: bySeed }: ComparisonResult): Table[] {
  if (mcnemar !== null) {
    return [
      {
        title: 'Utterances by which system was right',
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
      title: 'Utterances by which system was right, per seed',
      header: ['seed', 'both', 'only A', 'only B', 'neither', 'p'],
      rows: bySeed.map(({ seed, both_right, only_a_right, only_b_right, both_wrong, p }) => [
        ...[seed, both_right, only_a_right, only_b_right, both_wrong].map(String),
        pText(p),
      ]),
      note: "McNemar's exact test, two-sided, of the two models of each seed. The seeds share their utterances, so the p-values must not be combined.",
    },
  ];
}

/** One row per metric, and one per McNemar test. */
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

/** Four decimals; `< 0.0001` for anything that would round to 0. */
function pText(p: number): string {
  return p < 0.00005 ? '< 0.0001' : p.toFixed(4);
}

/** One row of an ablation: our scores and the paper's. */
export interface AblationScores {
  readonly label: string;
  readonly result: Pick<EvaluationResult, PaperKey | 'n' | 'intervals' | 'seeds' | 'mean' | 'sd'>;
  readonly paper: PaperFigures;
  /** This row minus the full system; null for the full system itself. */
  readonly fromFull: Pick<ComparisonResult, 'differences' | 'resampling'> | null;
}

/** A row's figure: pooled over folds, or the mean over seeds. */
export function ablationFigure({ result }: Pick<AblationScores, 'result'>, key: PaperKey): number {
  return result.seeds === undefined ? result[key] : (result.mean?.[key] ?? result[key]);
}

/** `67.1 ± 0.8 [64.9, 69.2]`: a row's figure with its deviation over seeds and its interval. */
function scoreCell(row: Pick<AblationScores, 'result'>, metric: (typeof paperMetrics)[number]): string {
  const { seeds, sd, intervals: found } = row.result;
  const deviation = seeds === undefined ? null : (sd?.[metric.key] ?? null);
  const spread = deviation === null ? '' : ` ± ${metricText(metric, deviation)}`;
  const between = found === null ? '' : ` ${intervalText(metric, found[metric.key])}`;
  return `${metricText(metric, ablationFigure(row, metric.key))}${spread}${between}`;
}

/** The difference of each row from one of them. @param withP also what its test says */
function differenceTable(full: string, rows: readonly AblationScores[], withP: boolean): Table {
  const compared = rows.filter(({ fromFull }) => fromFull !== null);
  const resampling = compared[0]?.fromFull?.resampling;
  const isTested = withP && resampling !== null && resampling !== undefined;
  return {
    title: `Difference from "${full}", in points`,
    header: ['', ...paperMetrics.flatMap(({ short }) => [short, ...(isTested ? ['p'] : [])])],
    rows: compared.map(({ label, fromFull }) => [
      label,
      ...paperMetrics.flatMap((metric) => {
        const { difference, low, high, p } = fromFull!.differences[metric.key];
        const between = low === null || high === null ? '' : ` ${intervalText(metric, { low, high })}`;
        const cell = `${signedMetricText(metric, difference)}${between}`;
        return isTested ? [cell, p === null ? '' : pText(p)] : [cell];
      }),
    ]),
    note: resampling
      ? `Paired over utterances. ${resamplingNote(resampling)}${isTested ? ' p is that of the paired bootstrap, and is not corrected for the number of comparisons.' : ''}`
      : undefined,
  };
}

/**
 * Two tables in percent: every row with its intervals followed by the paper's row, and each row's difference from the
 * full system.
 * @param full display name of the full system
 */
export function ablationTables(title: string, full: string, rows: readonly AblationScores[]): Table[] {
  const { intervals } = rows[0]!.result;
  const printed = paperMetrics.map(({ short }, i) => (i === 0 ? `paper ${short}` : short));
  return [
    {
      title,
      header: ['', ...paperMetrics.map(columnName), 'n', ...printed],
      rows: rows.map((row) => [
        row.label,
        ...paperMetrics.map((metric) => scoreCell(row, metric)),
        String(row.result.n),
        ...paperCells(row.paper),
      ]),
      note: intervals === null ? undefined : resamplingNote(intervals),
    },
    differenceTable(full, rows, false),
  ];
}

/** An experiment on a dataset: its scores, its system, and how it differs from the one that was chosen. */
export interface DatasetScores extends AblationScores {
  readonly system: string;
}

/**
 * Two tables in percent: all experiments on a dataset with the paper's rows below them, and their differences from one.
 * @param chosen label of the experiment that others are compared with
 */
export function datasetTables(
  title: string,
  chosen: string,
  rows: readonly DatasetScores[],
  paper: PaperRow | null,
): Table[] {
  const { intervals } = rows[0]!.result;
  const best = paper?.best_earlier;
  return [
    {
      title,
      header: ['', 'system', ...paperMetrics.map(columnName), 'n', 'seeds'],
      align: ['left', 'left', ...paperMetrics.map(() => 'right' as const), 'right', 'right'],
      rows: [
        ...rows.map((row) => [
          row.label,
          row.system,
          ...paperMetrics.map((metric) => scoreCell(row, metric)),
          String(row.result.n),
          String(row.result.seeds?.length ?? 1),
        ]),
        ...(paper ? [[`paper, table ${paper.table}`, '', ...paperCells(paper), '', '']] : []),
        ...(best ? [['best earlier in the paper', '', ...paperCells(best), '', '']] : []),
      ],
      note: intervals === null ? undefined : resamplingNote(intervals),
    },
    ...(rows.length > 1 ? [differenceTable(chosen, rows, true)] : []),
  ];
}
