/**
 * @file Decodes any audio file to mono 16 kHz samples, with notes on its quality, and computes the cache key of the
 * decoding.
 */

import { open, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { errorMessage, InputError } from '../../base/index.js';
import {
  decodeTogether,
  decodeWithFfmpeg,
  type FfmpegInput,
  ffmpegVersion,
  requireFfmpeg,
  resampleWithFfmpeg,
} from './ffmpeg.js';
import { type AudioNote, clippingNote, isSilent } from './ffmpeg-metadata.js';
import { areWhole, type ChannelChoice, fullScaleOf, type InterleavedAudio, peakOf, toMono } from './pcm.js';
import type { WavHeader } from './wav.js';
import { probeWavPeak, readWavHeader, readWavSamples } from './wav.js';

/** The sample rate that HuBERT was trained at, used for every prepared clip. */
export const SAMPLE_RATE_HZ = 16_000;

/** A file, or part of one. */
export interface AudioPart {
  path: string;
  channel?: ChannelChoice | undefined;
  /** Start offset in the file. */
  startSec?: number | undefined;
  /** Maximum duration. Little more than this is read from the file. */
  maxDurationSec?: number | undefined;
}

export interface DecodeOptions extends Omit<AudioPart, 'path'> {
  signal?: AbortSignal | undefined;
}

/** Decoded audio. */
export interface DecodedAudio {
  kind: 'decoded';
  /** Mono [frames] at 16 kHz in [-1, 1]. */
  samples: Float32Array;
  /** Length of the whole file, if the file gives it. */
  fileSec: number | undefined;
  /** The file continues after the requested part. */
  isCut: boolean;
  /** In the order of `AUDIO_NOTE_KINDS`, at most one of each kind. */
  notes: readonly AudioNote[];
  /** Decoded by ffmpeg: another version may give different samples. */
  byFfmpeg: boolean;
}

/** Audio that cannot be decoded, and why. */
export interface UndecodedAudio {
  kind: 'undecoded';
  error: InputError;
  byFfmpeg: boolean;
}

/** Audio as read, before it is mixed to mono. */
interface ReadAudio extends InterleavedAudio {
  kind: 'read';
  fileSec: number | undefined;
  /** Float samples as stored, with the largest known magnitude in the file. */
  floatPeak?: number | undefined;
  notes: AudioNote[];
  byFfmpeg: boolean;
}

/** Read past the requested end, to detect whether there is more regardless of codec frame sizes. */
const BEYOND_SEC = 0.01;
/** More than a resampler looks ahead. */
const RESAMPLING_SEC = 0.1;
/** A file that is shorter than its header says by more than this gets a note. */
const MISSING_SEC = 0.1;

/**
 * Mono samples [frames] at 16 kHz in [-1, 1]. A 16 kHz PCM or float WAV is read directly; every other format that
 * ffmpeg supports goes through one ffmpeg process.
 * @throws InputError, one line: file missing, no audio stream, no such channel, truncated, no samples, NaN, ffmpeg not
 *   installed. Its cause is the system error if the file could not be read, which may be temporary.
 */
export async function decodeAudio(path: string, options: DecodeOptions = {}): Promise<DecodedAudio> {
  const { signal } = options;
  const part = { ...options, path };
  const read = await readDirectly(part, signal);
  if (read.kind === 'read') return finished(part, read);
  const decoded = await decodeWithFfmpeg(ffmpegInput(part), SAMPLE_RATE_HZ, signal);
  return finished(part, fromFfmpeg(decoded, read));
}

/**
 * Like `decodeAudio` for several files, with the error in place of the audio for files that cannot be decoded. They
 * share an ffmpeg process, which for short clips is several times as fast; a dozen or two at a time are enough.
 * @param folder an existing folder for temporary files, see `decodeTogether`
 * @throws InputError when ffmpeg is needed and not installed; the signal's reason when it is aborted
 */
export async function decodeAudioFiles(
  parts: readonly AudioPart[],
  folder: string,
  signal?: AbortSignal,
): Promise<(DecodedAudio | UndecodedAudio)[]> {
  const reads = await Promise.all(
    parts.map((part) =>
      readDirectly(part, signal)
        .then((read) => (read.kind === 'read' ? finished(part, read) : read))
        .catch((error: unknown) => undecoded(error, false)),
    ),
  );
  const isOpen = (read: (typeof reads)[number]): read is Unread => read.kind === 'unread';
  const open = [...reads.keys()].filter((index) => isOpen(reads[index]!));
  const decoded = reads.map((read) => (isOpen(read) ? undefined : read));
  if (open.length > 0) await requireFfmpeg();
  const finish = (audio: Parameters<typeof fromFfmpeg>[0], index: number): DecodedAudio | UndecodedAudio => {
    try {
      return finished(parts[index]!, fromFfmpeg(audio, reads[index] as Unread));
    } catch (error) {
      return undecoded(error, true);
    }
  };
  if (open.length > 1) {
    const inputs = open.map((index) => ffmpegInput(parts[index]!));
    const take = async (audio: Parameters<typeof fromFfmpeg>[0], at: number) => finish(audio, open[at]!);
    const together = await decodeTogether(inputs, SAMPLE_RATE_HZ, folder, take, signal);
    for (const [at, index] of open.entries()) decoded[index] = together[at];
  }
  for (const index of open) {
    decoded[index] ??= await decodeWithFfmpeg(ffmpegInput(parts[index]!), SAMPLE_RATE_HZ, signal).then(
      (audio) => finish(audio, index),
      (error: unknown) => undecoded(error, true),
    );
  }
  return decoded as (DecodedAudio | UndecodedAudio)[];
}

/** Bad input as a value; anything else is rethrown. */
function undecoded(error: unknown, byFfmpeg: boolean): UndecodedAudio {
  if (error instanceof InputError) return { kind: 'undecoded', error, byFfmpeg };
  throw error;
}

/** A file that needs ffmpeg. */
interface Unread {
  kind: 'unread';
  /** The largest magnitude in a float WAV; 0 for anything else. */
  filePeak: number;
}

/**
 * Reads files that need no ffmpeg, or need it only to resample; for other files, returns what is known before decoding.
 */
async function readDirectly(part: AudioPart, signal: AbortSignal | undefined): Promise<ReadAudio | Unread> {
  const { path } = part;
  signal?.throwIfAborted();
  const wav = await openWav(path);
  // ffmpeg would trust the header.
  if (!wav || (wav.header.sampleRateHz !== SAMPLE_RATE_HZ && !wav.header.isOdd)) {
    return { kind: 'unread', filePeak: wav?.filePeak ?? 0 };
  }
  const { sampleRateHz } = wav.header;
  const audio = await readable(path, () => readWav(part, wav.header, wav.filePeak));
  if (sampleRateHz === SAMPLE_RATE_HZ || audio.samples.length === 0) return audio;
  const rates = { fromHz: sampleRateHz, toHz: SAMPLE_RATE_HZ };
  const resampled = await resampleWithFfmpeg(audio, rates, limitSec(part), signal);
  return { ...audio, ...resampled, byFfmpeg: true };
}

/**
 * The header of a WAV file that emoq reads by itself, with the largest known magnitude of floats; undefined for another
 * file.
 * @throws InputError when the file is missing, empty, no file or a damaged WAV
 */
export function openWav(path: string): Promise<{ header: WavHeader; filePeak: number } | undefined> {
  return readable(path, async () => {
    const file = await stat(path);
    if (!file.isFile()) throw new InputError(`audio file ${path} is not a file`);
    if (file.size === 0) throw new InputError(`audio file ${path} is empty (0 bytes)`);
    const header = await readWavHeader(path);
    if (!header) return undefined;
    if (header.frames === 0) throw noSamples(path);
    return { header, filePeak: header.encoding === 'float' ? await probeWavPeak(path, header) : 0 };
  });
}

/** Reading that may fail in the file system. */
export async function readable<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof InputError) throw error;
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const why = isMissing ? 'does not exist' : `cannot be read: ${errorMessage(error)}`;
    throw new InputError(`audio file ${path} ${why}`, { cause: error });
  }
}

