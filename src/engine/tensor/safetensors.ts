/** @file Reads safetensors files: 8 bytes of little-endian header length, a JSON header, then the tensors' bytes. */

import { type FileHandle, open } from 'node:fs/promises';
import { errorMessage, InputError, quoted } from '../../base/index.js';
import { createArray } from './dtype.js';
import { LENGTH_BYTES, MAX_HEADER_BYTES, parseHeader, type SafetensorsEntry } from './safetensors-header.js';
import { elementCount, type Tensor, tensor } from './tensor.js';

/** A validated header. `entries` are in the order of the data. */
export interface SafetensorsHeader {
  path: string;
  entries: Map<string, SafetensorsEntry>;
  metadata: Record<string, string>;
}

const MAX_READ_BYTES = 1 << 30; // Node reads less than 2 GiB per call

/**
 * Reads and validates the header, without the tensors' bytes.
 * @throws InputError when the file is missing or invalid: one line with the file and the problem
 */
export async function readSafetensorsHeader(path: string): Promise<SafetensorsHeader> {
  return withFile(path, (file) => readHeader(path, file));
}

/**
 * Reads one tensor.
 * @throws InputError when the key is absent or the file has become shorter than its header says
 */
export async function readSafetensorsTensor(header: SafetensorsHeader, key: string): Promise<Tensor> {
  return withFile(header.path, (file) => readTensor(header, key, file));
}

/** Reads a whole file into memory. @throws InputError as `readSafetensorsHeader`. */
export async function readSafetensors(
  path: string,
): Promise<{ metadata: Record<string, string>; tensors: Map<string, Tensor> }> {
  return withFile(path, async (file) => {
    const header = await readHeader(path, file);
    const tensors = new Map<string, Tensor>();
    for (const key of header.entries.keys()) tensors.set(key, await readTensor(header, key, file));
    return { metadata: header.metadata, tensors };
  });
}

async function readHeader(path: string, file: FileHandle): Promise<SafetensorsHeader> {
  const fail = (why: string): InputError => new InputError(`safetensors file ${path} ${why}`);
  const { size } = await file.stat();
  if (size < LENGTH_BYTES) throw fail(`is only ${size} bytes long; a header needs at least ${LENGTH_BYTES}`);
  const prefix = Buffer.alloc(LENGTH_BYTES);
  await readFully(file, prefix, 0, path);
  if (prefix.toString('latin1') === 'version ') {
    throw fail('is a Git LFS pointer, not the weights; fetch them with "git lfs pull"');
  }
  const headerBytes = prefix.readBigUInt64LE();
  if (headerBytes > BigInt(MAX_HEADER_BYTES)) {
    throw fail(
      `gives its header ${headerBytes} bytes; the limit is ${MAX_HEADER_BYTES}: no safetensors file, or not a model's`,
    );
  }
  const dataStart = LENGTH_BYTES + Number(headerBytes);
  if (dataStart > size)
    throw fail(`ends inside its header (${size} bytes of at least ${dataStart}); it is cut short`);
  const bytes = Buffer.alloc(Number(headerBytes));
  await readFully(file, bytes, LENGTH_BYTES, path);
  const { entries, metadata, end } = parseHeader(bytes, dataStart, fail);
  if (end > size) throw fail(`is cut short: ${size} bytes, its header asks for ${end}`);
  if (end < size) throw fail(`has ${size - end} bytes after its last tensor`);
  return { path, entries, metadata };
}

async function readTensor(header: SafetensorsHeader, key: string, file: FileHandle): Promise<Tensor> {
  const entry = header.entries.get(key);
  if (!entry) throw new InputError(`safetensors file ${header.path} has no tensor ${quoted(key)}`);
  const data = allocate(header.path, key, entry);
  await readFully(file, new Uint8Array(data.buffer), entry.offset, header.path);
  return tensor(entry.dtype, entry.shape, data);
}

function allocate(path: string, key: string, { dtype, shape, byteLength }: SafetensorsEntry): Tensor['data'] {
  try {
    return createArray(dtype, elementCount(shape));
  } catch (error) {
    const why = errorMessage(error);
    throw new InputError(
      `tensor ${quoted(key)} of ${path} does not fit in memory (${byteLength} bytes): ${why}`,
    );
  }
}

/** Fills `bytes` from `position` of the file, in chunks. */
async function readFully(file: FileHandle, bytes: Uint8Array, position: number, path: string): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const length = Math.min(MAX_READ_BYTES, bytes.length - done);
    const { bytesRead } = await file.read(bytes, done, length, position + done);
    if (bytesRead === 0)
      throw new InputError(`safetensors file ${path} is cut short at byte ${position + done}`);
    done += bytesRead;
  }
}

async function withFile<T>(path: string, use: (file: FileHandle) => Promise<T>): Promise<T> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new InputError(`safetensors file ${path} ${missing ? 'does not exist' : errorMessage(error)}`);
  }
  try {
    if (!(await file.stat()).isFile()) throw new InputError(`safetensors file ${path} is not a file`);
    return await use(file);
  } finally {
    await file.close();
  }
}
