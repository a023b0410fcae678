/**
 * @file Reads a PyTorch checkpoint (`pytorch_model.bin`): the location of each tensor of its state dict in the file.
 * Executes nothing and reads no weights.
 */

import { EventEmitter } from 'node:events';
import { type FileHandle, open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { type Entry, fromRandomAccessReaderPromise, type RandomAccessReader, type ZipFile } from 'yauzl';
import { errorMessage, InputError } from '../base/index.js';
import { isList, MAX_PICKLE_BYTES, type PickleValue, quote, unpickle } from './pickle.js';
import { readTorchState, storageBytes, type TorchState, type WeightLocation } from './torch-state.js';

const TAR_MAGIC_OFFSET = 257;
const SNIFF_BYTES = 512;

/**
 * The locations of a file's tensors by key, in state dict order. Several keys may share bytes.
 * @throws InputError: one line with the file and the problem; names any global that a state dict does not need
 */
export async function readTorchFile(path: string): Promise<Map<string, WeightLocation>> {
  return withTorchSource(path, async (source) => {
    const { state, offsets } = await readContainer(source);
    const locations = new Map<string, WeightLocation>();
    for (const [key, { storage, offset, ...location }] of state.tensors) {
      locations.set(key, { ...location, offset: offsets.get(storage.key)! + offset });
    }
    return locations;
  });
}

async function readContainer(source: TorchSource): ReturnType<typeof readTorchArchive> {
  const { size, fail } = source;
  const head = (await source.read(0, Math.min(size, SNIFF_BYTES))).toString('latin1');
  if (head.startsWith('PK\x03\x04')) return readTorchArchive(source);
  if (head.startsWith('\x80')) return readTorchLegacy(source);
  if (head.startsWith('version https://git-lfs')) {
    throw fail('is a Git LFS pointer, not the weights; fetch them with "git lfs pull"');
  }
  if (head.startsWith('ustar', TAR_MAGIC_OFFSET)) {
    throw fail('is a tar, as PyTorch wrote before 0.2; load it with PyTorch and save it again');
  }
  throw fail(size === 0 ? 'is empty' : 'is not a PyTorch file: neither a zip nor a pickle');
}

/** A file with random access, and a function that makes errors naming it. */
export interface TorchSource {
  /** Bytes of the file. */
  readonly size: number;
  /** Reads exactly `length` bytes. @throws InputError if the file ends before that */
  read(position: number, length: number): Promise<Buffer>;
  /** Makes an error: the file, then `why`. */
  fail(why: string): InputError;
}

const READ_AHEAD_BYTES = 4096;

/** Opens a file while `use` runs. @throws InputError when it is missing or not a file */
export async function withTorchSource<T>(path: string, use: (source: TorchSource) => Promise<T>): Promise<T> {
  const fail = (why: string): InputError => new InputError(`PyTorch file ${path} ${why}`);
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw fail(missing ? 'does not exist' : `cannot be opened: ${errorMessage(error)}`);
  }
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw fail('is not a file');
    return await use(bufferedSource(file, stats.size, fail));
  } finally {
    await file.close();
  }
}

/** Headers are small and adjacent, so each read also fetches what follows. */
function bufferedSource(file: FileHandle, size: number, fail: TorchSource['fail']): TorchSource {
  let known = { start: 0, bytes: Buffer.alloc(0) };
  return {
    size,
    fail,
    async read(position, length) {
      const end = position + length;
      if (end > size) throw fail(`is cut short at byte ${size}`);
      let { start, bytes } = known;
      if (position < start || end > start + bytes.length) {
        start = position;
        bytes = Buffer.alloc(Math.min(Math.max(length, READ_AHEAD_BYTES), size - position));
        const { bytesRead } = await file.read(bytes, 0, bytes.length, position);
        if (bytesRead < bytes.length) throw fail(`is cut short at byte ${position + bytesRead}`);
        known = { start, bytes };
      }
      return bytes.subarray(position - start, end - start);
    },
  };
}

const MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL_VERSION = 1001;
const COUNT_BYTES = 8; // int64

