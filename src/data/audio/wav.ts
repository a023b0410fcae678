/**
 * @file RIFF/WAVE without a child process: reads integer PCM (to 32 bit) and float (32, 64 bit), plain or extensible,
 * any channel count and rate; writes 16-bit PCM mono.
 */

import { type FileHandle, open } from 'node:fs/promises';
import { InputError } from '../../base/index.js';
import type { InterleavedAudio } from './channels.js';
import { decodeSamples, peakOf } from './pcm.js';
import { type ByteSource, parseHeader, type WavHeader } from './wav-header.js';

const HEADER_BYTES = 44;
/** Chunk headers are read from one piece of the file's beginning, where nearly every file has them all. */
const HEAD_BYTES = 512;
/** How much of a file is looked at for its peak: this many pieces, spread evenly. */
const PEAK_PIECES = 64;
const PEAK_PIECE_SAMPLES = 2048;

/** As `parseHeader`, of a file. */
export async function readWavHeader(path: string): Promise<WavHeader | undefined> {
  return withFile(path, parseHeader);
}

/**
 * Samples of a WAV file whose header was read: integers scaled to [-1, 1], floats as they are.
 * @param startSec where to begin, 0 by default.
 * @param durationSec how much to read, to the end by default; nothing else is read.
 */
export async function readWavSamples(
  path: string,
  header: WavHeader,
  startSec = 0,
  durationSec = Number.POSITIVE_INFINITY,
): Promise<InterleavedAudio> {
  const first = Math.min(header.frames, Math.round(startSec * header.sampleRateHz));
  const frames = Math.min(header.frames - first, Math.round(durationSec * header.sampleRateHz));
  const frameBytes = header.sampleBytes * header.channels;
  const bytes = await withFile(path, (source) =>
    source.read(header.dataOffset + first * frameBytes, frames * frameBytes),
  );
  const { channels, channelMask } = header;
  return { channels, channelMask, samples: decodeSamples(bytes, header, path) };
}

/**
 * The largest magnitude in a WAV file, from pieces spread over it: a part of a file may be too quiet to tell in which
 * range the whole lies.
 */
export async function probeWavPeak(path: string, header: WavHeader): Promise<number> {
  const { channels, sampleBytes, dataOffset, frames } = header;
  const pieceFrames = Math.ceil(PEAK_PIECE_SAMPLES / channels);
  const strideFrames = Math.max(pieceFrames, Math.floor(frames / PEAK_PIECES));
  return withFile(path, async (source) => {
    let peak = 0;
    for (let first = 0; first < frames; first += strideFrames) {
      const frameBytes = sampleBytes * channels;
      const length = Math.min(pieceFrames, frames - first) * frameBytes;
      const bytes = await source.read(dataOffset + first * frameBytes, length);
      peak = Math.max(peak, peakOf(decodeSamples(bytes, header, path)));
    }
    return peak;
  });
}

/** A WAV held in memory, as a decoder pipes it. @throws InputError naming `name` when it is not one. */
export async function parseWav(
  bytes: Buffer,
  name: string,
): Promise<InterleavedAudio & { sampleRateHz: number }> {
  const header = await parseHeader({
    name,
    byteLength: bytes.byteLength,
    read: (offset, byteLength) => bytes.subarray(offset, offset + byteLength),
  });
  if (!header) throw new InputError(`${name}: the decoder did not return PCM samples`);
  const { channels, channelMask, sampleRateHz } = header;
  const samples = decodeSamples(bytes.subarray(header.dataOffset), header, name);
  return { channels, channelMask, sampleRateHz, samples };
}

/** 16-bit PCM mono RIFF/WAVE bytes. Samples are rounded to the nearest step and clipped at full scale. */
export function encodeWav(samples: Float32Array, sampleRateHz: number): Buffer {
  const dataBytes = samples.length * 2;
  const bytes = Buffer.alloc(HEADER_BYTES + dataBytes);
  bytes.write('RIFF', 0, 'latin1');
  bytes.writeUInt32LE(HEADER_BYTES - 8 + dataBytes, 4);
  bytes.write('WAVEfmt ', 8, 'latin1');
  bytes.writeUInt32LE(16, 16);
  bytes.writeUInt16LE(1, 20); // PCM
  bytes.writeUInt16LE(1, 22);
  bytes.writeUInt32LE(sampleRateHz, 24);
  bytes.writeUInt32LE(sampleRateHz * 2, 28);
  bytes.writeUInt16LE(2, 32);
  bytes.writeUInt16LE(16, 34);
  bytes.write('data', 36, 'latin1');
  bytes.writeUInt32LE(dataBytes, 40);
  const steps = new Int16Array(bytes.buffer, bytes.byteOffset + HEADER_BYTES, samples.length);
  for (let i = 0; i < samples.length; i++) {
    steps[i] = Math.max(-0x8000, Math.min(0x7fff, Math.round(samples[i]! * 0x8000)));
  }
  return bytes;
}

async function withFile<T>(path: string, use: (source: ByteSource) => Promise<T> | T): Promise<T> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    let head: Promise<Buffer> | undefined;
    return await use({
      name: path,
      byteLength: size,
      read: async (offset, length) => {
        if (offset + length > HEAD_BYTES) return readAt(handle, offset, length);
        head ??= readAt(handle, 0, HEAD_BYTES);
        return (await head).subarray(offset, offset + length);
      },
    });
  } finally {
    await handle.close();
  }
}

/** Up to `byteLength` bytes at an offset; fewer at the end of the file. */
async function readAt(handle: FileHandle, offset: number, byteLength: number): Promise<Buffer> {
  const buffer = Buffer.alloc(byteLength);
  let filled = 0;
  while (filled < byteLength) {
    const chunk = Math.min(byteLength - filled, 1 << 30); // one Node read takes under 2 GiB
    const { bytesRead } = await handle.read(buffer, filled, chunk, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}
