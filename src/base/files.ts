/** @file Files that are either whole or absent: write to a temporary name, fsync, rename. */

import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errorMessage, InputError } from './errors.js';

/** An open temporary file that takes its final name on `commit` and vanishes on `discard`. */
export interface AtomicFile {
  /** Appends bytes (or UTF-8 text). Any length; chunked, because one Node write takes under 2 GiB. */
  write(bytes: Uint8Array | string): Promise<void>;
  /** fsync, close, rename over the final path. */
  commit(): Promise<void>;
  /** Close and delete the temporary file. Safe after `commit`. */
  discard(): Promise<void>;
}

const MAX_WRITE_BYTES = 1 << 30;

/** Opens a temporary file beside `path` (parent folders are made). */
export async function createAtomicFile(path: string): Promise<AtomicFile> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`;
  const handle = await open(temporary, 'w');
  let closed = false;
  const close = async (): Promise<void> => {
    if (closed) return;
    closed = true;
    await handle.close();
  };
  // Node's own message of a failed write says what, not where.
  const naming = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      throw new Error(`${errorMessage(error)}, writing ${path}`, { cause: error });
    }
  };
  return {
    async write(bytes) {
      const buffer = typeof bytes === 'string' ? Buffer.from(bytes, 'utf8') : bytes;
      let offset = 0;
      while (offset < buffer.byteLength) {
        const chunk = buffer.subarray(offset, Math.min(offset + MAX_WRITE_BYTES, buffer.byteLength));
        const { bytesWritten } = await naming(handle.write(chunk));
        offset += bytesWritten;
      }
    },
    async commit() {
      await naming(handle.sync());
      await close();
      await rename(temporary, path);
      await syncFolder(dirname(path));
    },
    async discard() {
      await close();
      await rm(temporary, { force: true });
    },
  };
}

/** Writes a whole file atomically: readers see the old content or the new, never a part. */
export async function writeFileAtomic(path: string, content: Uint8Array | string): Promise<void> {
  const file = await createAtomicFile(path);
  try {
    await file.write(content);
    await file.commit();
  } finally {
    await file.discard();
  }
}

/**
 * Copies a file, whole or not at all.
 * @throws InputError when there is none to copy
 */
export async function copyFileAtomic(from: string, to: string): Promise<void> {
  if (!(await pathExists(from)))
    throw new InputError(`file ${from} is missing; it was there to be copied to ${to}`);
  const file = await createAtomicFile(to);
  try {
    for await (const chunk of createReadStream(from, { highWaterMark: 1 << 20 }))
      await file.write(chunk as Buffer);
    await file.commit();
  } finally {
    await file.discard();
  }
}

/** JSON with two-space indentation and a final newline, written atomically. */
export async function writeJsonAtomic(path: string, value: unknown): Promise<void> {
  await writeFileAtomic(path, `${JSON.stringify(value, null, 2)}\n`);
}

/** Parses a JSON file. @throws InputError when it is missing or not JSON, naming the file. */
export async function readJson(path: string, what = 'JSON file'): Promise<unknown> {
  const text = await readTextFile(path, what);
  try {
    return JSON.parse(text);
  } catch (error) {
    // The message cites the text, line breaks and all.
    throw new InputError(`${what} ${path} is not valid JSON: ${errorMessage(error).replace(/\s+/g, ' ')}`);
  }
}

/** Reads a UTF-8 text file. @throws InputError when it is missing or unreadable, naming the file. */
export async function readTextFile(path: string, what = 'file'): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const why =
      code === 'ENOENT'
        ? 'does not exist'
        : code === 'EISDIR'
          ? 'is a folder, not a file'
          : errorMessage(error);
    throw new InputError(`${what} ${path} ${why}`);
  }
}

/** True where a path exists (file or folder). */
export async function pathExists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch {
    return false;
  }
}

/** SHA-256 of a file's content in hexadecimal, read as a stream. */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** SHA-256 of bytes or text in hexadecimal. */
export function sha256Of(content: Uint8Array | string): string {
  return createHash('sha256').update(content).digest('hex');
}

async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, 'r');
    await handle.sync().finally(() => handle.close());
  } catch {
    // Some filesystems refuse fsync on folders; the rename itself is still atomic.
  }
}
