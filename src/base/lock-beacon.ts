/**
 * @file Tells the processes of other containers on the same machine that a lock's holder lives: a socket beside the
 * lock, at which it listens. The kernel closes it when the process ends, whatever ends it; process ids of another
 * container mean nothing here, and to wait until a lock has grown old would keep a container that was started again
 * from its own run.
 */

import { randomBytes } from 'node:crypto';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { basename, dirname, join } from 'node:path';

/** How a lock names its beacon: `<random>:<device>:<inode>`. */
export interface Beacon {
  readonly text: string;
}

/** The socket of a beacon. */
export function beaconPath(lock: string, { text }: Beacon): string {
  return `${lock}.${/^[0-9a-f]*/.exec(text)![0]}.sock`;
}

/** Listens beside a lock; undefined where the file system has no sockets. */
export async function lightBeacon(
  lock: string,
): Promise<{ readonly beacon: Beacon; readonly putOut: () => Promise<void> } | undefined> {
  const name = randomBytes(4).toString('hex');
  const path = beaconPath(lock, { text: name });
  const folder = await open(dirname(lock), 'r');
  const server = createServer((connection) => connection.destroy());
  server.unref();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      // Anybody may ask: a container may run as another user.
      server.listen({ path: nearPath(folder, path), writableAll: true }, resolve);
    });
    const { dev, ino } = await stat(path, { bigint: true });
    const putOut = async (): Promise<void> => {
      await new Promise((resolve) => server.close(resolve));
      await folder.close();
    };
    return { beacon: { text: `${name}:${dev}:${ino}` }, putOut };
  } catch {
    server.close();
    await folder.close();
    return undefined;
  }
}

/**
 * Whether the holder listens. The kernel's answer counts where both see the same file of the same disk; where a disk is
 * mounted twice, or over a network, its sockets are not connected.
 */
export async function askBeacon(lock: string, beacon: Beacon): Promise<'alive' | 'dead' | 'unknown'> {
  const path = beaconPath(lock, beacon);
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  if (found === undefined || !beacon.text.endsWith(`:${found.dev}:${found.ino}`)) return 'unknown';
  const folder = await open(dirname(lock), 'r');
  try {
    return await new Promise((resolve) => {
      const connection = createConnection({ path: nearPath(folder, path) });
      connection.once('connect', () => {
        connection.destroy();
        resolve('alive');
      });
      connection.once('error', (error: NodeJS.ErrnoException) => {
        resolve(error.code === 'ECONNREFUSED' ? 'dead' : 'unknown');
      });
    });
  } finally {
    await folder.close();
  }
}

/** The path of a socket has room for about a hundred characters. */
function nearPath(folder: FileHandle, path: string): string {
  return join(`/proc/self/fd/${folder.fd}`, basename(path));
}
