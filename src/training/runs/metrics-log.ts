/**
 * @file The figures of a run, as they come: metrics.jsonl, the same as a CSV and as a TensorBoard event file, and
 * timings.jsonl. The first two hold nothing of the clock: however often a run was interrupted, they end as the same
 * bytes. Events have the time that they happened at, which is TensorBoard's "wall" and "relative" axis; timings.jsonl
 * tells when a run was made, how long and how fast, a line for each process that worked on it. No result depends on
 * either.
 */

import { appendFile, mkdir, open, readFile, stat, truncate } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { z } from 'zod';
import { InputError, readTextFile, writeFileAtomic } from '../../base/index.js';
import { encodeEvent, eventFileHeader, eventTimes } from './event-file.js';
import type { RunFolder } from './folder.js';
import type { RunMetadata } from './metadata.js';

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
 * the table and the event file are made anew from what is left. Events keep their times as far as the file has them.
 * @param reported names of the figures of a step, and of an epoch's validation
 * @param nowSec the clock, in seconds since 1970
 * @throws InputError when metrics.jsonl is shorter than that, or not what emoq wrote
 */
export async function openMetrics(
  { metrics, metricsTable: csv, events }: MetricsFiles,
  size: number,
  reported: ReportedFigures,
  nowSec: () => number = () => Date.now() / 1000,
): Promise<MetricsLog> {
  const writtenSec = await lastWrittenSec(metrics, nowSec());
  await cutBack(metrics, size);
  const table = metricsTable(reported);
  const seen = parseLines(await readFile(metrics, 'utf8'), metrics);
  const times = await timesOf(seen, events, writtenSec);
  await mkdir(dirname(events), { recursive: true });
  await writeFileAtomic(csv, table.header + seen.map(table.row).join(''));
  const past = seen.map((line, index) => eventOf(line, times[index]!));
  await writeFileAtomic(events, Buffer.concat([eventFileHeader(), ...past]));
  let bytes = size;
  return {
    async append(lines) {
      const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
      await appendFile(metrics, text);
      bytes += Buffer.byteLength(text);
      // What is read back is not always what was written: JSON has no -0, for one.
      const readBack = parseLines(text, metrics);
      await appendFile(csv, readBack.map(table.row).join(''));
      const now = nowSec();
      await appendFile(events, Buffer.concat(readBack.map((line) => eventOf(line, now))));
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

/** When a file was written last; now where there is none. */
function lastWrittenSec(path: string, now: number): Promise<number> {
  return stat(path).then(
    ({ mtimeMs }) => mtimeMs / 1000,
    () => now,
  );
}

/** Earlier versions wrote the step in place of the time: no clock showed so little since 2001. */
const EARLIEST_SEC = 1e9;

/**
 * When the lines were written, by the event file. Where it does not say, or belongs to other lines, they were there by
 * `writtenSec`.
 */
async function timesOf(lines: readonly MetricsLine[], events: string, writtenSec: number): Promise<number[]> {
  const known = eventTimes(await readFile(events).catch(() => Buffer.alloc(0)));
  return lines.map(({ step }, index) => {
    const event = known[index];
    return event?.step === step && event.wallTimeSec >= EARLIEST_SEC ? event.wallTimeSec : writtenSec;
  });
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
    const value = jsonOf(line);
    if (isMetricsLine(value)) return value;
    throw new InputError(`${path}, line ${index + 1} is not what emoq wrote; delete the run to start again`);
  });
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** Figures are numbers, or null where they were none. */
function isMetricsLine(value: unknown): value is MetricsLine {
  if (!isObject(value)) return false;
  const { step, epoch, validation = {}, ...figures } = value;
  const isFigure = (figure: unknown): boolean => figure === null || typeof figure === 'number';
  return (
    [step, epoch].every((count) => Number.isSafeInteger(count) && (count as number) >= 0) &&
    isObject(validation) &&
    [figures, validation].every((group) => Object.values(group).every(isFigure))
  );
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Curves of a line: `train/<figure>` of a step, `validation/<metric>` of an epoch. */
function eventOf(
  { step, epoch: _epoch, validation, ...figures }: MetricsLine,
  wallTimeSec: number,
): Uint8Array {
  const curves = Object.entries(validation ?? figures).filter(([, value]) => Number.isFinite(value));
  const group = validation === undefined ? 'train' : 'validation';
  return encodeEvent({
    step,
    wallTimeSec,
    scalars: Object.fromEntries(curves.map(([name, value]) => [`${group}/${name}`, value as number])),
  });
}

/** What a line of the table says, column by column. */
export interface MetricsTable {
  readonly header: string;
  row(line: MetricsLine): string;
}

/** Names of what is reported. */
export interface ReportedFigures {
  readonly step: readonly string[];
  readonly validation: readonly string[];
}

/**
 * A row for each step and each validated epoch, with the columns step, epoch, the step's figures, and
 * `validation_<metric>`, which is empty in the row of a step. A cell that has no value is empty.
 */
export function metricsTable({ step, validation }: ReportedFigures): MetricsTable {
  const columns = ['step', 'epoch', ...step];
  const text = (value: unknown): string => (typeof value === 'number' ? String(value) : '');
  return {
    header: `${[...columns, ...validation.map((metric) => `validation_${metric}`)].join(',')}\n`,
    row: (line) => {
      const figures = columns.map((column) => text(line[column]));
      const validated = validation.map((metric) => text(line.validation?.[metric]));
      return `${[...figures, ...validated].join(',')}\n`;
    },
  };
}

/** How a process left a run: `running` while it works, and for ever where it was killed. */
export type TimingState = 'running' | 'finished' | 'interrupted' | 'failed';

const lineSchema = z.object({
  /** When the process began, and when it wrote this line last; UTC, ISO 8601. */
  started: z.iso.datetime(),
  ended: z.iso.datetime(),
  state: z.enum(['running', 'finished', 'interrupted', 'failed']),
  /** Steps that were done when it began, and when it wrote this line last. */
  from_step: z.int().min(0),
  to_step: z.int().min(0),
  /** Utterances trained on, those of an epoch each time. */
  utterances: z.int().min(0),
  encoding_sec: z.number().min(0),
  training_sec: z.number().min(0),
  validation_sec: z.number().min(0),
  /** Of training alone; null before the first step. */
  utterances_per_sec: z.number().min(0).nullable(),
  /** Resident memory of the process at its highest. */
  peak_memory_bytes: z.number().min(0),
  host: z.string(),
  device: z.string(),
  threads: z.int().nullable(),
  versions: z.record(z.string(), z.string()),
});

/** One line. */
export type RunTiming = z.infer<typeof lineSchema>;

/** What a process spends its time on. */
export type Work = 'encoding' | 'training' | 'validation';

/** The line of this process. */
export interface TimingRecorder {
  /** Adds to what was spent. @param utterances trained on in that time */
  spent(work: Work, seconds: number, utterances?: number): void;
  /** Writes the line as it stands after so many steps; a kill loses what comes behind. */
  save(step: number): Promise<void>;
  /** Writes it for the last time, unless it failed before anything was saved. A disk that is full has been told of by then. */
  end(state: Exclude<TimingState, 'running'>): Promise<void>;
}

type TimingFolder = Pick<RunFolder, 'timings'>;

/**
 * Begins the line of this process, behind those of earlier ones unless the run is new.
 * @param begun when the process began to work on it
 * @param step steps that are done
 */
export async function recordTimings(
  { timings }: TimingFolder,
  { device, threads, versions }: Pick<RunMetadata, 'device' | 'threads' | 'versions'>,
  { begun, step, isNew }: { readonly begun: Date; readonly step: number; readonly isNew: boolean },
): Promise<TimingRecorder> {
  const earlier = isNew ? '' : await readFile(timings, 'utf8').catch(() => '');
  const before = earlier === '' || earlier.endsWith('\n') ? earlier : `${earlier}\n`;
  const seconds: Record<Work, number> = { encoding: 0, training: 0, validation: 0 };
  let trained = 0;
  let done: number | undefined;
  const rounded = (sec: number): number => Number(sec.toFixed(3));
  const write = (state: TimingState): Promise<void> => {
    const line: RunTiming = {
      started: begun.toISOString(),
      ended: new Date().toISOString(),
      state,
      from_step: step,
      to_step: done ?? step,
      utterances: trained,
      encoding_sec: rounded(seconds.encoding),
      training_sec: rounded(seconds.training),
      validation_sec: rounded(seconds.validation),
      utterances_per_sec: seconds.training > 0 ? rounded(trained / seconds.training) : null,
      peak_memory_bytes: process.resourceUsage().maxRSS * 1024,
      host: hostname(),
      device,
      threads,
      versions,
    };
    return writeFileAtomic(timings, `${before}${JSON.stringify(line)}\n`);
  };
  return {
    spent(work, sec, utterances = 0) {
      seconds[work] += sec;
      trained += utterances;
    },
    async save(now) {
      done = now;
      await write('running');
    },
    async end(state) {
      if (done !== undefined || state !== 'failed') await write(state).catch(() => undefined);
    },
  };
}

/** A run's processes together. */
export interface RunTimes {
  /** Of the first one and of the last; UTC, ISO 8601. */
  readonly started: string;
  readonly ended: string;
  /** The time that they worked, without what lay between them. */
  readonly durationSec: number;
  readonly encodingSec: number;
  readonly trainingSec: number;
  readonly validationSec: number;
  /** Of training alone; null before the first step. */
  readonly utterancesPerSec: number | null;
  /** The highest of them. */
  readonly peakMemoryBytes: number;
}

/** What timings.jsonl says; null for a run of an earlier emoq, which has none. Lines that are not emoq's are left out. */
export async function readTimes({ timings }: TimingFolder): Promise<RunTimes | null> {
  const text = await readFile(timings, 'utf8').catch(() => '');
  const lines = text.split('\n').flatMap(parsedLine);
  const [first, last] = [lines[0], lines.at(-1)];
  if (first === undefined || last === undefined) return null;
  const sum = (of: (line: RunTiming) => number): number => lines.reduce((total, line) => total + of(line), 0);
  const trainingSec = sum((line) => line.training_sec);
  return {
    started: first.started,
    ended: last.ended,
    durationSec: sum(({ started, ended }) => Math.max(0, Date.parse(ended) - Date.parse(started)) / 1000),
    encodingSec: sum((line) => line.encoding_sec),
    trainingSec,
    validationSec: sum((line) => line.validation_sec),
    utterancesPerSec: trainingSec > 0 ? sum((line) => line.utterances) / trainingSec : null,
    peakMemoryBytes: Math.max(...lines.map((line) => line.peak_memory_bytes)),
  };
}

function parsedLine(text: string): RunTiming[] {
  try {
    const parsed = lineSchema.safeParse(JSON.parse(text));
    return parsed.success ? [parsed.data] : [];
  } catch {
    return [];
  }
}
