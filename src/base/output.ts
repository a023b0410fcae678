/**
 * @file Resolves the name of an output to a file that is replaced atomically, or to a stream that is written directly
 * (standard output, a device, a pipe, a socket). Follows symbolic links.
 */

import { constants, fstatSync, type Stats, write as writeDescriptor } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, readlink, realpath, stat } from 'node:fs/promises';
import { createConnection, type Socket } from 'node:net';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { errorMessage, InputError, ReaderGoneError } from './errors.js';

/** A file that is written completely or not at all. */
export interface FileTarget {
  readonly kind: 'file';
  /** As given by the user, for messages. */
  readonly name: string;
  /** Absolute, with links resolved: the target is replaced, not the link. */
  readonly path: string;
  /** The existing file, if any. */
  readonly present: Stats | undefined;
}

/** A target that takes bytes as they come. */
export interface StreamTarget {
  readonly kind: 'stream';
  readonly name: string;
  readonly through: Descriptor | { readonly kind: 'device' | 'pipe' | 'socket'; readonly path: string };
}

interface Descriptor {
  readonly kind: 'descriptor';
  readonly descriptor: number;
}

export type OutputTarget = FileTarget | StreamTarget;

const STANDARD_OUTPUT = 1;
/** The limit that Linux uses. */
const MOST_LINKS = 40;

/**
 * Resolves an output named by the user; `-` is standard output.
 * @param option the option it was given with, for messages
 * @throws InputError for a folder, and for anything that cannot be written
 */
export async function userTarget(name: string, option?: string): Promise<OutputTarget> {
  if (name === '-')
    return { kind: 'stream', name, through: { kind: 'descriptor', descriptor: STANDARD_OUTPUT } };
  return outputTarget(name, option === undefined ? '' : ` with ${option}`);
}

/**
 * Resolves an output path.
 * @throws InputError for a folder, and for anything that cannot be written
 */
export async function outputTarget(name: string, how = ''): Promise<OutputTarget> {
  if (name === '') throw new InputError(`the name of an output is empty; name a file${how}`);
  if (/[/\\]$/.test(name)) throw new InputError(`output ${name} is a folder; name a file in it${how}`);
  const end = await endOfLinks(name);
  if (end.kind === 'descriptor') return { kind: 'stream', name, through: end };
  const { path } = end;
  const present = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw refusal(name, error);
  });
  if (present === undefined || present.isFile()) return { kind: 'file', name, path, present };
  if (present.isDirectory()) throw new InputError(`output ${name} is a folder; name a file in it${how}`);
  if (present.isFIFO()) return { kind: 'stream', name, through: { kind: 'pipe', path } };
  if (present.isSocket()) return { kind: 'stream', name, through: { kind: 'socket', path } };
  if (present.isCharacterDevice() || present.isBlockDevice()) {
    return { kind: 'stream', name, through: { kind: 'device', path } };
  }
  throw new InputError(
    `output ${name} cannot be written; it is neither a file nor a stream; name a file${how}`,
  );
}

/**
 * True if two names refer to the same file: through a link of either kind, or by letter case on a case-insensitive
 * disk. False if either does not exist.
 */
export async function isSameFile(one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all(
    [one, other].map((path) => stat(path, { bigint: true }).catch(() => undefined)),
  );
  if (a === undefined || b === undefined) return resolve(one) === resolve(other);
  return a.dev === b.dev && a.ino === b.ino;
}

/**
 * Creates an output folder and its parents. A dangling link creates the folder that it points to.
 * @returns the first folder created; undefined if it already existed
 * @throws InputError if something else is in the way
 */
export async function makeOutputFolder(name: string): Promise<string | undefined> {
  if (name === '-')
    throw new InputError('- is standard output, which is not a folder; name a folder, or ./-');
  const present = await stat(name).catch(() => undefined);
  if (present?.isDirectory()) return undefined;
  if (present !== undefined) throw new InputError(`${name} is not a folder (EEXIST); name a folder`);
  try {
    const end = await endOfLinks(name);
    if (end.kind === 'descriptor') throw new InputError(`${name} is not a folder (EEXIST); name a folder`);
    const around = dirname(end.path);
    const first = around === end.path ? undefined : await makeOutputFolder(around);
    const made = await mkdir(end.path, { recursive: true }); // another process may have created it first
    return first ?? made;
  } catch (error) {
    throw refusal(name, error);
  }
}

/** Turns a system error about an invalid name into an InputError; returns any other error unchanged. */
function refusal(name: string, error: unknown): unknown {
  const why: Readonly<Record<string, string>> = {
    ELOOP: 'its links form a loop',
    ENOTDIR: 'a file is where a folder should be',
    EEXIST: 'a file is where a folder should be',
    ENAMETOOLONG: 'the name is too long',
  };
  const reason = why[(error as NodeJS.ErrnoException).code ?? ''];
  return reason === undefined
    ? error
    : new InputError(`output ${name} cannot be written: ${reason} (${errorMessage(error)})`);
}

