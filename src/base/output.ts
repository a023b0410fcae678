/**
 * @file What the name of an output stands for: a file to be replaced as a whole, or something that is written through:
 * standard output, a device, a pipe, a socket. Links are followed.
 */

import { constants, fstatSync, type Stats, write as writeDescriptor } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, readlink, realpath, stat } from 'node:fs/promises';
import { createConnection, type Socket } from 'node:net';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { errorMessage, InputError, ReaderGoneError } from './errors.js';

/** A file that is written whole or not at all. */
export interface FileTarget {
  readonly kind: 'file';
  /** As it was given, for messages. */
  readonly name: string;
  /** Absolute, with its links followed: where a link leads is replaced, not the link. */
  readonly path: string;
  /** The file that is there already. */
  readonly present: Stats | undefined;
}

/** Something that takes bytes as they come. */
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
/** As many links as Linux follows. */
const MOST_LINKS = 40;

/**
 * What a user's name of an output stands for; `-` is standard output.
 * @param option that it was given with, for messages
 * @throws InputError for a folder, and for what can be no output
 */
export async function userTarget(name: string, option?: string): Promise<OutputTarget> {
  if (name === '-')
    return { kind: 'stream', name, through: { kind: 'descriptor', descriptor: STANDARD_OUTPUT } };
  return outputTarget(name, option === undefined ? '' : ` with ${option}`);
}

/**
 * What a path stands for.
 * @throws InputError for a folder, and for what can be no output
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
  throw new InputError(`output ${name} is no file and nothing that can be written; name a file${how}`);
}

/**
 * Whether two names are one file: by a link of either kind, or by capitals where the disk does not tell them apart.
 * False where one of them is not there.
 */
export async function isSameFile(one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all(
    [one, other].map((path) => stat(path, { bigint: true }).catch(() => undefined)),
  );
  if (a === undefined || b === undefined) return resolve(one) === resolve(other);
  return a.dev === b.dev && a.ino === b.ino;
}

/**
 * Makes a folder for output, and those around it. A link that leads nowhere yet leads to the new folder.
 * @returns the first folder that was made; undefined where it was there
 * @throws InputError where something else is in the way
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
    const made = await mkdir(end.path, { recursive: true }); // somebody else may have been quicker
    return first ?? made;
  } catch (error) {
    throw refusal(name, error);
  }
}

/** An error of the system that says that a name cannot be, as one for the user; any other as it is. */
function refusal(name: string, error: unknown): unknown {
  const why: Readonly<Record<string, string>> = {
    ELOOP: 'its links lead in a circle',
    ENOTDIR: 'a file is where a folder should be',
    EEXIST: 'a file is where a folder should be',
    ENAMETOOLONG: 'the name is too long',
  };
  const reason = why[(error as NodeJS.ErrnoException).code ?? ''];
  return reason === undefined
    ? error
    : new InputError(`output ${name} cannot be written: ${reason} (${errorMessage(error)})`);
}

/** Where a path leads in the end: another path, which may be absent, or one of this process's open files. */
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
  throw new InputError(`output ${name} cannot be written: its links lead in a circle`);
}

/** The number in /dev/fd/N and /proc/self/fd/N, to which /dev/stdout leads. @throws InputError when it is not open */
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

/** An open output. A file takes its final name on `commit` and vanishes on `discard`. */
export interface OutputFile {
  /** Where the bytes are until `commit`. */
  readonly path: string;
  /** Appends bytes (or UTF-8 text). Any length; chunked, because one Node write takes under 2 GiB. */
  write(bytes: Uint8Array | string): Promise<void>;
  /** fsync, close, rename over the final path. */
  commit(): Promise<void>;
  /** Close and delete the temporary file. Safe after `commit`. */
  discard(): Promise<void>;
}

/** A full pipe, and a pipe that nobody reads yet, are looked at again after so long. */
const POLL_MS = 20;

/**
 * Opens an output that is written through. A named pipe is waited for until somebody reads it.
 * @throws the reason of `signal` when it is aborted while waiting
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

/** A pipe may be one that does not wait: then what it does not take now is offered again. */
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

/** Opening a pipe the plain way would hold a thread, and the end of the process, until there is a reader. */
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
    socket.on('error', reject); // after the first one, and once connected, `write` tells
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

/** Node's own message of a failed write says what, not where. */
export function writeError(name: string, error: unknown): Error {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (['EPIPE', 'ECONNRESET', 'ERR_STREAM_DESTROYED'].includes(code)) return new ReaderGoneError(name);
  return new Error(`${errorMessage(error)}, writing ${name}`, { cause: error });
}
