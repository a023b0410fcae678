/** @file The open file that the readers of PyTorch's formats share. */

import { type FileHandle, open } from 'node:fs/promises';
import { errorMessage, InputError } from '../../base/index.js';

/** A file of random access, with the error that names it. */
export interface TorchSource {
  /** Bytes of the file. */
  readonly size: number;
  /** Reads exactly `length` bytes. @throws InputError where the file ends before. */
  read(position: number, length: number): Promise<Buffer>;
  /** Makes the error: the file, then `why`. */
  fail(why: string): InputError;
}

const READ_AHEAD_BYTES = 4096;

/** Opens a file for the time of `use`. @throws InputError when it is missing or no file. */
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
    const facts = await file.stat();
    if (!facts.isFile()) throw fail('is not a file');
    return await use(bufferedSource(file, facts.size, fail));
  } finally {
    await file.close();
  }
}

/** Headers are small and lie side by side: each reading of the file takes what follows with it. */
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
