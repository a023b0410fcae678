/**
 * @file RIFF/WAVE without a child process. Reads integer PCM (up to 32 bits) and float (32, 64 bits), plain or
 * extensible, with any channel count and rate, and RF64; detects headers that are wrong about their samples; writes
 * 16-bit PCM mono. Sources: Microsoft, "Multiple Channel Audio Data and WAVE Files" (WAVEFORMATEXTENSIBLE); EBU Tech
 * 3306 (RF64).
 */

import { type FileHandle, open } from 'node:fs/promises';
import { InputError } from '../../base/index.js';
import type { InterleavedAudio } from './pcm.js';
import { decodeSamples, peakOf, type SampleLayout } from './pcm.js';

const HEADER_BYTES = 44;
/** The first read of a file, which covers all chunk headers of nearly every file. */
const HEAD_BYTES = 512;
/** The peak of a file is estimated from this many evenly spaced pieces. */
const PEAK_PIECES = 64;
const PEAK_PIECE_SAMPLES = 2048;

/** Like `parseHeader`, for a file. */
export async function readWavHeader(path: string): Promise<WavHeader | undefined> {
  return withFile(path, parseHeader);
}

/**
 * Samples of a WAV file whose header was read: integers scaled to [-1, 1], floats as they are.
 * @param startSec start offset, 0 by default
 * @param durationSec how much to read, to the end by default; nothing else is read
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
 * The largest magnitude in a WAV file, from pieces spread over it: a single part may be too quiet to show the range of
 * the whole file.
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

/** A WAV in memory, as piped by a decoder. @throws InputError naming `name` when it is not one */
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

/** More than the header that a decoder writes. */
const STREAM_HEAD_BYTES = 4096;

/** Like `parseWav`, in pieces, each of whole frames. Yields nothing for a WAV without samples. */
export async function* parseWavStream(
  chunks: AsyncIterable<Buffer>,
  name: string,
): AsyncGenerator<InterleavedAudio & { sampleRateHz: number }> {
  let header: WavHeader | undefined;
  let rest: Buffer = Buffer.alloc(0);
  const wholeFrames = (layout: WavHeader): InterleavedAudio & { sampleRateHz: number } => {
    const { channels, channelMask, sampleRateHz, sampleBytes } = layout;
    const used = rest.length - (rest.length % (channels * sampleBytes));
    const samples = decodeSamples(rest.subarray(0, used), layout, name);
    rest = rest.subarray(used);
    return { channels, channelMask, sampleRateHz, samples };
  };
  const readHeader = async (): Promise<WavHeader> => {
    const head = rest;
    const read = (offset: number, byteLength: number): Buffer => head.subarray(offset, offset + byteLength);
    const found = await parseHeader({ name, byteLength: head.length, read });
    if (!found) throw new InputError(`${name}: the decoder did not return PCM samples`);
    rest = head.subarray(found.dataOffset);
    return found;
  };
  for await (const chunk of chunks) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    if (!header && rest.length < STREAM_HEAD_BYTES) continue;
    header ??= await readHeader();
    const piece = wholeFrames(header);
    if (piece.samples.length > 0) yield piece;
  }
  if (header || rest.length === 0) return;
  const piece = wholeFrames(await readHeader());
  if (piece.samples.length > 0) yield piece;
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

