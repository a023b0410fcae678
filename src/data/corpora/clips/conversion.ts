/**
 * @file Converts source clips to 16 kHz mono WAV or FLAC in batches that share a process. Reads them from files or
 * streams them out of archives, cuts or pads them, and writes them atomically.
 */

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { writeFileAtomic } from '../../../base/index.js';
import {
  type AudioNote,
  type DecodedAudio,
  decodeAudioFiles,
  encodeFlacFiles,
  encodeWav,
  ffmpegVersion,
  SAMPLE_RATE_HZ,
  type UndecodedAudio,
} from '../../audio/index.js';
import { type ArchivedFile, readArchive } from './archive.js';
import {
  type ArchivedClip,
  type ClipIdentity,
  type ClipOutcome,
  type ClipTask,
  describePart,
  describeSegment,
  isEntryOf,
  type Journal,
  stillThere,
  type WorkQueue,
} from './journal.js';

/**
 * The shortest clip: HuBERT needs 400 samples for its first frame, and 0.1 s gives four. Shorter clips are padded with
 * silence, which the manifest records.
 */
export const SHORTEST_CLIP_SEC = 0.1;

/** Annotations are rounded: a segment may end this much after its recording. */
const SEGMENT_TOLERANCE_SEC = 0.1;

/** A task whose clip is available as a file. */
export interface OpenClip {
  task: ClipTask;
  /** Current path of the clip. */
  path: string;
  /** Its released file name, used in notes wherever the corpus is. */
  name: string;
}

interface ShapedClip {
  kind: 'shaped';
  samples: Float32Array;
  about: { cut?: string; padded?: string; notes?: readonly AudioNote[]; ffmpeg?: string | undefined };
}

/**
 * Makes the targets of a few clips (a dozen or two, which share a process).
 * @param out the corpus folder
 * @param scratch an existing folder for temporary files
 * @throws Error when a target cannot be written; the signal's reason when it is aborted
 */
export async function convertClips(
  clips: readonly OpenClip[],
  out: string,
  scratch: string,
  signal: AbortSignal | undefined,
): Promise<ClipOutcome[]> {
  const parts = clips.map(({ path, task: { segment, channel } }) => ({
    path,
    channel,
    startSec: segment?.startSec,
    maxDurationSec: segment?.endSec === undefined ? undefined : segment.endSec - segment.startSec,
  }));
  const decoded = await decodeAudioFiles(parts, scratch, signal);
  const version = decoded.some(({ byFfmpeg }) => byFfmpeg) ? await ffmpegVersion() : undefined;
  const shaped = clips.map((clip, index) => {
    const audio = decoded[index]!;
    const ffmpeg = audio.byFfmpeg ? version : undefined;
    return audio.kind === 'undecoded' ? refusal(clip, audio, ffmpeg) : shape(clip, audio, ffmpeg);
  });
  const bytes = await writeTargets(clips, shaped, out, scratch, signal);
  return shaped.map((clip, index) =>
    clip.kind === 'shaped'
      ? {
          kind: 'made',
          durationSec: clip.samples.length / SAMPLE_RATE_HZ,
          bytes: bytes[index]!,
          ...clip.about,
        }
      : clip,
  );
}

/** This sentence is stored in the manifest, so it must not depend on the corpus' location. */
function refusal(
  { task: { segment }, path, name }: OpenClip,
  { error: { message, cause } }: UndecodedAudio,
  ffmpeg: string | undefined,
): ClipOutcome {
  const withoutPath = message.replaceAll(path, name).replace(/^audio file /, '');
  const reason = withoutPath.replace(/\s*[\r\n]+\s*/g, ' '); // a file name may contain line breaks
  const skipped = segment ? `${describeSegment(segment)}: ${reason}` : reason;
  if (cause !== undefined) return { kind: 'skipped', skipped, unread: true };
  return { kind: 'skipped', skipped, ...(ffmpeg !== undefined && { ffmpeg }) };
}

function shape(
  { task: { segment, channel, cut }, name }: OpenClip,
  { samples: decoded, notes }: DecodedAudio,
  ffmpeg: string | undefined,
): ShapedClip | ClipOutcome {
  const about: ShapedClip['about'] = {};
  let samples = decoded;
  const sourceSec = samples.length / SAMPLE_RATE_HZ;
  if (segment) {
    const { startSec, endSec } = segment;
    if (endSec !== undefined && sourceSec < endSec - startSec - SEGMENT_TOLERANCE_SEC) {
      return {
        kind: 'skipped',
        skipped: `${describeSegment(segment)}: ${name} ends at ${seconds(startSec + sourceSec)}`,
      };
    }
  }
  const part = describePart(segment, channel);
  if (part !== undefined) about.cut = `${part} of ${name}`;
  if (cut && sourceSec > cut.longerThanSec) {
    const keep = Math.min(samples.length, Math.max(1, Math.round(cut.keepSec * SAMPLE_RATE_HZ)));
    samples = cut.keep === 'first' ? samples.subarray(0, keep) : samples.subarray(-keep);
    about.cut = `${seconds(sourceSec)}, kept the ${cut.keep} ${seconds(keep / SAMPLE_RATE_HZ)}`;
  }
  const shortest = SHORTEST_CLIP_SEC * SAMPLE_RATE_HZ;
  if (samples.length < shortest) {
    about.padded = `${seconds(samples.length / SAMPLE_RATE_HZ)}, silence added up to ${seconds(SHORTEST_CLIP_SEC)}`;
    const padded = new Float32Array(shortest);
    padded.set(samples);
    samples = padded;
  }
  if (notes.length > 0) about.notes = notes;
  if (ffmpeg !== undefined) about.ffmpeg = ffmpeg;
  return { kind: 'shaped', samples, about };
}

