/**
 * @file timings.jsonl: when a run was made, how long and how fast, a line for each process that worked on it. With the
 * event file it is all of a run folder that knows the clock; no result depends on it.
 */

import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { z } from 'zod';
import { writeFileAtomic } from '../../base/index.js';
import type { RunFolder } from './folder.js';
import type { RunMetadata } from './metadata.js';

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
