/**
 * @file Makes all clips of a corpus as 16 kHz mono WAV or FLAC: finds finished ones in the journal, and converts the
 * others in batches from files or archives.
 */

import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import {
  defaultJobs,
  deleteAtExit,
  InterruptedError,
  isTemporaryName,
  mapConcurrently,
  temporaryName,
} from '../../../base/index.js';
import { ffmpegVersion } from '../../audio/index.js';
import { type ClipRun, convertArchives, convertClips, convertFiles } from './conversion.js';
import type { ClipOutcome, ClipTask } from './journal.js';
import {
  type ClipIdentity,
  decoderOf,
  isEntryOf,
  type Journal,
  journalLine,
  openJournal,
  readJournal,
  ruleOf,
  settleJournal,
  stillThere,
  workQueue,
} from './journal.js';

/** Options for running and reporting a preparation. */
export interface PreparationControls {
  /** Concurrent conversions; one per core by default. */
  jobs?: number | undefined;
  onProgress?: ((done: number, total: number, note?: string) => void) | undefined;
  signal?: AbortSignal | undefined;
}

export interface PreparedClips {
  /** In task order. */
  outcomes: ClipOutcome[];
  /** Clips converted in this run. */
  converted: number;
  /** Descriptions of damaged archives. */
  damagedArchives: string[];
  /** Clips that had been decoded by another version of ffmpeg and were converted again. */
  decodedAgain?: { clips: number; from: string; by: string } | undefined;
  /** Call once the manifest is written: sorts the journal and deletes clips that are no longer in the corpus. */
  settle(): Promise<void>;
}

/** Part of each clip's rule: changing it makes old clips stale. */
const CONVERSION = 'mono 16 kHz, 3';

/**
 * Makes every clip that does not exist yet. A clip that cannot be decoded is an outcome, not an error.
 * @throws InterruptedError when `signal` is aborted; finished clips are kept
 */
export async function prepareClips(
  out: string,
  tasks: readonly ClipTask[],
  { jobs = defaultJobs(), onProgress, signal }: PreparationControls,
): Promise<PreparedClips> {
  await removeUnfinished(out);
  const journal = await readJournal(out);
  const entries = [...journal.entries.values()];
  const ffmpeg = entries.some(decoderOf) ? await ffmpegVersion() : undefined;
  const identities = await identify(tasks);
  const outcomes = await mapConcurrently(identities, 32, async (identity) => {
    const entry = journal.entries.get(identity.id);
    if (!isEntryOf(entry, identity, ffmpeg)) return undefined;
    identity.source = entry.source;
    return stillThere(out, entry);
  });
  const open = [...outcomes.keys()].filter((index) => outcomes[index] === undefined);
  let done = tasks.length - open.length;
  let converted = 0;
  onProgress?.(done, tasks.length);
  const damagedArchives: string[] = [];
  if (open.length > 0) {
    const appender = await openJournal(out, journal);
    const scratch = temporaryName(join(out, 'clips'));
    const exit = deleteAtExit(scratch);
    const queue = workQueue(jobs, signal);
    const record: ClipRun['record'] = async (indices) => {
      await appender.append(
        indices.map((index) => journalLine(identities[index]!, outcomes[index]!)).join(''),
      );
      for (const index of indices) {
        done += 1;
        onProgress?.(done, tasks.length, describe(tasks[index]!.id, outcomes[index]!));
      }
    };
    const convert: ClipRun['convert'] = (batch, release) =>
      queue.submit(async () => {
        const clips = batch.map(({ index, path, name }) => ({ task: tasks[index]!, path, name }));
        const made = await convertClips(clips, out, scratch, signal);
        for (const [at, { index }] of batch.entries()) outcomes[index] = made[at];
        converted += batch.length;
        await record(batch.map(({ index }) => index));
        await release?.();
      });
    const run: ClipRun = {
      out,
      tasks,
      identities,
      outcomes,
      journal,
      ffmpeg,
      queue,
      scratch,
      signal,
      record,
      convert,
    };
    try {
      await mkdir(scratch);
      await convertFiles(run, open, jobs);
      damagedArchives.push(...(await convertArchives(run, open, jobs)));
    } catch (error) {
      await queue.drain().catch(() => undefined); // the first failure is the one to report
      if (!signal?.aborted) throw error;
      throw new InterruptedError(
        `stopped with ${done} of ${tasks.length} clips ready in ${out}; run the same command again to go on`,
      );
    } finally {
      await appender.close();
      await rm(scratch, { recursive: true, force: true, maxRetries: 5 });
      exit.forget();
    }
  }
  const lines = identities.map((each, index) => journalLine(each, outcomes[index]!));
  return {
    outcomes: outcomes as ClipOutcome[],
    converted,
    damagedArchives,
    decodedAgain: decodedAgain(journal, identities, outcomes as ClipOutcome[]),
    settle: () => settle(out, tasks, journal, open.length > 0, lines.join('')),
  };
}

