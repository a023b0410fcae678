/** @file Outputs that are written through: what is written is gone, there is no taking back. */

import { constants, write as writeDescriptor } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { createConnection, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { errorMessage, ReaderGoneError } from './errors.js';
import type { StreamTarget } from './output-target.js';

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
  if ('descriptor' in through) return streamOf(name, writerOf(through.descriptor, name), async () => {});
  if ('socket' in through) {
    const socket = await connect(through.socket);
    return streamOf(name, socketWriter(socket, name), () => endOf(socket));
  }
  const handle =
    'pipe' in through ? await openPipe(through.pipe, signal) : await open(through.device, constants.O_WRONLY);
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