export function noSamples(path: string): InputError {
  return new InputError(`audio file ${path} holds no samples`);
}

async function readWav(part: AudioPart, header: WavHeader, filePeak: number): Promise<ReadAudio> {
  const { sampleRateHz, frames } = header;
  const fileSec = frames / sampleRateHz;
  const margin = sampleRateHz === SAMPLE_RATE_HZ ? 0 : RESAMPLING_SEC;
  const durationSec = (limitSec(part) ?? Number.POSITIVE_INFINITY) + margin;
  const audio = await readWavSamples(part.path, header, part.startSec, durationSec);
  const notes = incompleteNotes(header);
  const floatPeak = header.encoding === 'float' ? filePeak : undefined;
  return { kind: 'read', ...audio, fileSec, floatPeak, notes, byFfmpeg: false };
}

/** A note on a WAV file that is somewhat shorter than its header says. */
export function incompleteNotes({ frames, sampleRateHz, promisedSec }: WavHeader): AudioNote[] {
  const fileSec = frames / sampleRateHz;
  if (promisedSec === undefined || promisedSec - fileSec <= MISSING_SEC) return [];
  const text = `${fileSec.toFixed(2)} s of the ${promisedSec.toFixed(2)} s that its header promises`;
  return [{ kind: 'incomplete', text }];
}

