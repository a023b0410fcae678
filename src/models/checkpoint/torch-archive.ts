/**
 * @file PyTorch's zip format (since 1.6): `<name>/data.pkl` is the pickle, `<name>/data/<key>` is one storage each,
 * stored as it is, so that a tensor is a range of bytes of the file.
 */

import { EventEmitter } from 'node:events';
import { crc32 } from 'node:zlib';
import { type Entry, fromRandomAccessReaderPromise, type RandomAccessReader, type ZipFile } from 'yauzl';
import { errorMessage, InputError } from '../../base/index.js';
import { MAX_PICKLE_BYTES } from './pickle.js';
import { quote } from './pickle-values.js';
import type { TorchSource } from './torch-source.js';
import { readTorchState, storageBytes, type TorchState } from './torch-state.js';

/** A storage takes about 80 of it. */
const MAX_DIRECTORY_BYTES = 4 << 20;
const ENTRY_BYTES = 46;
const STORED = 0;
const ENCRYPTED = 1;
const MAX_BYTEORDER_BYTES = 16;

/**
 * Reads the directory and the pickle. The checksums of storages are not checked, since that would read every weight.
 * @returns the state, and the byte offset in the file of each storage that a tensor is in
 * @throws InputError when the archive, its pickle or the size of a storage is not right
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

/** Where the bytes of a stored entry begin. The entry's own header must agree with the directory's. */
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

/** Runs a step of the zip library, whose errors say that the archive is broken. */
async function inZip<T>({ fail }: TorchSource, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw fail(`is a broken zip: ${errorMessage(error).replace(/\s+/g, ' ').slice(0, 160)}`);
  }
}

/**
 * What the zip library reads from. Its own file reader throws past every handler where an offset in the file is no
 * file position; this one answers with an error, and the file stays the caller's to close.
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
      if (position + length > size) done(new Error('it refers to bytes behind the end of the file'));
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
