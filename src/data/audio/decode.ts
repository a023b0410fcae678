/** @file Any audio file to mono 16 kHz samples. */

import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { errorMessage, InputError } from '../../base/index.js';
import { type ChannelChoice, type InterleavedAudio, toMono } from './channels.js';
import { decodeTogether, decodeWithFfmpeg, type FfmpegInput, requireFfmpeg } from './ffmpeg.js';
import { readWavHeader, readWavSamples } from './wav.js';

/** The rate that HuBERT was trained at, and that every prepared clip has. */
export const SAMPLE_RATE_HZ = 16_000;

export interface DecodeOptions {
  channel?: ChannelChoice | undefined;
  /** Where to begin in the file. */
  startSec?: number | undefined;
  /** The most to return. */
  maxDurationSec?: number | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Mono samples [frames] at 16 kHz in [-1, 1]. A 16 kHz PCM or float WAV is read directly; everything else that
 * ffmpeg knows goes through one ffmpeg process.
 * @throws InputError, one line: file missing, no audio stream, truncated, no samples, NaN, ffmpeg not installed. Its
 *   cause is the system's error where the file could not be read at all, which another time it may be.
 */
export async function decodeAudio(path: string, options: DecodeOptions = {}): Promise<Float32Array> {
  const { channel, signal } = options;
  const direct = await readDirectly(path, options);
  const audio = direct ?? (await decodeWithFfmpeg(ffmpegInput(path, options), SAMPLE_RATE_HZ, signal));
  return finished(path, audio, channel);
}

/** A file, or a part of one. */
export interface AudioPart extends Pick<DecodeOptions, 'startSec' | 'maxDurationSec'> {
  path: string;
}

/**
 * What `decodeAudio` gives for each of several files, and for those that cannot be decoded its error. They share an
 * ffmpeg process, which for short clips is several times as fast: a dozen or two at a time are enough.
 * @param folder an existing one for temporary files, see `decodeTogether`.
 * @throws InputError when ffmpeg is needed and not installed; the signal's reason when it fires.
 */
export async function decodeAudioFiles(
  parts: readonly AudioPart[],
  folder: string,
  signal?: AbortSignal,
): Promise<(Float32Array | InputError)[]> {
  const inputs = parts.map((part) => ffmpegInput(part.path, part));
  const finish = async (audio: InterleavedAudio, index: number) => finished(parts[index]!.path, audio);
  const alone = async (index: number): Promise<Float32Array> =>
    finish(await decodeWithFfmpeg(inputs[index]!, SAMPLE_RATE_HZ, signal), index);

  const decoded = await Promise.all(
    parts.map(async (part, index) => {
      const direct = readDirectly(part.path, { ...part, signal });
      return direct.then((audio) => audio && finish(audio, index)).catch(inputErrorOf);
    }),
  );
  const open = [...decoded.keys()].filter((index) => decoded[index] === undefined);
  if (open.length > 0) await requireFfmpeg();
  if (open.length > 1) {
    const openInputs = open.map((index) => inputs[index]!);
    const take = (audio: InterleavedAudio, at: number) => finish(audio, open[at]!).catch(inputErrorOf);
    const together = await decodeTogether(openInputs, SAMPLE_RATE_HZ, folder, take, signal);
    for (const [at, index] of open.entries()) decoded[index] = together[at];
  }
  for (const index of open) decoded[index] ??= await alone(index).catch(inputErrorOf);
  return decoded as (Float32Array | InputError)[];
}

/** Bad input as a value; anything else is thrown on. */
function inputErrorOf(error: unknown): InputError {
  if (error instanceof InputError) return error;
  throw error;
}

/** What needs no ffmpeg; undefined where it is ffmpeg's work. */
async function readDirectly(path: string, options: DecodeOptions): Promise<InterleavedAudio | undefined> {
  const { startSec, maxDurationSec, signal } = options;
  signal?.throwIfAborted();
  try {
    const file = await stat(path);
    if (!file.isFile()) throw new InputError(`audio file ${path} is not a file`);
    if (file.size === 0) throw new InputError(`audio file ${path} is empty (0 bytes)`);
    const header = await readWavHeader(path);
    if (header?.frames === 0) throw new InputError(`audio file ${path} holds no samples`);
    if (header?.sampleRateHz !== SAMPLE_RATE_HZ) return undefined;
    return await readWavSamples(path, header, startSec, maxDurationSec);
  } catch (error) {
    if (error instanceof InputError) throw error;
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const why = isMissing ? 'does not exist' : `cannot be read: ${errorMessage(error)}`;
    throw new InputError(`audio file ${path} ${why}`, { cause: error });
  }
}

function ffmpegInput(path: string, { startSec, maxDurationSec }: DecodeOptions): FfmpegInput {
  return { path: resolve(path), startSec, durationSec: maxDurationSec };
}

function finished(path: string, audio: InterleavedAudio, channel?: ChannelChoice): Float32Array {
  const samples = pickChannel(path, audio, channel);
  if (samples.length === 0) throw new InputError(`audio file ${path} holds no samples`);
  for (let i = 0; i < samples.length; i++) {
    const value = samples[i]!;
    if (!Number.isFinite(value)) {
      const atSec = (i / SAMPLE_RATE_HZ).toFixed(3);
      throw new InputError(`audio file ${path} holds ${value} at ${atSec} s: every sample must be a number`);
    }
    if (value > 1) samples[i] = 1;
    else if (value < -1) samples[i] = -1;
  }
  return samples;
}

function pickChannel(path: string, audio: InterleavedAudio, choice: ChannelChoice | undefined): Float32Array {
  try {
    return toMono(audio, choice);
  } catch (error) {
    throw new InputError(`audio file ${path}: ${errorMessage(error)}`);
  }
}
