/**
 * @file RIFF/WAVE without a child process: reads integer PCM (8, 16, 24, 32 bit) and float (32, 64 bit), plain or
 * extensible, any channel count and rate; writes 16-bit PCM mono.
 * Source: Microsoft, "Multiple Channel Audio Data and WAVE Files" (WAVEFORMATEXTENSIBLE).
 */

import { type FileHandle, open } from 'node:fs/promises';
import { InputError } from '../../base/index.js';
import type { InterleavedAudio } from './channels.js';

/** What the `fmt ` and `data` chunks say. */
export interface WavHeader {
  encoding: 'pcm' | 'float';
  bitsPerSample: number;
  channels: number;
  /** Speaker positions (bit mask) of an extensible header; 0 where the file does not say. */
  channelMask: number;
  sampleRateHz: number;
  /** Byte offset of the first sample. */
  dataOffset: number;
  /** Samples per channel. */
  frames: number;
}

/** Bytes by position: a file on disk, or what a decoder piped. */
interface ByteSource {
  name: string;
  byteLength: number;
  read(offset: number, byteLength: number): Promise<Buffer> | Buffer;
}

const FORMAT_PCM = 1;
const FORMAT_FLOAT = 3;
const FORMAT_EXTENSIBLE = 0xfffe;
/** Writers that cannot seek back (pipes) leave this instead of a size. */
const UNKNOWN_SIZE = 0xffffffff;
const HEADER_BYTES = 44;
/** Chunk headers are read from one piece of the file's beginning, where nearly every file has them all. */
const HEAD_BYTES = 512;

/**
 * The header of a WAV file; undefined when the file is not RIFF/WAVE or holds a compressed or otherwise
 * unusual encoding (then it is ffmpeg's work).
 * @throws InputError when it is a WAV file but damaged: no fmt or data chunk, or fewer samples than it promises.
 */
export async function readWavHeader(path: string): Promise<WavHeader | undefined> {
  return withFile(path, parseHeader);
}

/**
 * Samples of a WAV file whose header was read, scaled to [-1, 1].
 * @param startSec where to begin, 0 by default.
 * @param durationSec how much to read, to the end by default.
 */
export async function readWavSamples(
  path: string,
  header: WavHeader,
  startSec = 0,
  durationSec = Number.POSITIVE_INFINITY,
): Promise<InterleavedAudio> {
  const first = Math.min(header.frames, Math.round(startSec * header.sampleRateHz));
  const frames = Math.min(header.frames - first, Math.round(durationSec * header.sampleRateHz));
  const frameBytes = (header.bitsPerSample / 8) * header.channels;
  const bytes = await withFile(path, (source) =>
    source.read(header.dataOffset + first * frameBytes, frames * frameBytes),
  );
  return { ...header, samples: decodeSamples(bytes, header) };
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
  return { ...header, samples: decodeSamples(bytes.subarray(header.dataOffset), header) };
}

/** 16-bit PCM mono RIFF/WAVE bytes. Samples are rounded to the nearest step and clipped at full scale. */
export function encodeWav(samples: Float32Array, sampleRateHz: number): Buffer {
  const dataBytes = samples.length * 2;
  const bytes = Buffer.alloc(HEADER_BYTES + dataBytes);
  bytes.write('RIFF', 0, 'latin1');
  bytes.writeUInt32LE(HEADER_BYTES - 8 + dataBytes, 4);
  bytes.write('WAVEfmt ', 8, 'latin1');
  bytes.writeUInt32LE(16, 16);
  bytes.writeUInt16LE(FORMAT_PCM, 20);
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

async function parseHeader(source: ByteSource): Promise<WavHeader | undefined> {
  const riff = await source.read(0, 12);
  if (riff.length < 12 || riff.toString('latin1', 0, 4) !== 'RIFF') return undefined;
  if (riff.toString('latin1', 8, 12) !== 'WAVE') return undefined;
  let format: Buffer | undefined;
  for (let offset = 12; offset + 8 <= source.byteLength; ) {
    const chunk = await source.read(offset, 8);
    const kind = chunk.toString('latin1', 0, 4);
    const size = chunk.readUInt32LE(4);
    if (kind === 'fmt ') format = Buffer.from(await source.read(offset + 8, Math.min(size, 40)));
    if (kind === 'data') {
      if (!format || format.length < 16) {
        throw new InputError(`${source.name} is a damaged WAV file: no fmt chunk before its samples`);
      }
      return describe(source, format, offset + 8, size);
    }
    offset += 8 + size + (size & 1); // chunks are padded to even length
  }
  throw new InputError(`${source.name} is a truncated WAV file: it ends before its samples`);
}

function describe(
  source: ByteSource,
  format: Buffer,
  dataOffset: number,
  size: number,
): WavHeader | undefined {
  const channels = format.readUInt16LE(2);
  const sampleRateHz = format.readUInt32LE(4);
  const bitsPerSample = format.readUInt16LE(14);
  let tag = format.readUInt16LE(0);
  let channelMask = 0;
  if (tag === FORMAT_EXTENSIBLE && format.length >= 26) {
    channelMask = format.readUInt32LE(20);
    tag = format.readUInt16LE(24); // the first two bytes of the sub-format GUID are the plain tag
  }
  const encoding = tag === FORMAT_PCM ? 'pcm' : tag === FORMAT_FLOAT ? 'float' : undefined;
  const known = encoding === 'pcm' ? [8, 16, 24, 32] : encoding === 'float' ? [32, 64] : [];
  if (!encoding || !known.includes(bitsPerSample)) return undefined;
  if (channels < 1 || sampleRateHz < 1) {
    throw new InputError(
      `${source.name} is a damaged WAV file: ${channels} channels at ${sampleRateHz} Hz in its header`,
    );
  }
  const available = source.byteLength - dataOffset;
  if (size !== UNKNOWN_SIZE && size > available) {
    throw new InputError(
      `${source.name} is truncated: its header promises ${size} bytes of samples, the file has ${available}`,
    );
  }
  const frames = Math.floor(Math.min(size, available) / ((bitsPerSample / 8) * channels));
  return { encoding, bitsPerSample, channels, channelMask, sampleRateHz, dataOffset, frames };
}

/** Little-endian samples to [-1, 1]: integers over 2^(bits-1), 8-bit ones are unsigned around 128. */
function decodeSamples(bytes: Buffer, header: WavHeader): Float32Array {
  const { encoding, bitsPerSample } = header;
  const width = bitsPerSample / 8;
  const count = Math.floor(bytes.byteLength / width);
  // Whole arrays at once where JavaScript has one of that kind; it needs its bytes at an even place in memory.
  const aligned = (): ArrayBuffer => new Uint8Array(bytes.subarray(0, count * width)).buffer;
  switch (`${encoding}${bitsPerSample}`) {
    case 'float32':
      return new Float32Array(aligned());
    case 'float64':
      return Float32Array.from(new Float64Array(aligned()));
    case 'pcm32':
      return scaled(new Int32Array(aligned()), 0x80000000);
    case 'pcm16':
      return scaled(new Int16Array(aligned()), 0x8000);
    case 'pcm24':
      return Float32Array.from({ length: count }, (_, i) => bytes.readIntLE(3 * i, 3) / 0x800000);
    default:
      return Float32Array.from({ length: count }, (_, i) => (bytes[i]! - 128) / 128);
  }
}

function scaled(integers: Int16Array | Int32Array, fullScale: number): Float32Array {
  const samples = new Float32Array(integers.length);
  for (let i = 0; i < samples.length; i++) samples[i] = integers[i]! / fullScale;
  return samples;
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
