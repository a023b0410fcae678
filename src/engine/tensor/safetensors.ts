/**
 * @file Reads safetensors files: 8 bytes of little-endian header length, a JSON header, then the tensors' bytes.
 *
 * The rules are those of the format's specification and reference reader: the header is at most 100 MB and begins
 * with '{', and the tensors fill the data section without gaps, overlaps or a rest.
 */

import { type FileHandle, open } from 'node:fs/promises';
import { errorMessage, InputError } from '../../base/index.js';
import { createArray, type DType, dtypeInfo, dtypes } from './dtype.js';
import { elementCount, type Tensor, tensor } from './tensor.js';

/** Where one tensor lies in a file. */
export interface SafetensorsEntry {
  dtype: DType;
  shape: number[];
  /** Absolute byte offset in the file. */
  offset: number;
  byteLength: number;
}

/** A validated header. `entries` are in the order of the data. */
export interface SafetensorsHeader {
  path: string;
  entries: Map<string, SafetensorsEntry>;
  metadata: Record<string, string>;
}

const LENGTH_BYTES = 8;
const MAX_HEADER_BYTES = 100_000_000;
const MAX_READ_BYTES = 1 << 30; // Node reads under 2 GiB in one call
const METADATA_KEY = '__metadata__';

const dtypeOfName = new Map(dtypes.map((dtype) => [dtypeInfo[dtype].safetensors, dtype]));

/**
 * Reads and checks the header, without the tensors' bytes.
 * @throws InputError when the file is missing or breaks the format anywhere: one line with the file and the fault.
 */
export async function readSafetensorsHeader(path: string): Promise<SafetensorsHeader> {
  return withFile(path, (file) => readHeader(path, file));
}

/**
 * Reads one tensor.
 * @throws InputError when the key is absent or the file has become shorter than its header says.
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
      `gives its header ${headerBytes} bytes; the limit is ${MAX_HEADER_BYTES}, so this is no safetensors`,
    );
  }
  const dataStart = LENGTH_BYTES + Number(headerBytes);
  if (dataStart > size)
    throw fail(`ends inside its header (${size} bytes of at least ${dataStart}); it is cut short`);
  const bytes = Buffer.alloc(Number(headerBytes));
  await readFully(file, bytes, LENGTH_BYTES, path);
  const json = parseHeaderJson(bytes, fail);

  const located: [string, SafetensorsEntry][] = [];
  let metadata: Record<string, string> = {};
  for (const [key, value] of Object.entries(json)) {
    if (key === METADATA_KEY) metadata = parseMetadata(value, fail);
    else located.push([key, parseEntry(key, value, dataStart, fail)]);
  }
  // At one offset an empty tensor comes before a full one.
  located.sort(([, a], [, b]) => a.offset - b.offset || a.byteLength - b.byteLength);
  let end = dataStart;
  for (const [key, { offset, byteLength }] of located) {
    if (offset !== end) {
      const fault =
        offset > end ? `leaves a gap of ${offset - end} bytes before` : 'overlaps the tensor before';
      throw fail(`${fault} tensor ${quote(key)}`);
    }
    end += byteLength;
  }
  if (end > size) throw fail(`is cut short: ${size} bytes, its header asks for ${end}`);
  if (end < size) throw fail(`has ${size - end} bytes after its last tensor`);
  return { path, entries: new Map(located), metadata };
}

function parseHeaderJson(bytes: Buffer, fail: (why: string) => InputError): object {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (error) {
    throw fail(`has a header that is not JSON text: ${oneLine(errorMessage(error))}`);
  }
  if (bytes[0] !== 0x7b || !isObject(json)) throw fail("has a header that does not begin with '{'");
  return json;
}

function parseMetadata(value: unknown, fail: (why: string) => InputError): Record<string, string> {
  if (!isObject(value) || Object.values(value).some((item) => typeof item !== 'string')) {
    throw fail(`has a ${METADATA_KEY} that is not an object of strings`);
  }
  return value as Record<string, string>;
}

function parseEntry(
  key: string,
  value: unknown,
  dataStart: number,
  fail: (why: string) => InputError,
): SafetensorsEntry {
  const where = `tensor ${quote(key)}`;
  if (!isObject(value)) throw fail(`has no dtype, shape and data_offsets for ${where}`);
  const { dtype: name, shape, data_offsets: offsets } = value as Record<string, unknown>;
  const dtype = typeof name === 'string' ? dtypeOfName.get(name) : undefined;
  if (!dtype) {
    const known = [...dtypeOfName.keys()].join(', ');
    throw fail(`has dtype ${quote(name)} for ${where}; what can be read is ${known}`);
  }
  if (!isNaturals(shape)) throw fail(`has shape ${quote(shape)} for ${where}, not a list of sizes`);
  if (!isNaturals(offsets) || offsets.length !== 2) {
    throw fail(`has data_offsets ${quote(offsets)} for ${where}, not [begin, end]`);
  }
  const [begin, end] = offsets as [number, number];
  if (end < begin) throw fail(`has data_offsets that end before they begin for ${where}: [${begin}, ${end}]`);
  const byteLength = elementCount(shape) * dtypeInfo[dtype].bytes;
  if (end - begin !== byteLength) {
    throw fail(
      `has ${end - begin} bytes for ${where}; ${name} of shape [${shape.join(', ')}] takes ${byteLength}`,
    );
  }
  return { dtype, shape, offset: dataStart + begin, byteLength };
}

async function readTensor(header: SafetensorsHeader, key: string, file: FileHandle): Promise<Tensor> {
  const entry = header.entries.get(key);
  if (!entry) throw new InputError(`safetensors file ${header.path} has no tensor ${quote(key)}`);
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
      `tensor ${quote(key)} of ${path} does not fit in memory (${byteLength} bytes): ${why}`,
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

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isNaturals(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

/** A value from the file for a message: JSON, at most 80 characters, on one line. */
function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').slice(0, 160);
}
