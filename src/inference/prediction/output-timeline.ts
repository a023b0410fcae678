/** @file The timeline of an output: its rows read again, so that a prediction that was resumed is drawn whole. */

import { isAbsolute, resolve } from 'node:path';
import { writeFileAtomic } from '../../base/index.js';
import { cellOf, openTableStream, type TableRow } from '../../data/tables/index.js';
import { probabilityPrefix, windowsIn } from '../../evaluation/index.js';
import {
  fileAddress,
  renderTimeline,
  type TimelineRecording,
  type TimelineWindow,
} from '../../report/index.js';
import type { PlannedPrediction } from './predict.js';

/**
 * Writes the page atomically. Rows of one recording that follow one another are drawn together.
 * @param output the finished output of the plan
 * @param page the HTML file, beside which recordings are looked for
 */
export async function writeTimeline(
  { job, source, layout }: PlannedPrediction,
  output: string,
  labels: readonly string[],
  page: string,
): Promise<void> {
  const pathColumn = layout.renamed.get(job.pathColumn) ?? job.pathColumn;
  // JSON Lines have a column only if some row fills it.
  const table = await openTableStream(output, {
    path: pathColumn,
    needed: [],
    optional: [],
    needsPath: true,
  });
  const recordings: Recording[] = [];
  for await (const rows of table.read()) {
    for (const row of rows) {
      const name = cellOf(row, pathColumn);
      let last = recordings.at(-1);
      if (last === undefined || !continues(last, name, row)) {
        const path = await source.files.find(row.fields[pathColumn] ?? '').catch(() => undefined);
        const audio = path === undefined ? null : fileAddress(page, isAbsolute(path) ? path : resolve(path));
        last = { name, audio, windows: [] };
        recordings.push(last);
      }
      add(last, row, labels);
    }
  }
  await writeFileAtomic(page, renderTimeline({ title: output, labels, recordings }));
}

interface Recording extends TimelineRecording {
  windows: TimelineWindow[];
  whole?: TimelineRecording['whole'];
  durationSec?: number;
  error?: string;
}

function isOfWhole(row: TableRow): boolean {
  return windowsIn(cellOf(row, 'note')) !== undefined;
}

/** Whether a row is on the recording of the rows before it, and after them or on all of them. */
function continues(last: Recording, name: string, row: TableRow): boolean {
  if (last.name !== name || last.whole !== undefined) return false;
  const start = cellOf(row, 'start');
  return isOfWhole(row) || (start !== '' && Number(start) >= (last.windows.at(-1)?.endSec ?? 0));
}

function add(recording: Recording, row: TableRow, labels: readonly string[]): void {
  const [start, end, note, error] = ['start', 'end', 'note', 'error'].map((column) => cellOf(row, column));
  const label = cellOf(row, 'label') || null;
  const cells = labels.map((name) => cellOf(row, probabilityPrefix + name));
  const probabilities = cells.includes('') ? null : cells.map(Number);
  if (isOfWhole(row)) {
    recording.whole = { label, probabilities };
    recording.durationSec = Number(end);
    if (error) recording.error = error;
  } else if (start === '' || end === '') {
    if (error) recording.error = error;
  } else {
    recording.windows.push({
      startSec: Number(start),
      endSec: Number(end),
      label,
      probabilities,
      note,
      error,
    });
  }
}
