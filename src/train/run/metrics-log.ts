/**
 * @file The figures of a run, as they come: metrics.jsonl, and the same as a CSV and as a TensorBoard event file. The
 * other two are functions of the first alone, and hold nothing of the clock: however often a run was interrupted, all
 * three end as the same bytes.
 */

import { appendFile, mkdir, open, readFile, stat, truncate } from 'node:fs/promises';
import { dirname } from 'node:path';
import { InputError, readTextFile, writeFileAtomic } from '../../base/index.js';
import { encodeEvent, eventFileHeader } from './event-file.js';
import type { RunFolder } from './folder.js';
import { metricsTable } from './metrics-csv.js';

/** A step with its figures, or a validated epoch. */
export interface MetricsLine {
  readonly step: number;
  readonly epoch: number;
  readonly validation?: Readonly<Record<string, number>>;
  readonly [figure: string]: number | Readonly<Record<string, number>> | undefined;
}

/** Appended line by line; cut back to what a resumed state had seen. */
export interface MetricsLog {
  append(lines: readonly MetricsLine[]): Promise<void>;
  /** Bytes of metrics.jsonl so far. */
  size(): number;
  /** Returns when everything appended is on the disk: a saved state may count on it. */
  sync(): Promise<void>;
}

type MetricsFiles = Pick<RunFolder, 'metrics' | 'metricsTable' | 'events'>;

/**
 * Opens the log at `size` bytes of metrics.jsonl, dropping what a killed run had written behind its last saved state;
 * the table and the event file are made anew from what is left.
 * @param reported names of the figures of a step
 * @throws InputError when metrics.jsonl is shorter than that, or not what emoq wrote
 */
export async function openMetrics(
  { metrics, metricsTable: csv, events }: MetricsFiles,
  size: number,
  reported: readonly string[],
): Promise<MetricsLog> {
  await cutBack(metrics, size);
  const table = metricsTable(reported);
  const seen = parseLines(await readFile(metrics, 'utf8'), metrics);
  await mkdir(dirname(events), { recursive: true });
  await writeFileAtomic(csv, table.header + seen.map(table.row).join(''));
  await writeFileAtomic(events, Buffer.concat([eventFileHeader(), ...seen.map(eventOf)]));
  let bytes = size;
  return {
    async append(lines) {
      const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
      await appendFile(metrics, text);
      bytes += Buffer.byteLength(text);
      // What is read back is not always what was written: JSON has no -0, for one.
      const readBack = parseLines(text, metrics);
      await appendFile(csv, readBack.map(table.row).join(''));
      await appendFile(events, Buffer.concat(readBack.map(eventOf)));
    },
    size: () => bytes,
    async sync() {
      for (const path of [metrics, csv, events]) {
        const handle = await open(path, 'r+');
        await handle.sync().finally(() => handle.close());
      }
    },
  };
}

/**
 * The lines of a metrics.jsonl. One that is being written still is left out.
 * @throws InputError when the file is missing, or not what emoq wrote
 */
export async function readMetrics(path: string): Promise<MetricsLine[]> {
  return parseLines(await readTextFile(path, 'metrics'), path);
}

async function cutBack(path: string, size: number): Promise<void> {
  if (size === 0) return writeFileAtomic(path, '');
  const present = await stat(path).then(
    ({ size: bytes }) => bytes,
    () => 0,
  );
  if (present < size)
    throw new InputError(`${path} is shorter than the saved state says; delete the run to start again`);
  return truncate(path, size);
}

function parseLines(text: string, path: string): MetricsLine[] {
  const lines = text.split('\n').slice(0, -1);
  return lines.map((line, index) => {
    try {
      return JSON.parse(line) as MetricsLine;
    } catch {
      throw new InputError(
        `${path}, line ${index + 1} is not what emoq wrote; delete the run to start again`,
      );
    }
  });
}

/** Curves of a line: `train/<figure>` of a step, `validation/<metric>` of an epoch. */
function eventOf({ step, epoch: _epoch, validation, ...figures }: MetricsLine): Uint8Array {
  const curves = Object.entries(validation ?? figures).filter(([, value]) => Number.isFinite(value));
  const group = validation === undefined ? 'train' : 'validation';
  return encodeEvent({
    step,
    // The step stands in for the time, which would differ from run to run: TensorBoard's "relative" axis counts steps.
    wallTimeSec: step,
    scalars: Object.fromEntries(curves.map(([name, value]) => [`${group}/${name}`, value as number])),
  });
}
