/**
 * @file The clips of a run in batches that share a process: from their files, or out of archives that are read as
 * streams, each clip as it comes by.
 */

import { rm } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { type ArchivedFile, readArchive } from './archive.js';
import { type ClipIdentity, isEntryOf, type Journal, stillThere } from './journal.js';
import type { ArchivedClip, ClipOutcome, ClipTask, WorkQueue } from './task.js';

/**
 * Clips that share an ffmpeg process: more gain little, and are lost together when a run is killed. Their sources'
 * sizes are limited too, which bounds the temporary files.
 */
const BATCH_CLIPS = 16;
const BATCH_BYTES = 16 << 20;

/** The most that a second of sound takes in a source, to size parts of long recordings: 48 kHz, 24 bit, stereo. */
const SOUND_BYTES_PER_SEC = 288_000;

/** A clip at hand: one of the tasks, and where its source is now. */
export interface FoundClip {
  index: number;
  path: string;
  name: string;
  bytes: number;
}

/** What one run works with. */
export interface ClipRun {
  readonly out: string;
  readonly tasks: readonly ClipTask[];
  readonly identities: ClipIdentity[];
  readonly outcomes: (ClipOutcome | undefined)[];
  readonly journal: Journal;
  /** Version of the ffmpeg that is here, where it matters. */
  readonly ffmpeg: string | undefined;
  readonly queue: WorkQueue;
  /** Folder for temporary files; gone after the run, or at the start of the next. */
  readonly scratch: string;
  readonly signal: AbortSignal | undefined;
  /** Takes outcomes down as they come. */
  record(indices: readonly number[]): Promise<void>;
  /** Converts clips when a job is free, then releases them. */
  convert(batch: readonly FoundClip[], release?: () => Promise<void>): Promise<void>;
}

/** Converts those of the open clips that are files. */
export async function convertFiles(run: ClipRun, open: readonly number[], jobs: number): Promise<void> {
  const files = open.flatMap((index) => {
    const { source, segment } = run.tasks[index]!;
    if (typeof source !== 'string') return [];
    const size = Number(run.identities[index]!.source.split(' ').at(-2)) || 0;
    const { startSec = 0, endSec = Number.POSITIVE_INFINITY } = segment ?? {};
    const bytes = Math.min(size, (endSec - startSec) * SOUND_BYTES_PER_SEC);
    return [{ index, path: source, name: basename(source), bytes }];
  });
  const most = batchLength(files.length, jobs);
  let batch: FoundClip[] = [];
  for (const file of files) {
    batch.push(file);
    if (!isFull(batch, most)) continue;
    await run.convert(batch);
    batch = [];
  }
  if (batch.length > 0) await run.convert(batch);
  await run.queue.drain();
}

/**
 * Converts those of the open clips that are packed.
 * @returns what is wrong with the archives that are damaged; what they hold before that is converted.
 */
export async function convertArchives(
  run: ClipRun,
  open: readonly number[],
  jobs: number,
): Promise<string[]> {
  const byArchive = new Map<string, number[]>();
  for (const index of open) {
    const { source } = run.tasks[index]!;
    if (typeof source === 'string') continue;
    const indices = byArchive.get(source.archive) ?? [];
    indices.push(index);
    byArchive.set(source.archive, indices);
  }
  const damaged: string[] = [];
  for (const [archive, indices] of byArchive) {
    const damage = await convertArchive(run, archive, indices, jobs);
    if (damage !== undefined) damaged.push(damage);
    const absent = indices.filter((index) => run.outcomes[index] === undefined);
    for (const index of absent) {
      run.outcomes[index] =
        damage === undefined
          ? { kind: 'absent', absent: 'clip' }
          : { kind: 'absent', absent: 'archive', unread: true };
    }
    await run.record(absent);
  }
  return damaged;
}

/** Reads an archive once for each place in the order of names, as the better name may come last. */
async function convertArchive(
  run: ClipRun,
  archive: string,
  indices: readonly number[],
  jobs: number,
): Promise<string | undefined> {
  const namesOf = (index: number) => (run.tasks[index]!.source as ArchivedClip).names;
  const rounds = indices.reduce((most, index) => Math.max(most, namesOf(index).length), 0);
  let damage: string | undefined;
  for (let round = 0; round < rounds; round++) {
    const wanted = new Map<string, number>();
    for (const index of indices) {
      const name = namesOf(index)[round];
      if (name !== undefined && run.outcomes[index] === undefined) wanted.set(name, index);
    }
    if (wanted.size > 0) damage = (await convertWanted(run, archive, wanted, jobs)) ?? damage;
  }
  return damage;
}

/** Takes what is wanted out of an archive; of two files with one name the first. Stops when it has everything. */
async function convertWanted(
  run: ClipRun,
  archive: string,
  wanted: Map<string, number>,
  jobs: number,
): Promise<string | undefined> {
  const most = batchLength(wanted.size, jobs);
  let batch: FoundClip[] = [];
  const submit = async (): Promise<void> => {
    const clips = batch;
    batch = [];
    const release = async (): Promise<void> => {
      for (const { path } of clips) await rm(path, { force: true });
    };
    if (clips.length > 0) await run.convert(clips, release);
  };
  const damage = await readArchive(
    archive,
    async (file, save) => {
      const index = wanted.get(file.name);
      if (index === undefined) return true;
      wanted.delete(file.name);
      if (!(await findUnpacked(run, index, file))) {
        const path = join(run.scratch, `${index}${extname(file.name)}`);
        await save(path);
        batch.push({ index, path, name: file.name, bytes: file.bytes });
        if (isFull(batch, most)) await submit();
      }
      return wanted.size > 0;
    },
    run.signal,
  );
  await submit();
  await run.queue.drain();
  return damage;
}

/** A clip that an earlier run has made from the same data: of an archive that was replaced, or unpacked meanwhile. */
async function findUnpacked(
  run: ClipRun,
  index: number,
  { name, bytes, modifiedMs }: ArchivedFile,
): Promise<boolean> {
  const identity = run.identities[index]!;
  identity.source = `${name} ${bytes} ${modifiedMs}`;
  const entry = run.journal.entries.get(identity.id);
  if (!isEntryOf(entry, identity, run.ffmpeg)) return false;
  run.outcomes[index] = await stillThere(run.out, entry);
  if (run.outcomes[index] === undefined) return false;
  await run.record([index]);
  return true;
}

/** Few clips are spread over the jobs, many fill their batches. */
function batchLength(clips: number, jobs: number): number {
  return Math.min(BATCH_CLIPS, Math.ceil(clips / jobs));
}

function isFull(batch: readonly FoundClip[], most: number): boolean {
  return batch.length >= most || batch.reduce((sum, { bytes }) => sum + bytes, 0) >= BATCH_BYTES;
}
