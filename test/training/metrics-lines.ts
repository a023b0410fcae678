/** @file Reads a run's metrics.jsonl. */

import { readFile } from 'node:fs/promises';

/** All lines of a metrics log. */
export async function readMetrics(path: string): Promise<Record<string, unknown>[]> {
  const lines = (await readFile(path, 'utf8')).split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}
