/** @file Atomic file writes: write to a temporary name, fsync, rename. */

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
  /** Stops waiting for a reader of a named pipe. */
  readonly signal?: AbortSignal | undefined;
  /** False to skip the sweep, for a folder with many files that was swept before. Default true. */
  readonly sweep?: boolean;
}

const MAX_WRITE_BYTES = 1 << 30;
const PERMISSIONS = 0o7777;

/**
 * Opens a file that is written completely or not at all, and creates parent folders. Symbolic links are followed: the
 * target is replaced, not the link. Anything that is not a regular file is written directly. Removes temporary files
 * that killed processes left for the same target.
 * @throws InputError where `path` is a folder
 */
export async function createAtomicFile(path: string, options: OutputOptions = {}): Promise<OutputFile> {
  return openOutput(await outputTarget(path), options);
}

/** Same for an output named by the user: `-` is standard output. */
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

/** Opens a temporary file with the permissions and owner of the file it will replace. */
async function openAs(temporary: string, { path, present }: FileTarget): Promise<FileHandle> {
  const mode = present === undefined ? 0o666 : present.mode & PERMISSIONS;
  const handle = await open(temporary, 'wx', mode).catch((error: NodeJS.ErrnoException) => {
    error.message = error.message.replaceAll(temporary, path);
    throw error;
  });
  if (present === undefined) return handle;
  const made = await handle.stat();
  // Only root may change the owner. Writing the file matters more than its owner.
  if (made.uid !== present.uid || made.gid !== present.gid) {
    await handle.chown(present.uid, present.gid).catch(() => undefined);
  }
  await handle.chmod(mode).catch(() => undefined);
  return handle;
}

/** A file that grows under a name of its own, and gets its final name when it is complete. */
export interface GrowingFile {
  /** Appends the whole text, on disk when it returns. If that fails, the file is as before. */
  append(text: string): Promise<void>;
  /** Closes the file and renames it to its final name. */
  commit(): Promise<void>;
  /** Closes the file and leaves it for later. Safe after `commit`. */
  close(): Promise<void>;
}

/**
 * Opens a growing file and creates its folder.
 * @param path its name until it is complete
 * @param bytes length of what is kept of an existing file; 0 begins a new one
 */
export async function openGrowingFile(target: FileTarget, path: string, bytes: number): Promise<GrowingFile> {
  await makeOutputFolder(dirname(path));
  if (bytes === 0) await rm(path, { force: true });
  const handle = bytes === 0 ? await openAs(path, target) : await open(path, 'r+');
  await handle.truncate(bytes);
  let [size, isOpen] = [bytes, true];
  const close = async (): Promise<void> => {
    if (!isOpen) return;
    isOpen = false;
    await handle.close();
  };
  return {
    async append(text) {
      const buffer = Buffer.from(text, 'utf8');
      try {
        for (let offset = 0; offset < buffer.length; ) {
          const { bytesWritten } = await handle.write(buffer, offset, buffer.length - offset, size + offset);
          offset += bytesWritten;
        }
        await handle.datasync();
      } catch (error) {
        await handle.truncate(size).catch(() => undefined);
        throw writeError(target.name, error);
      }
      size += buffer.length;
    },
    async commit() {
      await close();
      await putInPlace(path, target);
      await syncFolder(dirname(path));
    },
    close,
  };
}

/** A file that is its own mount point, as in containers, cannot be replaced; overwrite its content instead. */
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

/** Renames a finished file to its final name, replacing any existing file; returns once the rename is on disk. */
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

/** Writes a whole file atomically: readers see either the old content or the new. */
export async function writeFileAtomic(
  path: string,
  content: Uint8Array | string,
  options: OutputOptions = {},
): Promise<void> {
  await writeWhole(await createAtomicFile(path, options), content);
}

/** Same for an output named by the user: `-` is standard output. */
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
 * Copies a file atomically.
 * @throws InputError when the source does not exist
 */
export async function copyFileAtomic(from: string, to: string): Promise<void> {
  if (!(await pathExists(from)))
    throw new InputError(`file ${from} is missing; it cannot be copied to ${to}`);
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

/** Parses a JSON file. @throws InputError naming the file when it is missing, invalid or nested too deeply */
export async function readJson(path: string, what = 'JSON file'): Promise<unknown> {
  const text = await readTextFile(path, what);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    // The parser's message quotes the text, line breaks included.
    throw new InputError(`${what} ${path} is not valid JSON: ${errorMessage(error).replace(/\s+/g, ' ')}`);
  }
  if (isNestedTooDeep(value)) throw new InputError(`${what} ${path} cannot be used: ${TOO_DEEP}`);
  return value;
}

/** Reads a UTF-8 text file. @throws InputError naming the file when it is missing or unreadable */
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

/** True if a file or folder exists at the path. */
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
    // Some file systems refuse fsync on folders; the rename itself is still atomic.
  }
}
