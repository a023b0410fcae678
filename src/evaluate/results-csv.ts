/** @file Results as a tidy CSV: one row for each scope and metric. */

import { formatCsv } from '../data/tables/index.js';
import { headlineMetrics, metricKeys } from './metrics.js';
import type { EvaluationResult, ResultFigures, Summary } from './results.js';

const COLUMNS = ['name', 'scope', 'part', 'metric', 'value', 'low', 'high', 'n', 'higher_is_better'];

/** A value that is not there is an empty cell. */
type Cell = string | number | boolean | null | undefined;

/**
 * The figures of a result, fractions. `scope` is `all` (`partial` where folds are missing), `fold`, `seed`, `mean`, `sd`,
 * `majority`, `chance` or `class`, `part` which fold, seed or class it is; `low` and `high` are the ends of the interval
 * where there is one.
 */
export function resultsCsv(result: EvaluationResult): string {
  const rows: Cell[][] = [];
  const whole = result.missing === undefined ? 'all' : 'partial';
  const add = (
    scope: string,
    part: string | number,
    figures: Summary<number | null> & { readonly ece?: ResultFigures['ece'] },
    n: number,
  ): void => {
    for (const key of [...headlineMetrics.map((metric) => metricKeys[metric]), 'ece'] as const) {
      if (figures[key] === undefined) continue;
      const interval = scope === whole && key !== 'ece' ? result.intervals?.[key] : undefined;
      const better = scope === 'sd' ? undefined : result.higher_is_better[key];
      rows.push([result.name, scope, part, key, figures[key], interval?.low, interval?.high, n, better]);
    }
  };
  add(whole, '', result, result.n);
  for (const { fold, ...figures } of result.folds ?? []) add('fold', fold, figures, figures.n);
  for (const { seed, ...figures } of result.seeds ?? []) add('seed', seed, figures, figures.n);
  if (result.mean) add('mean', '', result.mean, result.n);
  if (result.sd) add('sd', '', result.sd, result.n);
  const { majority, chance } = result.baselines;
  add('majority', majority.labels.join(' '), majority, result.n);
  add('chance', '', chance, result.n);
  for (const { label, support, ...figures } of result.per_class) {
    for (const metric of ['precision', 'recall', 'f1'] as const) {
      rows.push([result.name, 'class', label, metric, figures[metric], null, null, support, true]);
    }
  }
  return csvOf(COLUMNS, rows);
}

/** A CSV of cells of any kind. */
export function csvOf(columns: readonly string[], rows: readonly (readonly Cell[])[]): string {
  return formatCsv(
    columns,
    rows.map((row) => row.map((cell) => (cell === null || cell === undefined ? '' : String(cell)))),
  );
}
