/**
 * @file Writes safetensors files: the header first, then each tensor's bytes as they are produced, so that a file may
 * be larger than memory. Optionally stores a checksum in the metadata: the CRC-32 of all bytes of the file, header
 * included, with the checksum's own digits taken as zeros.
 */

import { createReadStream } from 'node:fs';
import { crc32 } from 'node:zlib';
import { createAtomicFile, type OutputFile } from '../../base/index.js';
import { type DType, dtypeInfo } from './dtype.js';
import { readSafetensorsHeader } from './safetensors.js';
import { LENGTH_BYTES, MAX_HEADER_BYTES, METADATA_KEY } from './safetensors-header.js';
import { elementCount, type Tensor } from './tensor.js';

/** Metadata key of the checksum. It comes first, so that its offset in the file is known. */
export const CHECKSUM_KEY = 'file_crc32';
const ZEROS = '00000000';

const BEFORE = Buffer.from(`{"${METADATA_KEY}":{"${CHECKSUM_KEY}":"`);
const DIGITS_START = LENGTH_BYTES + BEFORE.length;
const DIGITS_END = DIGITS_START + ZEROS.length;

/** Metadata with a slot for the checksum. */
export function withChecksumSlot(metadata: Readonly<Record<string, string>>): Record<string, string> {
  return { [CHECKSUM_KEY]: ZEROS, ...metadata };
}

/** Writes the checksum into a header that has a slot for it. @param content what follows the header */
export async function fillChecksum(head: Buffer, content: AsyncIterable<Uint8Array>): Promise<void> {
  let sum = crc32(head);
  for await (const piece of content) sum = crc32(piece, sum);
  head.write(digitsOf(sum), DIGITS_START, 'latin1');
}

/**
 * Whether a file's content matches its checksum; undefined if it has none.
 * @throws InputError if it is not a safetensors file
 */
export async function hasWholeContent(path: string): Promise<boolean | undefined> {
  const { metadata } = await readSafetensorsHeader(path);
  let sum = 0;
  let stored: string | undefined;
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    const bytes = chunk as Buffer;
    if (stored === undefined) {
      const hasSlot = bytes.subarray(LENGTH_BYTES, DIGITS_START).equals(BEFORE);
      if (!hasSlot) return metadata[CHECKSUM_KEY] === undefined ? undefined : false;
      // Read here rather than from the header above: another process may have replaced the file in between.
      stored = bytes.toString('latin1', DIGITS_START, DIGITS_END);
      bytes.fill(ZEROS, DIGITS_START, DIGITS_END, 'latin1');
    }
    sum = crc32(bytes, sum);
  }
  return digitsOf(sum) === stored;
}

function digitsOf(sum: number): string {
  return sum.toString(16).padStart(ZEROS.length, '0');
}

/** A tensor whose bytes are produced on demand. */
export interface StreamedTensor {
  readonly key: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** The tensor's little-endian bytes, in chunks. */
  read(): AsyncIterable<Uint8Array>;
}

export interface WriteOptions {
  /** Stores a checksum of the whole file in its metadata, see `hasWholeContent`. Tensors are then read twice. */
  readonly checksum?: boolean;
  /**
   * Keeps the data in the order of the tensors, so that they are read in that order. Their sizes must keep each of them
   * aligned.
   */
  readonly keepOrder?: boolean;
}

const DATA_ALIGNMENT = 64; // a cache line; the format requires 8

/**
 * Writes a file atomically from tensors in memory.
 * @throws RangeError as {@link streamSafetensors}, and when data does not match its shape
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<readonly [string, Tensor]>,
  metadata: Readonly<Record<string, string>> = {},
  options: WriteOptions = {},
): Promise<void> {
  const streamed = [...tensors].map(([key, { dtype, shape, data }]): StreamedTensor => {
    if (data.length !== elementCount(shape)) {
      throw new RangeError(`tensor "${key}" has ${data.length} elements for shape [${shape.join(', ')}]`);
    }
    return {
      key,
      dtype,
      shape,
      async *read() {
        yield new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      },
    };
  });
  await streamSafetensors(path, streamed, metadata, options);
}

/**
 * Writes a file atomically, one tensor after the other. The header lists the keys in the order given. The data is
 * ordered by element size, widest first (then as given), so that every tensor is aligned to its element size. Equal
 * arguments give equal bytes.
 * @throws RangeError on a duplicate key, on the reserved key, when a tensor yields more or fewer bytes than its shape
 *   takes, or would not be aligned in the order to keep
 */