/** Where a path leads after all links: another path, which may not exist, or one of this process's open files. */
async function endOfLinks(name: string): Promise<{ kind: 'path'; path: string } | Descriptor> {
  let path = resolve(name);
  for (let links = 0; links <= MOST_LINKS; links++) {
    const folder = await realpath(dirname(path)).catch(() => dirname(path));
    path = join(folder, basename(path));
    const descriptor = await ownDescriptor(path, name);
    if (descriptor !== undefined) return { kind: 'descriptor', descriptor };
    const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
      throw refusal(name, error);
    });
    if (!found?.isSymbolicLink()) return { kind: 'path', path };
    path = resolve(folder, await readlink(path));
  }
  throw new InputError(`output ${name} cannot be written: its links form a loop`);
}

/** The number in /dev/fd/N or /proc/self/fd/N, where /dev/stdout points. @throws InputError when it is not open */
async function ownDescriptor(path: string, name: string): Promise<number | undefined> {
  const [, owner, number] = /^\/(?:proc\/(\d+)(?:\/task\/\d+)?|dev)\/fd\/(\d+)$/.exec(path) ?? [];
  if (number === undefined) return undefined;
  if (owner !== undefined && owner !== (await readlink('/proc/self').catch(() => ''))) return undefined;
  try {
    fstatSync(Number(number));
  } catch {
    throw new InputError(`output ${name} cannot be written: this process has no open file ${number}`);
  }
  return Number(number);
}

/** An open output. A file gets its final name on `commit` and is removed on `discard`. */
export interface OutputFile {
  /** Where the bytes are until `commit`. */
  readonly path: string;
  /** Appends bytes (or UTF-8 text) of any length, in chunks: one Node write takes less than 2 GiB. */
  write(bytes: Uint8Array | string): Promise<void>;
  /** fsync, close, rename over the final path. */
  commit(): Promise<void>;
  /** Closes and deletes the temporary file. Safe after `commit`. */
  discard(): Promise<void>;
}

/** How often to retry a pipe that is full or has no reader yet. */
const POLL_MS = 20;

/**
 * Opens an output that is written directly. Waits for a reader of a named pipe.
 * @throws the reason of `signal` if it is aborted while waiting
 */
export async function openStream({ name, through }: StreamTarget, signal?: AbortSignal): Promise<OutputFile> {
  if (through.kind === 'descriptor')
    return streamOf(name, writerOf(through.descriptor, name), async () => {});
  const { kind, path } = through;
  if (kind === 'socket') {
    const socket = await connect(path);
    return streamOf(name, socketWriter(socket, name), () => endOf(socket));
  }
  const handle = kind === 'pipe' ? await openPipe(path, signal) : await open(path, constants.O_WRONLY);
  return streamOf(name, writerOf(handle.fd, name), () => handle.close());
}

type Writer = (bytes: Uint8Array) => Promise<void>;

function streamOf(name: string, write: Writer, close: () => Promise<void>): OutputFile {
  let isOpen = true;
  const end = async (): Promise<void> => {
    if (!isOpen) return;
    isOpen = false;
    await close();
  };
  return {
    path: name,
    write: (bytes) => write(typeof bytes === 'string' ? Buffer.from(bytes, 'utf8') : bytes),
    commit: end,
    discard: () => end().catch(() => undefined),
  };
}

const MOST_BYTES = 1 << 30;

/** A non-blocking pipe may take only part of the data; the rest is written again later. */
function writerOf(descriptor: number, name: string): Writer {
  const attempt = promisify(writeDescriptor);
  return async (bytes) => {
    for (let offset = 0; offset < bytes.byteLength; ) {
      const chunk = bytes.subarray(offset, Math.min(offset + MOST_BYTES, bytes.byteLength));
      try {
        const { bytesWritten } = await attempt(descriptor, chunk);
        offset += bytesWritten;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw writeError(name, error);
        await sleep(POLL_MS);
      }
    }
  };
}

/** A plain open of a pipe would block a thread, and the exit of the process, until there is a reader. */
async function openPipe(path: string, signal: AbortSignal | undefined): Promise<FileHandle> {
  for (;;) {
    signal?.throwIfAborted();
    try {
      return await open(path, constants.O_WRONLY | constants.O_NONBLOCK);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENXIO') throw error;
      await sleep(POLL_MS);
    }
  }
}

function connect(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path }, () => resolve(socket));
    socket.on('error', reject); // after the first error, and once connected, `write` reports errors
  });
}

function socketWriter(socket: Socket, name: string): Writer {
  return (bytes) =>
    new Promise((resolve, reject) => {
      socket.write(bytes, (error) => (error ? reject(writeError(name, error)) : resolve()));
    });
}

function endOf(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed) resolve();
    else socket.end(() => resolve());
    socket.once('close', () => resolve());
  });
}

/** Node's message for a failed write does not name the file; this one does. */
export function writeError(name: string, error: unknown): Error {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (['EPIPE', 'ECONNRESET', 'ERR_STREAM_DESTROYED'].includes(code)) return new ReaderGoneError(name);
  return new Error(`${errorMessage(error)}, writing ${name}`, { cause: error });
}
