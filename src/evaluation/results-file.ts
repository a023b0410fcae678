/** @file Reads results.json back, as this emoq or an earlier one wrote it, and says which key is wrong; results as CSV. */

import { z } from 'zod';
import { InputError, oneLine, readJson } from '../base/index.js';
import { formatCsv } from '../data/tables/index.js';
import {
  type MetricKey,
  metricKeys,
  ofPaperMetrics,
  type ProbabilityFigures,
  probabilityMetrics,
} from './metrics/index.js';
import type { EvaluationResult } from './results.js';

const count = z.int().min(0);
const fraction = z.number().min(0).max(1);
const interval = z.object({ low: z.number(), high: z.number() });
/** Results of every version have these metrics. */
const figures = { ...ofPaperMetrics(() => fraction), n: count };

/** What is read of results, of EvaluationResult's keys; other commands than the one that wrote them need no more. */
const resultsSchema = z.object({
  ...figures,
  name: z.string().optional(),
  folds: z.array(z.object({ fold: z.string(), ...figures })).optional(),
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
  facts: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])).optional(),
});

export type StoredResults = z.infer<typeof resultsSchema>;

/** @throws InputError, one line with file and key, when there are no results, or what is none */
export async function readResults(path: string): Promise<StoredResults> {
  const result = resultsSchema.safeParse(await readJson(path, 'results'), {
    error: ({ input }) => (input === undefined ? 'is missing' : undefined),
  });
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const where = issue!.path.length === 0 ? 'are damaged' : `are damaged, key ${issue!.path.join('.')}`;
  throw new InputError(
    oneLine(
      `results ${path} ${where}: ${issue!.message}; delete the file, and score the run again with emoq eval`,
    ),
  );
}

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
