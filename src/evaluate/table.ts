/** @file Plain text tables: results beside the paper's row, folds, classes, confusion. Strings only, no colour. */

import type { FoldMetrics, SeedMetrics, Spread } from './folds.js';
import type { Metrics } from './metrics.js';

/** Figures that a paper printed, in percent; null where it printed none. */
export interface PaperFigures {
  readonly wa: number | null;
  readonly ua: number | null;
  readonly wf1: number | null;
}

/** The paper's row for a dataset and the best that it compares itself with. */
export interface PaperRow extends PaperFigures {
  /** Number of the table in the paper. */
  readonly table: number;
  readonly best_earlier?: PaperFigures | null | undefined;
}

/**
 * Lays out cells in columns two spaces apart, the first column to the left and the others to the right unless
 * `align` says otherwise. Every row has as many cells as `header`. No trailing spaces, no final newline.
 */
export function textTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  align: readonly ('left' | 'right')[] = header.map((_, i) => (i === 0 ? 'left' : 'right')),
): string {
  const widths = header.map((name, i) => Math.max(...[name, ...rows.map((row) => row[i]!)].map(characters)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => {
        const padding = ' '.repeat(widths[i]! - characters(cell));
        return align[i] === 'left' ? cell + padding : padding + cell;
      })
      .join('  ')
      .trimEnd();
  return [header, ...rows].map(line).join('\n');
}

/** The headline table: the paper's rows, if any, above ours, in percent. */
export function resultsTable(scores: Metrics | FoldMetrics | SeedMetrics, paper?: PaperRow | null): string {
  const rows: string[][] = [];
  if (paper) {
    const note = `paper, table ${paper.table}`;
    if (paper.best_earlier) rows.push(['best earlier', ...paperCells(paper.best_earlier), note]);
    rows.push(['EmoQ', ...paperCells(paper), note]);
  }
  if ('pooled' in scores) {
    const { mean, sd, pooled } = scores;
    const parts = 'folds' in scores ? `${scores.folds.length} folds` : `${scores.seeds.length} seeds`;
    const cell = (metric: 'wa' | 'ua' | 'wf1'): string =>
      sd[metric] === null ? percent(mean[metric]) : `${percent(mean[metric])} ± ${percent(sd[metric])}`;
    rows.push(['this run, mean ± sd', cell('wa'), cell('ua'), cell('wf1'), parts]);
    rows.push(['this run, pooled', ...metricCells(pooled), `n = ${pooled.n}`]);
  } else {
    rows.push(['this run', ...metricCells(scores), `n = ${scores.n}`]);
  }
  return textTable(['', 'WA %', 'UA %', 'WF1 %', ''], rows, ['left', 'right', 'right', 'right', 'left']);
}

/** One row per fold, then mean, standard deviation and pooled, in percent. */
export function foldsTable({ folds, ...spread }: FoldMetrics): string {
  return spreadTable(
    'fold',
    folds.map(({ fold, metrics }) => [fold, metrics]),
    spread,
  );
}

/** One row per seed, then mean, standard deviation and pooled, in percent. */
export function seedsTable({ seeds, ...spread }: SeedMetrics): string {
  return spreadTable(
    'seed',
    seeds.map(({ seed, metrics }) => [String(seed), metrics]),
    spread,
  );
}

function spreadTable(
  name: string,
  parts: readonly (readonly [part: string, metrics: Metrics])[],
  { mean, sd, pooled }: Spread,
): string {
  const deviation = (value: number | null): string => (value === null ? '-' : percent(value));
  return textTable(
    [name, 'n', 'WA %', 'UA %', 'WF1 %'],
    [
      ...parts.map(([part, metrics]) => [part, String(metrics.n), ...metricCells(metrics)]),
      ['mean', '', percent(mean.wa), percent(mean.ua), percent(mean.wf1)],
      ['sd', '', deviation(sd.wa), deviation(sd.ua), deviation(sd.wf1)],
      ['pooled', String(pooled.n), ...metricCells(pooled)],
    ],
  );
}

/** Precision, recall, F1 and support of every class. A dash where a figure has no denominator. */
export function classTable({ perClass }: Metrics): string {
  return textTable(
    ['class', 'precision %', 'recall %', 'F1 %', 'support'],
    perClass.map(({ label, precision, recall, f1, support, predicted }) => [
      label,
      predicted === 0 ? '-' : percent(precision),
      support === 0 ? '-' : percent(recall),
      support + predicted === 0 ? '-' : percent(f1),
      String(support),
    ]),
  );
}

/** Counts by reference (rows) and predicted class (columns), with a column for missing answers if there are any. */
export function confusionTable({ labels, confusion, unanswered }: Metrics): string {
  const anyUnanswered = unanswered.some((count) => count > 0);
  return textTable(
    ['reference \\ predicted', ...labels, ...(anyUnanswered ? ['no answer'] : [])],
    labels.map((label, i) => [
      label,
      ...confusion[i]!.map(String),
      ...(anyUnanswered ? [String(unanswered[i])] : []),
    ]),
  );
}

/** A fraction as percent with one decimal, as the paper prints it. */
export function percent(fraction: number): string {
  return (100 * fraction).toFixed(1);
}

function metricCells({ wa, ua, wf1 }: Metrics): string[] {
  return [percent(wa), percent(ua), percent(wf1)];
}

/** The paper's figures as it prints them, a dash where it has none. */
export function paperCells({ wa, ua, wf1 }: PaperFigures): string[] {
  return [wa, ua, wf1].map((value) => (value === null ? '-' : value.toFixed(1)));
}

/** Code points, so that a label outside the basic plane keeps its column straight. */
function characters(text: string): number {
  return [...text].length;
}