/** Sizes of the files, in the clips' order; 0 if there is none. */
async function writeTargets(
  clips: readonly OpenClip[],
  shaped: readonly (ShapedClip | ClipOutcome)[],
  out: string,
  scratch: string,
  signal: AbortSignal | undefined,
): Promise<number[]> {
  const wavs = shaped.map((clip) =>
    clip.kind === 'shaped' ? encodeWav(clip.samples, SAMPLE_RATE_HZ) : undefined,
  );
  const isFlac = (index: number): boolean => clips[index]!.task.target.endsWith('.flac');
  const flacs = await encodeFlacs(
    wavs.map((wav, index) => (isFlac(index) ? wav : undefined)),
    scratch,
    signal,
  );
  return Promise.all(
    clips.map(async ({ task }, index) => {
      const content = flacs[index] ?? wavs[index];
      if (content) await writeFileAtomic(join(out, task.target), content, { sweep: false }); // `prepareClips` has
      return content?.byteLength ?? 0;
    }),
  );
}

async function encodeFlacs(
  wavs: readonly (Buffer | undefined)[],
  scratch: string,
  signal: AbortSignal | undefined,
): Promise<(Buffer | undefined)[]> {
  const wanted = wavs.flatMap((wav, index) => (wav ? [{ wav, index }] : []));
  if (wanted.length === 0) return [];
  const folder = await mkdtemp(join(scratch, 'encoded-'));
  try {
    const files = wavs.map((_, index) => ({
      wav: join(folder, `${index}.wav`),
      flac: join(folder, `${index}.flac`),
    }));
    for (const { wav, index } of wanted) await writeFile(files[index]!.wav, wav);
    await encodeFlacFiles(
      wanted.map(({ index }) => files[index]!),
      signal,
    );
    const flacs: (Buffer | undefined)[] = [];
    for (const { index } of wanted) flacs[index] = await readFile(files[index]!.flac);
    return flacs;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function seconds(value: number): string {
  return `${Number(value.toFixed(3))} s`;
}

/**
 * Clips that share an ffmpeg process: more gain little, and are lost together when a run is killed. The total size of
 * their sources is limited too, which bounds the temporary files.
 */
const BATCH_CLIPS = 16;
const BATCH_BYTES = 16 << 20;

/** Upper bound on bytes per second of a source, for parts of long recordings: 48 kHz, 24 bit, stereo. */
const SOUND_BYTES_PER_SEC = 288_000;

/** An available clip: its task, and the current path of its source. */
export interface FoundClip {
  index: number;
  path: string;
  name: string;
  bytes: number;
}

/** State of one run. */
export interface ClipRun {
  readonly out: string;
  readonly tasks: readonly ClipTask[];
  readonly identities: ClipIdentity[];
  readonly outcomes: (ClipOutcome | undefined)[];
  readonly journal: Journal;
  /** Version of the installed ffmpeg, if relevant. */
  readonly ffmpeg: string | undefined;
  readonly queue: WorkQueue;
  /** Folder for temporary files; deleted after the run, or at the start of the next. */
  readonly scratch: string;
  readonly signal: AbortSignal | undefined;
  /** Records outcomes as they come. */
  record(indices: readonly number[]): Promise<void>;
  /** Converts clips when a job is free, then releases them. */
  convert(batch: readonly FoundClip[], release?: () => Promise<void>): Promise<void>;
}

/** Converts the open clips that are files. */
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
 * Converts the open clips that are in archives.
 * @returns what is wrong with damaged archives; clips before the damage are converted
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

/** Reads an archive once per position in the lists of names, since the preferred name may come last. */
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

/** Extracts the wanted files of an archive, taking the first of two with the same name. Stops when all are found. */
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

/** A clip that an earlier run made from the same data, whose archive was since replaced or unpacked. */
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

/** Few clips are spread over the jobs; many fill their batches. */
function batchLength(clips: number, jobs: number): number {
  return Math.min(BATCH_CLIPS, Math.ceil(clips / jobs));
}

function isFull(batch: readonly FoundClip[], most: number): boolean {
  return batch.length >= most || batch.reduce((sum, { bytes }) => sum + bytes, 0) >= BATCH_BYTES;
}
