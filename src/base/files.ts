/** @file Files that are either whole or absent: write to a temporary name, fsync, rename. */

import { createReadStream } from 'node:fs';
import { type FileHandle, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errorMessage, InputError } from './errors.js';
import { isNestedTooDeep, TOO_DEEP } from './nesting.js';
import {
  type FileTarget,
  makeOutputFolder,
  type OutputFile,
  type OutputTarget,
  openStream,
  outputTarget,
  userTarget,
  writeError,
} from './output.js';
import { deleteAtExit, sweepTemporaries, temporaryName } from './temporary-files.js';

export interface OutputOptions {
  /** Ends the waiting for somebody to read a named pipe. */
  readonly signal?: AbortSignal | undefined;
  /** False where the folder holds many files and was swept before. Default true. */
  readonly sweep?: boolean;
}

const MAX_WRITE_BYTES = 1 << 30;
const PERMISSIONS = 0o7777;

/**
 * Opens a file that is written whole or not at all (parent folders are made). Where links lead is replaced, not the
 * link; what is no plain file is written through. What killed processes have left of the same file is taken away.
 * @throws InputError where `path` is a folder
 */
export async function createAtomicFile(path: string, options: OutputOptions = {}): Promise<OutputFile> {
  return openOutput(await outputTarget(path), options);
}

/** The same for an output that the user has named: `-` is standard output. */
export async function createOutput(name: string, options: OutputOptions = {}): Promise<OutputFile> {
  return openOutput(await userTarget(name), options);
}

async function openOutput(
  target: OutputTarget,
  { signal, sweep = true }: OutputOptions,
): Promise<OutputFile> {
  if (target.kind === 'stream') return openStream(target, signal);
  const { path, name } = target;
  await makeOutputFolder(dirname(path));
  if (sweep) await sweepTemporaries(path);
  const temporary = temporaryName(path);
  const handle = await openAs(temporary, target);
  const exit = deleteAtExit(temporary);
  let closed = false;
  const close = async (): Promise<void> => {
    if (closed) return;
    closed = true;
    await handle.close();
  };
  return {
    path: temporary,
    async write(bytes) {
      const buffer = typeof bytes === 'string' ? Buffer.from(bytes, 'utf8') : bytes;
      let offset = 0;
      while (offset < buffer.byteLength) {
        const chunk = buffer.subarray(offset, Math.min(offset + MAX_WRITE_BYTES, buffer.byteLength));
        const { bytesWritten } = await naming(handle.write(chunk), name);
        offset += bytesWritten;
      }
    },
    async commit() {
      await naming(handle.sync(), name);
      await close();
      await putInPlace(temporary, target);
      exit.forget();
      await syncFolder(dirname(path));
    },
    async discard() {
      await close();
      await rm(temporary, { force: true });
      exit.forget();
    },
  };
}

/** Opens a temporary file with the permissions and the owner of the file that it is to replace. */
async function openAs(temporary: string, { path, present }: FileTarget): Promise<FileHandle> {
  const mode = present === undefined ? 0o666 : present.mode & PERMISSIONS;
  const handle = await open(temporary, 'wx', mode).catch((error: NodeJS.ErrnoException) => {
    error.message = error.message.replaceAll(temporary, path);
    throw error;
  });
  if (present === undefined) return handle;
  const made = await handle.stat();
  // Only root may give a file away; whose it is matters less than that it is written.
  if (made.uid !== present.uid || made.gid !== present.gid) {
    await handle.chown(present.uid, present.gid).catch(() => undefined);
  }
  await handle.chmod(mode).catch(() => undefined);
  return handle;
}

/** A file that is mounted by itself, as containers do, cannot be replaced: its content is. */
async function putInPlace(temporary: string, { path, name }: FileTarget): Promise<void> {
  try {
    await rename(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
    const handle = await open(path, 'r+');
    try {
      let bytes = 0;
      for await (const chunk of createReadStream(temporary, { highWaterMark: 1 << 20 })) {
        await naming(handle.write(chunk as Buffer, 0, (chunk as Buffer).length, bytes), name);
        bytes += (chunk as Buffer).length;
      }
      await handle.truncate(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rm(temporary, { force: true });
  }
}

/** Gives a whole file its final name, over what has it; returns when that is on the disk. */
export async function moveIntoPlace(temporary: string, path: string): Promise<void> {
  await rename(temporary, path);
  await syncFolder(dirname(path));
}

async function naming<T>(work: Promise<T>, name: string): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw writeError(name, error);
  }
}

/** Writes a whole file atomically: readers see the old content or the new, never a part. */
export async function writeFileAtomic(
  path: string,
  content: Uint8Array | string,
  options: OutputOptions = {},
): Promise<void> {
  await writeWhole(await createAtomicFile(path, options), content);
}

/** The same for an output that the user has named: `-` is standard output. */
export async function writeOutput(
  name: string,
  content: Uint8Array | string,
  options: OutputOptions = {},
): Promise<void> {
  await writeWhole(await createOutput(name, options), content);
}

async function writeWhole(file: OutputFile, content: Uint8Array | string): Promise<void> {
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

/** Parses a JSON file. @throws InputError when it is missing, not JSON or nested without end, naming the file. */
export async function readJson(path: string, what = 'JSON file'): Promise<unknown> {
  const text = await readTextFile(path, what);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    // The message cites the text, line breaks and all.
    throw new InputError(`${what} ${path} is not valid JSON: ${errorMessage(error).replace(/\s+/g, ' ')}`);
  }
  if (isNestedTooDeep(value))
    throw new InputError(`${what} ${path} is not one that can be used: ${TOO_DEEP}`);
  return value;
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

async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, 'r');
    await handle.sync().finally(() => handle.close());
  } catch {
    // Some filesystems refuse fsync on folders; the rename itself is still atomic.
  }
}
