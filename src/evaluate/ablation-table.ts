/** @file The rows of an ablation beside those that the paper printed, and how far each is from the full system. */

import type { ComparisonResult } from './comparison.js';
import { signedPercent } from './comparison-tables.js';
import type { headlineMetrics } from './metrics.js';
import type { EvaluationResult } from './results.js';
import { intervalText, metricTitles, resamplingNote } from './score-tables.js';
import { type PaperFigures, paperCells, percent, type Table } from './table.js';

/** A row of an ablation: what it scored, and what the paper's row did. */
export interface AblationScores {
  readonly label: string;
  readonly result: Pick<EvaluationResult, 'wa' | 'ua' | 'wf1' | 'n' | 'intervals' | 'seeds' | 'mean' | 'sd'>;
  readonly paper: PaperFigures;
  /** The row's figures less the full system's; null for the full system itself. */
  readonly fromFull: Pick<ComparisonResult, 'differences' | 'resampling'> | null;
}

/** The metrics that the paper's ablations have. */
export const ablationMetrics = [
  'wa',
  'ua',
  'wf1',
] as const satisfies readonly (typeof headlineMetrics)[number][];
export type AblationMetric = (typeof ablationMetrics)[number];

/** A figure of a row: pooled over folds, the mean over seeds. */
export function ablationFigure({ result }: Pick<AblationScores, 'result'>, metric: AblationMetric): number {
  return result.seeds === undefined ? result[metric] : (result.mean?.[metric] ?? result[metric]);
}

/**
 * Two tables in percent: every row with its intervals, then the paper's; and the rows' differences from the full system.
 * @param full what the full system is called
 */
export function ablationTables(title: string, full: string, rows: readonly AblationScores[]): Table[] {
  const { intervals } = rows[0]!.result;
  const cell = (row: AblationScores, metric: AblationMetric): string => {
    const { seeds, sd, intervals: found } = row.result;
    const deviation = seeds === undefined ? null : (sd?.[metric] ?? null);
    const spread = deviation === null ? '' : ` ± ${percent(deviation)}`;
    const between = found === null ? '' : ` ${intervalText(found[metric])}`;
    return `${percent(ablationFigure(row, metric))}${spread}${between}`;
  };
  const columns = ablationMetrics.map((metric) => `${metricTitles[metric]} %`);
  const compared = rows.filter(({ fromFull }) => fromFull !== null);
  const resampling = compared[0]?.fromFull?.resampling;
  return [
    {
      title,
      header: ['', ...columns, 'n', 'paper WA', 'UA', 'WF1'],
      rows: rows.map((row) => [
        row.label,
        ...ablationMetrics.map((metric) => cell(row, metric)),
        String(row.result.n),
        ...paperCells(row.paper),
      ]),
      note: intervals === null ? undefined : resamplingNote(intervals),
    },
    {
      title: `Difference from "${full}", in points`,
      header: ['', ...ablationMetrics.map((metric) => metricTitles[metric])],
      rows: compared.map(({ label, fromFull }) => [
        label,
        ...ablationMetrics.map((metric) => {
          const { difference, low, high } = fromFull!.differences[metric];
          const between = low === null || high === null ? '' : ` ${intervalText({ low, high })}`;
          return `${signedPercent(difference)}${between}`;
        }),
      ]),
      note: resampling ? `Paired over utterances. ${resamplingNote(resampling)}` : undefined,
    },
  ];
}
