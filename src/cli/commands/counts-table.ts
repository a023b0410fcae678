/** @file Utterances by label as a table: a row per split or session, and a total. */

import type { CorpusCounts, LabelCounts } from '../../data/corpora/index.js';
import { textTable } from '../../evaluation/index.js';

/**
 * Lays out counts. Rows are the splits if there are any, else the sessions.
 * @param labels column order; by default the most frequent label first
 * @param unit what a row is
 */
export function countsTable(
  counts: CorpusCounts,
  labels: readonly string[] = byFrequency(counts.total),
  unit = counts.split ? 'split' : counts.session ? 'session' : '',
): string {
  const groups = Object.entries(counts.split ?? counts.session ?? {}).sort(
    ([a], [b]) => orderOf(a) - orderOf(b),
  );
  const row = (name: string, group: LabelCounts): string[] => {
    const cells = labels.map((label) => (Object.hasOwn(group, label) ? group[label]! : 0));
    return [name, ...cells.map(String), String(cells.reduce((sum, count) => sum + count, 0))];
  };
  return textTable(
    [unit, ...labels, 'total'],
    [...groups.map(([name, group]) => row(name || '(none)', group)), row('total', counts.total)],
  );
}

/** Splits in the order train, dev, test, after anything else. */
function orderOf(name: string): number {
  return ['train', 'dev', 'test'].indexOf(name);
}

function byFrequency(total: LabelCounts): string[] {
  return Object.entries(total)
    .sort(([, a], [, b]) => b - a)
    .map(([label]) => label);
}
