/**
 * @file Logs the figures of a run: metrics.jsonl, the same as a CSV and a TensorBoard event file, and timings.jsonl.
 * The first two contain no times, so they end as the same bytes however often a run was interrupted. Events carry
 * wall-clock times for TensorBoard's "wall" and "relative" axes. timings.jsonl has one line per process, with its
 * duration and speed. No result depends on either.
 */

import { appendFile, mkdir, open, readFile, stat, truncate } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { z } from 'zod';
import { InputError, peakMemoryBytes, readTextFile, writeFileAtomic } from '../../base/index.js';
import { encodeEvent, eventFileHeader, eventTimes } from './event-file.js';
import type { RunFolder } from './folder.js';
import type { RunMetadata } from './metadata.js';

/** The figures of a step, or of a validated epoch. */
export interface MetricsLine {
  readonly step: number;
  readonly epoch: number;
  readonly validation?: Readonly<Record<string, number>>;
  readonly [figure: string]: number | Readonly<Record<string, number>> | undefined;
}

/** Appended line by line; truncated to the saved state on resume. */
export interface MetricsLog {
  /** @param tookSec what the lines took together, if they are the steps of a run of the graph that has just ended */
  append(lines: readonly MetricsLine[], tookSec?: number): Promise<void>;
  /** Bytes of metrics.jsonl so far. */
  size(): number;
  /** Resolves once all appended lines are on disk, so that a saved state can rely on them. */
  sync(): Promise<void>;
}

type MetricsFiles = Pick<RunFolder, 'metrics' | 'metricsTable' | 'events'>;

/**
 * Opens the log at `size` bytes of metrics.jsonl, dropping anything a killed run wrote after its last saved state.
 * Rebuilds the CSV and the event file from the rest. Events keep their times as far as the event file has them.
 * @param reported names of the figures of a step, and of an epoch's validation
 * @param nowSec the clock, in seconds since 1970
 * @throws InputError when metrics.jsonl is shorter than that, or was not written by emoq
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
    async append(lines, tookSec = 0) {
      const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
      await appendFile(metrics, text);
      bytes += Buffer.byteLength(text);
      // Parsed lines may differ from the written ones: JSON has no -0, for example.
      const readBack = parseLines(text, metrics);
      await appendFile(csv, readBack.map(table.row).join(''));
      const now = nowSec();
      // When each step of a run ended is not known: they are spread evenly over it.
      const endedSec = (index: number): number => now - tookSec * (1 - (index + 1) / lines.length);
      await appendFile(events, Buffer.concat(readBack.map((line, i) => eventOf(line, endedSec(i)))));
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
 * The lines of a metrics.jsonl, without an incomplete last line.
 * @throws InputError when the file is missing, or was not written by emoq
 */
export async function readMetrics(path: string): Promise<MetricsLine[]> {
  return parseLines(await readTextFile(path, 'metrics'), path);
}

/** When a file was last modified; the current time if it does not exist. */
function lastWrittenSec(path: string, now: number): Promise<number> {
  return stat(path).then(
    ({ mtimeMs }) => mtimeMs / 1000,
    () => now,
  );
}

/** Earlier versions wrote the step in place of the time; real times since 2001 are larger than this. */
const EARLIEST_SEC = 1e9;

/**
 * When the lines were written, according to the event file. If it does not say, or belongs to other lines, they existed
 * by `writtenSec`.
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
    throw new InputError(`${path} is shorter than the saved state says; delete the run to start over`);
  return truncate(path, size);
}

function parseLines(text: string, path: string): MetricsLine[] {
  const lines = text.split('\n').slice(0, -1);
  return lines.map((line, index) => {
    const value = jsonOf(line);
    if (isMetricsLine(value)) return value;
    throw new InputError(`${path}, line ${index + 1} was not written by emoq; delete the run to start over`);
  });
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** Figures are numbers, or null if they were not finite. */
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

/** Converts a line to a table row, column by column. */
export interface MetricsTable {
  readonly header: string;
  row(line: MetricsLine): string;
}

/** Names of the reported figures. */
export interface ReportedFigures {
  readonly step: readonly string[];
  readonly validation: readonly string[];
}

/**
 * A row for each step and each validated epoch, with the columns step, epoch, the step's figures, and
 * `validation_<metric>`, which is empty for steps. Missing values are empty cells.
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

/** How a process left a run: `running` while it works, and permanently if it was killed. */
export type TimingState = 'running' | 'finished' | 'interrupted' | 'failed';

const lineSchema = z.object({
  /** When the process began, and when it last wrote this line; UTC, ISO 8601. */
  started: z.iso.datetime(),
  ended: z.iso.datetime(),
  state: z.enum(['running', 'finished', 'interrupted', 'failed']),
  /** Completed steps when it began, and when it last wrote this line. */
  from_step: z.int().min(0),
  to_step: z.int().min(0),
  /** Utterances trained on; each epoch counts again. */
  utterances: z.int().min(0),
  encoding_sec: z.number().min(0),
  training_sec: z.number().min(0),
  validation_sec: z.number().min(0),
  /** During training only; null before the first step. */
  utterances_per_sec: z.number().min(0).nullable(),
  /** Peak resident memory of the process. */
  peak_memory_bytes: z.number().min(0),
  host: z.string(),
  device: z.string(),
  threads: z.int().nullable(),
  versions: z.record(z.string(), z.string()),
});

/** One line. */
export type RunTiming = z.infer<typeof lineSchema>;

/** Activities whose time is measured. */
export type Work = 'encoding' | 'training' | 'validation';

/** Writes the line of this process. */
export interface TimingRecorder {
  /** Adds time to an activity. @param utterances trained on in that time */
  spent(work: Work, seconds: number, utterances?: number): void;
  /** Writes the line as of `step`; a kill loses anything later. */
  save(step: number): Promise<void>;
  /**
   * Writes the line for the last time, unless the process failed before anything was saved. A full disk has been
   * reported by then.
   */
  end(state: Exclude<TimingState, 'running'>): Promise<void>;
}

type TimingFolder = Pick<RunFolder, 'timings'>;

/**
 * Starts the line of this process, after those of earlier processes unless the run is new.
 * @param begun when the process began to work on the run
 * @param step completed steps
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
      peak_memory_bytes: peakMemoryBytes(),
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

/** Totals over a run's processes. */
export interface RunTimes {
  /** Start of the first and end of the last process; UTC, ISO 8601. */
  readonly started: string;
  readonly ended: string;
  /** Total working time, without the gaps between processes. */
  readonly durationSec: number;
  readonly encodingSec: number;
  readonly trainingSec: number;
  readonly validationSec: number;
  /** During training only; null before the first step. */
  readonly utterancesPerSec: number | null;
  /** The maximum over all processes. */
  readonly peakMemoryBytes: number;
}

/**
 * Totals from timings.jsonl; null for a run of an earlier version, which has none. Ignores lines not written by emoq.
 */
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
