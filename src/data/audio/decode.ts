/** @file Any audio file to mono 16 kHz samples. */

import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { errorMessage, InputError } from '../../base/index.js';
import { type ChannelChoice, type InterleavedAudio, toMono } from './channels.js';
import { decodeWithFfmpeg } from './ffmpeg.js';
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
 * @throws InputError, one line: file missing, no audio stream, truncated, no samples, NaN, ffmpeg not installed.
 */
export async function decodeAudio(path: string, options: DecodeOptions = {}): Promise<Float32Array> {
  const file = await stat(path).catch((error: NodeJS.ErrnoException) => {
    const why = error.code === 'ENOENT' ? 'does not exist' : errorMessage(error);
    throw new InputError(`audio file ${path} ${why}`);
  });
  if (!file.isFile()) throw new InputError(`audio file ${path} is not a file`);
  if (file.size === 0) throw new InputError(`audio file ${path} is empty (0 bytes)`);
  const samples = pickChannel(path, await decodeInterleaved(path, options), options.channel);
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

async function decodeInterleaved(path: string, options: DecodeOptions): Promise<InterleavedAudio> {
  const { startSec, maxDurationSec, signal } = options;
  signal?.throwIfAborted();
  let header: Awaited<ReturnType<typeof readWavHeader>>;
  try {
    header = await readWavHeader(path);
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`audio file ${path} cannot be read: ${errorMessage(error)}`);
  }
  if (header?.frames === 0) throw new InputError(`audio file ${path} holds no samples`);
  if (header?.sampleRateHz === SAMPLE_RATE_HZ) return readWavSamples(path, header, startSec, maxDurationSec);
  return decodeWithFfmpeg({
    path: resolve(path),
    sampleRateHz: SAMPLE_RATE_HZ,
    startSec,
    durationSec: maxDurationSec,
    signal,
  });
}

function pickChannel(path: string, audio: InterleavedAudio, choice: ChannelChoice | undefined): Float32Array {
  try {
    return toMono(audio, choice);
  } catch (error) {
    throw new InputError(`audio file ${path}: ${errorMessage(error)}`);
  }
}