function fromFfmpeg(
  { isFloat, ...audio }: Awaited<ReturnType<typeof decodeWithFfmpeg>>,
  { filePeak }: Unread,
): ReadAudio {
  return { kind: 'read', ...audio, ...(isFloat && { floatPeak: filePeak }), notes: [], byFfmpeg: true };
}

export function ffmpegInput(part: AudioPart): FfmpegInput {
  return { path: resolve(part.path), startSec: part.startSec, durationSec: limitSec(part) };
}

/** How much to read to return the requested part. */
export function limitSec({ maxDurationSec }: AudioPart): number | undefined {
  return maxDurationSec === undefined ? undefined : maxDurationSec + BEYOND_SEC;
}

function finished(part: AudioPart, audio: ReadAudio): DecodedAudio {
  const { path, startSec = 0, maxDurationSec = Number.POSITIVE_INFINITY } = part;
  const { channels, fileSec, byFfmpeg } = audio;
  const asked = Math.max(1, Math.round(maxDurationSec * SAMPLE_RATE_HZ)) * channels;
  const isCut = audio.samples.length > asked;
  const used: InterleavedAudio = { ...audio, samples: audio.samples.subarray(0, asked) };
  if (used.samples.length === 0) throw noSamples(path);
  const notes = [...audio.notes];
  if (audio.floatPeak !== undefined) {
    const peak = Math.max(peakOf(used.samples), audio.floatPeak);
    const { divisor, note } = fullScaleOf(peak, () => areWhole(used.samples), path);
    if (divisor !== 1) used.samples = used.samples.map((value) => value / divisor);
    if (note) notes.push(note);
  }
  const mono = choosing(path, () => toMono(used, part.channel));
  if (mono.note) notes.push(mono.note);
  const clipped = clippingNote(used.samples, channels, mono.picked);
  const samples = withinFullScale(path, mono.samples, startSec);
  if (isSilent(samples)) notes.push({ kind: 'silent', text: 'no sound' });
  else if (clipped) notes.push(clipped);
  return { kind: 'decoded', samples, fileSec, isCut, notes, byFfmpeg };
}

/** Clips samples to [-1, 1]. @throws InputError for a sample that is no number */
export function withinFullScale(path: string, samples: Float32Array, startSec: number): Float32Array {
  for (let i = 0; i < samples.length; i++) {
    const value = samples[i]!;
    if (!Number.isFinite(value)) throw notNumber(path, value, startSec + i / SAMPLE_RATE_HZ);
    if (value > 1) samples[i] = 1;
    else if (value < -1) samples[i] = -1;
  }
  return samples;
}

export function notNumber(path: string, value: number, atSec: number): InputError {
  return new InputError(
    `audio file ${path} holds ${value} at ${atSec.toFixed(3)} s: every sample must be a number`,
  );
}

/** A choice of channels. @throws InputError when a channel does not exist */
export function choosing<T>(path: string, choose: () => T): T {
  try {
    return choose();
  } catch (error) {
    throw new InputError(`audio file ${path}: ${errorMessage(error)}`);
  }
}

/** Changes whenever the handling of floats, odd block sizes or channels changes. */
const DECODING = 'decoding 2';

/**
 * Part of the cache key of anything computed from an audio file. The key is '' for prepared clips and other 16 kHz mono
 * integer files (WAV or FLAC), whose samples are unambiguous; otherwise it depends on the decoding rules, and on
 * ffmpeg's version if that decodes the file.
 */
export async function decodingKey(path: string): Promise<string> {
  const header = await readWavHeader(path).catch(() => undefined); // problems are reported when the file is decoded
  if (header?.sampleRateHz === SAMPLE_RATE_HZ) {
    const isPlain = header.encoding === 'pcm' && header.channels === 1 && !header.isOdd;
    return isPlain ? '' : DECODING;
  }
  if (await isPlainFlac(path)) return '';
  return `${DECODING}, ffmpeg ${(await ffmpegVersion()) ?? 'unknown'}`;
}

/** According to FLAC's first block: RFC 9639, section 8.2. */
async function isPlainFlac(path: string): Promise<boolean> {
  const handle = await open(path, 'r').catch(() => undefined);
  try {
    const { buffer, bytesRead } = (await handle?.read(Buffer.alloc(22), 0, 22, 0)) ?? { bytesRead: 0 };
    if (!buffer || bytesRead < 22 || buffer.toString('latin1', 0, 4) !== 'fLaC') return false;
    const rateAndChannels = buffer.readUIntBE(18, 3); // 20 bits of sample rate, 3 of channels minus 1
    return rateAndChannels >> 4 === SAMPLE_RATE_HZ && ((rateAndChannels >> 1) & 7) === 0;
  } finally {
    await handle?.close();
  }
}