export async function streamSafetensors(
  path: string,
  tensors: readonly StreamedTensor[],
  metadata: Readonly<Record<string, string>> = {},
  options: WriteOptions = {},
): Promise<void> {
  const file = await stageSafetensors(path, tensors, metadata, options);
  try {
    await file.commit();
  } finally {
    await file.discard();
  }
}

/**
 * Same, without the last step: the file is written under a temporary name and gets its final name on `commit`.
 * @throws as {@link streamSafetensors}
 */
export async function stageSafetensors(
  path: string,
  tensors: readonly StreamedTensor[],
  metadata: Readonly<Record<string, string>> = {},
  { checksum = false, keepOrder = false }: WriteOptions = {},
): Promise<OutputFile> {
  const inDataOrder = keepOrder
    ? tensors
    : tensors.toSorted((a, b) => dtypeInfo[b.dtype].bytes - dtypeInfo[a.dtype].bytes);
  const head = headerBytes(path, tensors, inDataOrder, checksum ? withChecksumSlot(metadata) : metadata);
  if (checksum) await fillChecksum(head, contentOf(inDataOrder));
  const file = await createAtomicFile(path);
  try {
    await file.write(head);
    for (const tensor of inDataOrder) {
      let written = 0;
      for await (const piece of tensor.read()) {
        await file.write(piece);
        written += piece.byteLength;
      }
      if (written !== byteLengthOf(tensor)) {
        throw new RangeError(
          `tensor ${tensor.key} gave ${written} bytes, its shape takes ${byteLengthOf(tensor)}`,
        );
      }
    }
    return file;
  } catch (error) {
    await file.discard();
    throw error;
  }
}

async function* contentOf(tensors: readonly StreamedTensor[]): AsyncGenerator<Uint8Array> {
  for (const tensor of tensors) yield* tensor.read();
}

function byteLengthOf({ dtype, shape }: StreamedTensor): number {
  return elementCount(shape) * dtypeInfo[dtype].bytes;
}

function headerBytes(
  path: string,
  given: readonly StreamedTensor[],
  inDataOrder: readonly StreamedTensor[],
  metadata: Readonly<Record<string, string>>,
): Buffer {
  const offsets = new Map<string, readonly [number, number]>();
  let end = 0;
  for (const tensor of inDataOrder) {
    const { key } = tensor;
    if (key === METADATA_KEY) throw new RangeError(`"${METADATA_KEY}" is reserved and names no tensor`);
    if (offsets.has(key)) throw new RangeError(`tensor "${key}" is given twice`);
    if (end % dtypeInfo[tensor.dtype].bytes !== 0) throw new RangeError(`tensor "${key}" is not aligned`);
    offsets.set(key, [end, end + byteLengthOf(tensor)]);
    end += byteLengthOf(tensor);
  }
  const members = given.map(({ key, dtype, shape }) => {
    const entry = { dtype: dtypeInfo[dtype].safetensors, shape, data_offsets: offsets.get(key) };
    return `${JSON.stringify(key)}:${JSON.stringify(entry)}`; // an object would move keys such as "0" to the front
  });
  if (Object.keys(metadata).length > 0) members.unshift(`"${METADATA_KEY}":${JSON.stringify(metadata)}`);
  const json = Buffer.from(`{${members.join(',')}}`, 'utf8');
  const dataStart = Math.ceil((LENGTH_BYTES + json.length) / DATA_ALIGNMENT) * DATA_ALIGNMENT;
  if (dataStart - LENGTH_BYTES > MAX_HEADER_BYTES) {
    throw new RangeError(
      `the header of ${path} would be over ${MAX_HEADER_BYTES} bytes, which is the most that is read`,
    );
  }
  const bytes = Buffer.alloc(dataStart, ' ');
  bytes.writeBigUInt64LE(BigInt(dataStart - LENGTH_BYTES));
  json.copy(bytes, LENGTH_BYTES);
  return bytes;
}