/**
 * Reads the pickles, and the element count before each storage.
 * @returns the state, and the byte offset of each storage in the file
 * @throws InputError when a pickle is invalid, or a storage's size differs from the pickle's
 */
export async function readTorchLegacy(
  source: TorchSource,
): Promise<{ state: TorchState; offsets: Map<string, number> }> {
  const { fail, size } = source;
  const head = await source.read(0, Math.min(size, MAX_PICKLE_BYTES));
  const magic = readPlain(head, 0, fail);
  if (magic.value !== MAGIC)
    throw fail("does not begin with PyTorch's magic number; it is not a PyTorch file");
  const version = readPlain(head, magic.end, fail);
  if (version.value !== PROTOCOL_VERSION) throw fail(`is not of protocol ${PROTOCOL_VERSION}`);
  const machine = readPlain(head, version.end, fail);
  if (!(machine.value instanceof Map) || machine.value.get('little_endian') !== true) {
    throw fail('has weights that are not little-endian; only little-endian ones can be read');
  }
  const state = readTorchState(head, machine.end, fail);
  const keys = readPlain(head, state.end, fail);
  if (!isList(keys.value)) throw fail('has no list of its storages');

  const offsets = new Map<string, number>();
  let position = keys.end;
  for (const key of keys.value.items) {
    const storage = typeof key === 'string' ? state.storages.get(key) : undefined;
    if (!storage || offsets.has(storage.key)) {
      throw fail(`lists a storage ${quote(String(key))} that its pickle does not have, or twice`);
    }
    const count = (await source.read(position, COUNT_BYTES)).readBigInt64LE();
    if (count !== BigInt(storage.elementCount)) {
      throw fail(
        `has ${count} elements of storage ${quote(storage.key)}, its pickle says ${storage.elementCount}`,
      );
    }
    offsets.set(storage.key, position + COUNT_BYTES);
    position += COUNT_BYTES + storageBytes(storage, fail);
  }
  if (position > size) throw fail(`is cut short: ${size} bytes, its storages take ${position}`);
  for (const key of state.storages.keys()) {
    if (!offsets.has(key)) throw fail(`has no storage ${quote(key)}, though its pickle asks for it`);
  }
  return { state, offsets };
}

/** A pickle of plain data. */
function readPlain(
  bytes: Buffer,
  start: number,
  fail: (why: string) => InputError,
): { value: PickleValue; end: number } {
  return unpickle(bytes, start, {
    fail,
    find: () => undefined,
    load: () => {
      throw fail('refers to something outside its pickle that is not a storage');
    },
  });
}

/** A storage takes about 80 bytes of it. */
const MAX_DIRECTORY_BYTES = 4 << 20;
const ENTRY_BYTES = 46;
const STORED = 0;
const ENCRYPTED = 1;
const MAX_BYTEORDER_BYTES = 16;

/**
 * Reads the directory and the pickle. Checksums of storages are not verified, since that would read every weight.
 * @returns the state, and the byte offset of each storage that a tensor uses
 * @throws InputError when the archive, its pickle or the size of a storage is invalid
 */