/** Reads up to `byteLength` bytes at an offset; fewer at the end of the file. */
async function readAt(handle: FileHandle, offset: number, byteLength: number): Promise<Buffer> {
  const buffer = Buffer.alloc(byteLength);
  let filled = 0;
  while (filled < byteLength) {
    const chunk = Math.min(byteLength - filled, 1 << 30); // one Node read takes less than 2 GiB
    const { bytesRead } = await handle.read(buffer, filled, chunk, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

/** Contents of the `fmt ` and `data` chunks. */
export interface WavHeader extends SampleLayout {
  channels: number;
  /** Speaker positions (bit mask) of an extensible header; 0 if not given. */
  channelMask: number;
  sampleRateHz: number;
  /** Byte offset of the first sample. */
  dataOffset: number;
  /** Samples per channel that are present. */
  frames: number;
  /** The duration in the header, if the file is shorter. */
  promisedSec?: number | undefined;
  /** Its size or blocks are unusual, so other programs may read different samples. */
  isOdd: boolean;
}

/** Bytes by position: a file on disk, or a decoder's output in memory. */
export interface ByteSource {
  name: string;
  byteLength: number;
  read(offset: number, byteLength: number): Promise<Buffer> | Buffer;
}

const FORMAT_PCM = 1;
const FORMAT_FLOAT = 3;
const FORMAT_EXTENSIBLE = 0xfffe;
/** In a header with 64-bit sizes, this value means that the size is in the `ds64` chunk. */
const SIZE_ELSEWHERE = 0xffffffff;

/** No writer leaves more than a few dozen chunks; more means that the file is not a WAV. */
const MAX_CHUNKS = 1000;
/** Chunk names that show that the previous chunk was not padded to an even length. */
const KNOWN_CHUNKS = /^(?:fmt |data|fact|LIST|bext|cue |smpl|inst|JUNK|junk|PAD |id3 |ID3 |iXML|PEAK)$/;

/** A file may be this many bytes shorter than its header says, whatever its length. */
const SLACK_BYTES = 64;
/** How much to examine when header fields contradict each other. */
const PROBED_BYTES = 1 << 16;

interface Chunk {
  kind: string;
  size: number;
  /** Offset of its content. */
  start: number;
}

/**
 * The header of a WAV file; undefined when the file is not RIFF/WAVE or has a compressed or otherwise unusual encoding,
 * which is left to ffmpeg.
 * @throws InputError for a damaged WAV file: no fmt or data chunk, blocks too small for a sample, or far fewer samples
 *   than the header says
 */
export async function parseHeader(source: ByteSource): Promise<WavHeader | undefined> {
  const riff = await source.read(0, 12);
  if (riff.length < 12 || !/^(?:RIFF|RF64|BW64)$/.test(riff.toString('latin1', 0, 4))) return undefined;
  if (riff.toString('latin1', 8, 12) !== 'WAVE') return undefined;
  let format: Buffer | undefined;
  let longSize: number | undefined;
  for await (const { kind, size, start } of chunksOf(source, 12)) {
    if (kind === 'fmt ') format = Buffer.from(await source.read(start, Math.min(size, 40)));
    if (kind === 'ds64' && size >= 24) longSize = Number((await source.read(start, 24)).readBigUInt64LE(8));
    if (kind !== 'data') continue;
    if (!format || format.length < 16) {
      throw new InputError(`${source.name} is a damaged WAV file: no fmt chunk before its samples`);
    }
    const promised = size === SIZE_ELSEWHERE && longSize !== undefined ? longSize : size;
    return describe(source, format, start, promised);
  }
  throw new InputError(`${source.name} is a truncated WAV file: it ends before its samples`);
}

/** The chunks from an offset on. @throws InputError after more chunks than a WAV file has */
async function* chunksOf(source: ByteSource, from: number): AsyncGenerator<Chunk> {
  let offset = from;
  for (let count = 0; offset + 8 <= source.byteLength; count++) {
    if (count >= MAX_CHUNKS) {
      throw new InputError(
        `${source.name} is a damaged WAV file: no samples in its first ${MAX_CHUNKS.toLocaleString('en')} chunks`,
      );
    }
    const head = await source.read(offset, 8);
    if (head.length < 8) return;
    const chunk = { kind: head.toString('latin1', 0, 4), size: head.readUInt32LE(4), start: offset + 8 };
    yield chunk;
    offset = chunk.start + chunk.size;
    if (chunk.size % 2 === 1) {
      // Chunks are padded to even length, but not by every writer.
      const next = await source.read(offset, 4);
      if (!KNOWN_CHUNKS.test(next.toString('latin1'))) offset += 1;
    }
  }
}

async function describe(
  source: ByteSource,
  format: Buffer,
  dataOffset: number,
  size: number,
): Promise<WavHeader | undefined> {
  const channels = format.readUInt16LE(2);
  const sampleRateHz = format.readUInt32LE(4);
  const containerBits = format.readUInt16LE(14);
  let tag = format.readUInt16LE(0);
  let channelMask = 0;
  let bitsPerSample = containerBits;
  const isExtensible = tag === FORMAT_EXTENSIBLE && format.length >= 26;
  if (isExtensible) {
    const validBits = format.readUInt16LE(18);
    if (validBits > 0 && validBits < containerBits) bitsPerSample = validBits;
    channelMask = format.readUInt32LE(20);
    tag = format.readUInt16LE(24); // the first two bytes of the sub-format GUID are the plain format tag
  }
  const encoding = tag === FORMAT_PCM ? 'pcm' : tag === FORMAT_FLOAT ? 'float' : undefined;
  const isKnown =
    encoding === 'pcm' ? containerBits >= 1 && containerBits <= 32 : [32, 64].includes(containerBits);
  if (!encoding || !isKnown) return undefined;
  if (encoding === 'float') bitsPerSample = containerBits;
  if (channels < 1 || sampleRateHz < 1) {
    throw new InputError(
      `${source.name} is a damaged WAV file: ${channels} channels at ${sampleRateHz} Hz in its header`,
    );
  }
  const layout = { encoding, bitsPerSample, leftJustified: isExtensible } as const;
  const packedBytes = Math.ceil(containerBits / 8);
  const sampleBytes = await sampleBytesOf(source, format, dataOffset, layout, packedBytes);
  const frameBytes = sampleBytes * channels;
  const bytes = await sampleBytesIn(source, dataOffset, size, frameBytes * sampleRateHz);
  return {
    ...layout,
    sampleBytes,
    channels,
    channelMask,
    sampleRateHz,
    dataOffset,
    frames: Math.floor(bytes.present / frameBytes),
    ...(bytes.promised !== undefined && { promisedSec: bytes.promised / frameBytes / sampleRateHz }),
    isOdd: bytes.present !== size || sampleBytes * 8 !== bitsPerSample,
  };
}

/**
 * Bytes per sample, from the block align. Many programs ignore that field and may write it wrong: if it is too small
 * for the bits, larger than any sample, or contradicted by both the byte rate and the samples, samples are taken as
 * packed.
 * @throws InputError if the block align cannot be right and nothing else is known
 */
async function sampleBytesOf(
  source: ByteSource,
  format: Buffer,
  dataOffset: number,
  layout: Omit<SampleLayout, 'sampleBytes'>,
  packedBytes: number,
): Promise<number> {
  const [channels, sampleRateHz] = [format.readUInt16LE(2), format.readUInt32LE(4)];
  const [bytesPerSec, blockAlign] = [format.readUInt32LE(8), format.readUInt16LE(12)];
  const packed = packedBytes * channels;
  const largest = layout.encoding === 'float' ? 8 : 4;
  if (blockAlign <= packed || blockAlign > largest * channels) return packedBytes;
  const saysPacked = bytesPerSec === packed * sampleRateHz;
  const sampleBytes = blockAlign / channels;
  if (!Number.isInteger(sampleBytes) || layout.encoding === 'float') {
    if (saysPacked) return packedBytes;
    throw new InputError(
      `${source.name} is a damaged WAV file: blocks of ${blockAlign} bytes for ${channels} samples of ${packedBytes * 8} bits`,
    );
  }
  if (!saysPacked) return sampleBytes;
  try {
    const probe = await source.read(dataOffset, PROBED_BYTES - (PROBED_BYTES % blockAlign));
    decodeSamples(probe, { ...layout, sampleBytes }, source.name);
    return sampleBytes;
  } catch {
    return packedBytes;
  }
}

/**
 * The actual number of sample bytes, whatever the header says. A writer into a pipe leaves 0 or some huge round number
 * as the size; the samples then extend to the end of the file.
 * @throws InputError if much of the file is missing: over a tenth and 0.25 s, as in ffmpeg.ts for other formats, or
 *   over half of a short clip
 */
async function sampleBytesIn(
  source: ByteSource,
  dataOffset: number,
  size: number,
  bytesPerSec: number,
): Promise<{ present: number; promised?: number }> {
  const available = source.byteLength - dataOffset;
  if (size === 0) return { present: (await isChunkChain(source, dataOffset)) ? 0 : available };
  if (size <= available) return { present: size };
  if (isPlaceholder(size)) return { present: available };
  const isShort = available / bytesPerSec < (0.9 * size) / bytesPerSec - 0.25 || available < size / 2;
  if (isShort && size - available > SLACK_BYTES) {
    const seconds = (bytes: number): string => `${(bytes / bytesPerSec).toFixed(2)} s`;
    throw new InputError(
      `${source.name} is truncated: its header promises ${size} bytes of samples, the file has ${available} (${seconds(available)} of ${seconds(size)})`,
    );
  }
  return { present: available, promised: size };
}

/** Placeholder sizes: near a whole number of gigabytes, decimal or binary, or of 64 bits. */
function isPlaceholder(size: number): boolean {
  if (size > Number.MAX_SAFE_INTEGER) return true;
  return [1e9, 2 ** 30].some((unit) => {
    const whole = Math.round(size / unit);
    const above = size - whole * unit;
    return whole >= 1 && whole <= 4 && above >= -8192 && above <= 128;
  });
}

/** True if only complete chunks follow, so that an empty data chunk really is empty. */
async function isChunkChain(source: ByteSource, from: number): Promise<boolean> {
  let end = from;
  try {
    for await (const { kind, size, start } of chunksOf(source, from)) {
      if (!/^[\x20-\x7e]{4}$/.test(kind)) return false;
      end = start + size;
      if (end > source.byteLength) return false;
    }
  } catch {
    return false; // more chunks than a file has
  }
  return source.byteLength - end <= 1;
}