/** Clips in this run that the journal had from another version of ffmpeg. */
function decodedAgain(
  { entries }: Journal,
  identities: readonly ClipIdentity[],
  outcomes: readonly ClipOutcome[],
): PreparedClips['decodedAgain'] {
  const changes = identities.flatMap(({ id }, index) => {
    const before = entries.get(id);
    const [from, by] = [before && decoderOf(before), decoderOf(outcomes[index]!)];
    return from !== undefined && by !== undefined && from !== by ? [{ from, by }] : [];
  });
  return changes[0] && { ...changes[0], clips: changes.length };
}

/** Identifies each clip by its file, or by its archive until its own data has been seen. */
async function identify(tasks: readonly ClipTask[]): Promise<ClipIdentity[]> {
  const stamps = new Map<string, Promise<string>>();
  const stampOf = (path: string): Promise<string> => {
    const known = stamps.get(path) ?? stamp(path);
    stamps.set(path, known);
    return known;
  };
  return mapConcurrently(tasks, 32, async (task) => {
    const { id, target, source } = task;
    const rule = ruleOf(CONVERSION, task);
    if (typeof source === 'string') {
      return { id, target, rule, source: `${basename(source)} ${await stamp(source)}` };
    }
    const archive = `${await stampOf(source.archive)} ${source.names.join(' ')}`;
    return { id, target, rule, source: '', archive };
  });
}

/** Size and modification time; constant for a file that does not exist. */
async function stamp(path: string): Promise<string> {
  const file = await stat(path).catch(() => undefined);
  return file ? `${file.size} ${file.mtimeMs}` : '- -';
}

/** Final state of a run: one line per clip, and no files of clips that are no longer in the corpus. */
async function settle(
  out: string,
  tasks: readonly ClipTask[],
  { targets, text }: Journal,
  hasGrown: boolean,
  lines: string,
): Promise<void> {
  const current = new Set(tasks.map(({ target }) => target));
  for (const target of targets) if (!current.has(target)) await rm(join(out, target), { force: true });
  if (hasGrown || lines !== text) await settleJournal(out, lines);
}

/** Temporary files and folders left by a killed run. */
async function removeUnfinished(out: string): Promise<void> {
  const folders = [
    { folder: out, recursive: false },
    { folder: join(out, 'audio'), recursive: true },
  ];
  for (const { folder, recursive } of folders) {
    const names = await readdir(folder, { recursive }).catch(() => []);
    for (const name of names) {
      if (!isTemporaryName(name)) continue;
      await rm(join(folder, name), { recursive: true, force: true, maxRetries: 5 });
    }
  }
}

function describe(id: string, outcome: ClipOutcome): string | undefined {
  switch (outcome.kind) {
    case 'skipped':
      return `${id} skipped: ${outcome.skipped}`;
    case 'made':
      return outcome.cut && `${id} cut: ${outcome.cut}`;
    case 'absent':
      return undefined;
  }
}