export async function readTorchArchive(
  source: TorchSource,
): Promise<{ state: TorchState; offsets: Map<string, number> }> {
  const { fail } = source;
  const zip = await inZip(source, () => fromRandomAccessReaderPromise(readerOf(source), source.size));
  const entries = await readEntries(source, zip);
  const pickles = [...entries.keys()].filter((name) => /^[^/]*\/data\.pkl$/.test(name));
  const [pickleName] = pickles;
  if (pickleName === undefined || pickles.length > 1) {
    throw fail(`is a zip with ${pickles.length} data.pkl where a PyTorch file has one`);
  }
  const folder = pickleName.slice(0, -'data.pkl'.length);
  const content = async (entry: Entry, limit: number): Promise<Buffer> => {
    if (entry.uncompressedSize > limit) {
      throw fail(`has ${entry.uncompressedSize} bytes of ${quote(entry.fileName)}; the limit is ${limit}`);
    }
    const bytes = await source.read(await dataStart(source, zip, entry), entry.uncompressedSize);
    if (crc32(bytes) !== entry.crc32) throw fail(`is damaged: ${quote(entry.fileName)} fails its checksum`);
    return bytes;
  };

  const byteOrder = entries.get(`${folder}byteorder`);
  const order = byteOrder ? (await content(byteOrder, MAX_BYTEORDER_BYTES)).toString('latin1') : 'little';
  if (order !== 'little') {
    throw fail(`has weights in ${quote(order)} byte order; only little-endian ones can be read`);
  }
  const state = readTorchState(await content(entries.get(pickleName)!, MAX_PICKLE_BYTES), 0, fail);
  const offsets = new Map<string, number>();
  for (const { storage } of state.tensors.values()) {
    if (offsets.has(storage.key)) continue;
    const entry = entries.get(`${folder}data/${storage.key}`);
    if (!entry) throw fail(`has no storage ${quote(storage.key)}, though its pickle asks for it`);
    const expected = storageBytes(storage, fail);
    if (entry.uncompressedSize !== expected) {
      throw fail(
        `has ${entry.uncompressedSize} bytes of ${quote(entry.fileName)}, its pickle says ${expected}`,
      );
    }
    offsets.set(storage.key, await dataStart(source, zip, entry));
  }
  return { state, offsets };
}

/** The entries by name. */
async function readEntries(source: TorchSource, zip: ZipFile): Promise<Map<string, Entry>> {
  const entries = new Map<string, Entry>();
  let directoryBytes = 0;
  await inZip(source, async () => {
    for await (const entry of zip.eachEntry()) {
      const { fileName, fileNameLength, extraFieldLength, fileCommentLength } = entry;
      directoryBytes += ENTRY_BYTES + fileNameLength + extraFieldLength + fileCommentLength;
      if (directoryBytes > MAX_DIRECTORY_BYTES) {
        throw source.fail(`has a zip directory of over ${MAX_DIRECTORY_BYTES} bytes`);
      }
      if (entries.has(fileName)) throw source.fail(`has two entries ${quote(fileName)}`);
      entries.set(fileName, entry);
    }
  });
  return entries;
}

/** Where the bytes of a stored entry begin. The entry's local header must agree with the directory. */
async function dataStart(source: TorchSource, zip: ZipFile, entry: Entry): Promise<number> {
  const name = quote(entry.fileName);
  if (entry.compressionMethod !== STORED || (entry.generalPurposeBitFlag & ENCRYPTED) !== 0) {
    throw source.fail(`keeps ${name} compressed or encrypted; PyTorch stores it as it is`);
  }
  const header = await inZip(source, () => zip.readLocalFileHeaderPromise(entry));
  if (header.compressionMethod !== STORED || !header.fileName.equals(entry.fileNameRaw)) {
    throw source.fail(`is damaged: ${name} has another header than the zip directory says`);
  }
  return header.fileDataStart;
}

/** Runs a step of the zip library, whose errors mean that the archive is broken. */
async function inZip<T>({ fail }: TorchSource, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw fail(`is a broken zip: ${errorMessage(error).replace(/\s+/g, ' ').slice(0, 160)}`);
  }
}

/**
 * Data source for the zip library. The library's own file reader throws an uncatchable error for an invalid offset in
 * the file; this one reports an error, and leaves closing the file to the caller.
 */
function readerOf({ size, read }: TorchSource): RandomAccessReader {
  const reader = {
    ref() {},
    unref() {},
    read(
      buffer: Buffer,
      offset: number,
      length: number,
      position: number,
      done: (error: Error | null, bytesRead?: number) => void,
    ) {
      if (position + length > size) done(new Error('it refers to bytes past the end of the file'));
      else {
        read(position, length).then(
          (bytes) => done(null, bytes.copy(buffer, offset)),
          (error: Error) => done(error),
        );
      }
    },
  };
  return Object.assign(new EventEmitter(), reader) as unknown as RandomAccessReader;
}
