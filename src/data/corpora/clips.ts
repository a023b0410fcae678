/**
 * @file Source clips to 16 kHz mono WAV, many at a time. A journal line after each finished clip lets a killed
 * preparation go on and a finished one do nothing: a clip is done when the journal knows its source (size and time
 * of change) and rule, and its WAV has the length that the journal says.
 */

import { mkdir, open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { InputError, InterruptedError, writeFileAtomic } from '../../base/index.js';
import {
  decodeAudio,
  defaultJobs,
  encodedWavBytes,
  mapConcurrently,
  requireFfmpeg,
  SAMPLE_RATE_HZ,
  writeWav,
} from '../audio/index.js';

/** Keep only the first or last `keepSec` seconds of a clip that lasts over `longerThanSec`. */
export interface CutRule {
  longerThanSec: number;
  keep: 'first' | 'last';
  keepSec: number;
}

/** One clip to make. */
export interface ClipTask {
  id: string;
  /** Absolute path of the clip as released. */
  source: string;
  /** Path of the WAV, relative to the corpus folder. */
  target: string;
  cut?: CutRule | undefined;
}

/** What became of it. `cut` and `padded` say in words what was changed. */
export type ClipOutcome =
  | { durationSec: number; cut?: string | undefined; padded?: string | undefined }
  | { skipped: string };

/** How preparation runs and reports. */
export interface PreparationControls {
  /** Conversions at a time; one for each core by default. */
  jobs?: number | undefined;
  onProgress?: ((done: number, total: number, note?: string) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * The shortest clip: HuBERT needs 400 samples for its first frame, and 0.1 s gives four. Shorter clips get silence
 * after them and the manifest says so.
 */
export const SHORTEST_CLIP_SEC = 0.1;

/** Part of each journal key: a change of the conversion makes old clips stale. */
const CONVERSION = 'mono 16 kHz, 1';
const JOURNAL = 'preparation.jsonl';

/**
 * Makes every WAV that is not there yet. A clip that cannot be decoded is an outcome, not an error.
 * @returns the outcomes in the tasks' order and how many clips were converted now.
 * @throws InterruptedError when `signal` fires; finished clips stay.
 */
export async function prepareClips(
  out: string,
  tasks: readonly ClipTask[],
  { jobs = defaultJobs(), onProgress, signal }: PreparationControls,
): Promise<{ outcomes: ClipOutcome[]; converted: number }> {
  await removeUnfinished(out);
  const { known, text } = await readJournal(out);
  const keys = await mapConcurrently(tasks, 32, clipKey);
  const outcomes = await mapConcurrently(tasks, 32, (task, index) =>
    findFinished(out, task, known.get(`${task.id}\n${keys[index]}`)),
  );
  const open = tasks.flatMap((_, index) => (outcomes[index] ? [] : [index]));
  let done = tasks.length - open.length;
  onProgress?.(done, tasks.length);
  if (open.some((index) => !tasks[index]!.source.toLowerCase().endsWith('.wav'))) await requireFfmpeg();

  const line = (index: number): string =>
    `${JSON.stringify({ id: tasks[index]!.id, key: keys[index], ...outcomes[index] })}\n`;
  if (open.length > 0) {
    const journal = await openJournal(out, text);
    try {
      await mapConcurrently(
        open,
        jobs,
        async (index) => {
          const task = tasks[index]!;
          const outcome = await convertClip(out, task, signal);
          outcomes[index] = outcome;
          await journal.append(line(index));
          done++;
          onProgress?.(done, tasks.length, describe(task.id, outcome));
        },
        signal,
      );
    } catch (error) {
      if (!signal?.aborted) throw error;
      throw new InterruptedError(
        `stopped with ${done} of ${tasks.length} clips ready in ${out}; run the same command again to go on`,
      );
    } finally {
      await journal.close();
    }
  }
  // In the tasks' order, whatever order they ended in: the same corpus leaves the same bytes.
  const whole = tasks.map((_, index) => line(index)).join('');
  if (open.length > 0 || whole !== text) await writeFileAtomic(join(out, JOURNAL), whole);
  return { outcomes: outcomes as ClipOutcome[], converted: open.length };
}

async function convertClip(
  out: string,
  task: ClipTask,
  signal: AbortSignal | undefined,
): Promise<ClipOutcome> {
  let samples: Float32Array;
  try {
    samples = await decodeAudio(task.source, { signal });
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    // The manifest keeps this sentence, so it must not depend on where the corpus lies.
    const reason = error.message.replaceAll(task.source, basename(task.source));
    return { skipped: reason.replace(/^audio file /, '') };
  }
  const outcome: ClipOutcome = { durationSec: 0 };
  const sourceSec = samples.length / SAMPLE_RATE_HZ;
  if (task.cut && sourceSec > task.cut.longerThanSec) {
    const keep = Math.min(samples.length, Math.max(1, Math.round(task.cut.keepSec * SAMPLE_RATE_HZ)));
    samples = task.cut.keep === 'first' ? samples.subarray(0, keep) : samples.subarray(-keep);
    outcome.cut = `${seconds(sourceSec)}, kept the ${task.cut.keep} ${seconds(keep / SAMPLE_RATE_HZ)}`;
  }
  const shortest = SHORTEST_CLIP_SEC * SAMPLE_RATE_HZ;
  if (samples.length < shortest) {
    const padded = new Float32Array(shortest);
    padded.set(samples);
    outcome.padded = `${seconds(samples.length / SAMPLE_RATE_HZ)}, silence added up to ${seconds(SHORTEST_CLIP_SEC)}`;
    samples = padded;
  }
  await writeWav(join(out, task.target), samples, SAMPLE_RATE_HZ);
  outcome.durationSec = samples.length / SAMPLE_RATE_HZ;
  return outcome;
}

async function clipKey({ source, target, cut }: ClipTask): Promise<string> {
  const { size, mtimeMs } = await stat(source);
  return JSON.stringify([CONVERSION, size, mtimeMs, target, cut ?? null]);
}

async function findFinished(
  out: string,
  task: ClipTask,
  outcome: ClipOutcome | undefined,
): Promise<ClipOutcome | undefined> {
  if (!outcome || 'skipped' in outcome) return outcome;
  const bytes = encodedWavBytes(Math.round(outcome.durationSec * SAMPLE_RATE_HZ));
  const size = await stat(join(out, task.target)).then(
    (file) => file.size,
    () => -1,
  );
  return size === bytes ? outcome : undefined;
}

/** Outcomes by id and key. Lines that a kill left unfinished are not JSON and do not count. */
async function readJournal(out: string): Promise<{ known: Map<string, ClipOutcome>; text: string }> {
  const text = await readFile(join(out, JOURNAL), 'utf8').catch(() => '');
  const known = new Map<string, ClipOutcome>();
  for (const line of text.split('\n')) {
    try {
      const { id, key, ...outcome } = JSON.parse(line) as { id: string; key: string } & ClipOutcome;
      known.set(`${id}\n${key}`, outcome as ClipOutcome);
    } catch {
      // The clip of this line is simply made again.
    }
  }
  return { known, text };
}

async function openJournal(
  out: string,
  text: string,
): Promise<{ append(line: string): Promise<void>; close(): Promise<void> }> {
  await mkdir(out, { recursive: true });
  const handle = await open(join(out, JOURNAL), 'a');
  let last: Promise<void> = Promise.resolve();
  const append = (line: string): Promise<void> => {
    last = last.then(() => handle.appendFile(line));
    return last;
  };
  if (text !== '' && !text.endsWith('\n')) await append('\n');
  return { append, close: () => last.catch(() => {}).then(() => handle.close()) };
}

/** Temporary files that a killed run left behind. */
async function removeUnfinished(out: string): Promise<void> {
  const folders = [
    { folder: out, recursive: false },
    { folder: join(out, 'audio'), recursive: true },
  ];
  for (const { folder, recursive } of folders) {
    const names = await readdir(folder, { recursive }).catch(() => []);
    for (const name of names) {
      if (/\.\d+-[0-9a-f]{8}\.tmp$/.test(name)) await rm(join(folder, name), { force: true });
    }
  }
}

function describe(id: string, outcome: ClipOutcome): string | undefined {
  if ('skipped' in outcome) return `${id} skipped: ${outcome.skipped}`;
  return outcome.cut && `${id} cut: ${outcome.cut}`;
}

function seconds(value: number): string {
  return `${Number(value.toFixed(3))} s`;
}
