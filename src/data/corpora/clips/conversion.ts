/** @file A handful of source clips to 16 kHz mono WAV or FLAC: decoded together, cut or padded, written whole. */

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
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
import type { ClipOutcome, ClipTask } from './task.js';
import { describePart, describeSegment } from './task.js';

/**
 * The shortest clip: HuBERT needs 400 samples for its first frame, and 0.1 s gives four. Shorter clips get silence
 * after them and the manifest says so.
 */
export const SHORTEST_CLIP_SEC = 0.1;

/** Annotations are rounded: a segment may end this much after its recording does. */
const SEGMENT_TOLERANCE_SEC = 0.1;

/** A task whose clip is at hand. */
export interface OpenClip {
  task: ClipTask;
  /** Where the clip is now. */
  path: string;
  /** Its file name as released: what notes call it, wherever the corpus lies. */
  name: string;
}

interface ShapedClip {
  kind: 'shaped';
  samples: Float32Array;
  about: { cut?: string; padded?: string; notes?: readonly AudioNote[]; ffmpeg?: string | undefined };
}

/**
 * Makes the targets of a few clips (a dozen or two: they share a process).
 * @param out the corpus folder.
 * @param scratch an existing folder for temporary files.
 * @throws Error when a target cannot be written; the signal's reason when it fires.
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

/** The manifest keeps this sentence, so it must not depend on where the corpus lies. */
function refusal(
  { task: { segment }, path, name }: OpenClip,
  { error: { message, cause } }: UndecodedAudio,
  ffmpeg: string | undefined,
): ClipOutcome {
  const told = message.replaceAll(path, name).replace(/^audio file /, '');
  const reason = told.replace(/\s*[\r\n]+\s*/g, ' '); // of a file name
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

/** Sizes of the files, in the clips' order; 0 where there is none. */
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
