/** @file Lock files: one process at a time works in a folder, and what a killed process has left is taken over. */

import { randomBytes } from 'node:crypto';
import { type FileHandle, open, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { uptime } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeFileAtomic } from './files.js';
import { makeOutputFolder } from './output.js';
import { isInContainer, livenessOf, ownIdentity, type ProcessIdentity } from './process-identity.js';

/** The process that has a lock. */
export interface LockHolder {
  readonly pid: number;
  readonly host: string;
}

/** A holder touches its lock this often, so that other machines on a shared disk see that it lives. */
const TOUCH_MS = 30_000;
/** A lock of another machine that nobody has touched for this long is dead; far above the skew of clocks. */
const DEAD_MS = 10 * 60_000;
/** Writing a lock, or taking one over, takes milliseconds: what is older than this was left by a killed process. */
const STEP_MS = 10_000;
const POLL_MS = 10;

/**
 * Claims the file `path` for this process (parent folders are made). Gives the function that releases it, or the
 * process that has it. A lock whose process is gone is taken over: on this machine at once, also out of a container,
 * from another machine when it has not been touched for ten minutes.
 */
export async function claimLock(path: string): Promise<(() => Promise<void>) | LockHolder> {
  await makeOutputFolder(dirname(path));
  const own = lockText(ownIdentity());
  for (;;) {
    if (await createExclusively(path, own)) return keep(path, own);
    const found = await readLock(path);
    if (found && (await isDead(found, path))) {
      if (await takeOver(path, own)) return keep(path, own);
    } else if (found && found.text !== '') {
      return { pid: found.holder.pid, host: found.holder.host };
    }
    await sleep(POLL_MS);
  }
}

interface FoundLock {
  /** Empty while it is being written. */
  readonly text: string;
  readonly holder: ProcessIdentity;
  readonly beacon: Beacon | undefined;
  readonly touchedMs: number;
}

/** `<pid> <host> <random> boot=... namespace=... start=... beacon=...`; earlier versions wrote the first three. */
function lockText({ pid, host, boot, namespace, start }: ProcessIdentity, beacon?: Beacon): string {
  const facts = Object.entries({ boot, namespace, start, beacon: beacon?.text ?? '' });
  const known = facts.filter(([, value]) => value !== '').map(([name, value]) => ` ${name}=${value}`);
  return `${pid} ${host} ${randomBytes(4).toString('hex')}${known.join('')}\n`;
}

function parseLock(text: string): Pick<FoundLock, 'text' | 'holder' | 'beacon'> {
  const [pid, host = '', , ...facts] = text.trim().split(' ');
  const known = new Map(facts.map((fact) => fact.split('=', 2) as [string, string]));
  const of = (name: string): string => known.get(name) ?? '';
  return {
    text,
    holder: {
      pid: Number(pid),
      host,
      boot: of('boot'),
      namespace: of('namespace'),
      start: of('start'),
    },
    beacon: known.has('beacon') ? { text: of('beacon') } : undefined,
  };
}

async function createExclusively(path: string, text: string): Promise<boolean> {
  try {
    await writeFile(path, text, { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** undefined where the lock has gone meanwhile. */
async function readLock(path: string): Promise<FoundLock | undefined> {
  const handle = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (!handle) return undefined;
  try {
    return { ...parseLock(await handle.readFile('utf8')), touchedMs: (await handle.stat()).mtimeMs };
  } finally {
    await handle.close();
  }
}

async function isDead({ text, holder, beacon, touchedMs }: FoundLock, path: string): Promise<boolean> {
  const ageMs = Date.now() - touchedMs;
  if (text === '') return ageMs > STEP_MS;
  const liveness = livenessOf(holder);
  if (liveness !== 'unknown') return liveness === 'dead';
  const self = ownIdentity();
  if (holder.boot !== '' && holder.boot === self.boot) {
    const answer = beacon && (await askBeacon(path, beacon));
    if (answer !== undefined && answer !== 'unknown') return answer === 'dead';
  } else if (holder.boot !== '' && holder.host === self.host) {
    // This machine before it started again; another machine of the same name would have touched it since.
    if (touchedMs < Date.now() - uptime() * 1000) return true;
  }
  return ageMs > DEAD_MS;
}

/** Puts an own lock in the place of a dead one. Only one process at a time may try, and it looks once more. */
async function takeOver(path: string, own: string): Promise<boolean> {
  const turn = `${path}.takeover`;
  if (!(await createExclusively(turn, own))) {
    const other = await readLock(turn);
    if (other && Date.now() - other.touchedMs > STEP_MS) await rm(turn, { force: true });
    return false;
  }
  try {
    const found = await readLock(path);
    if (!found || !(await isDead(found, path))) return false;
    await writeFileAtomic(path, own); // never absent in between, or a third one could create it
    if (found.beacon) await rm(beaconPath(path, found.beacon), { force: true });
    return true;
  } finally {
    await rm(turn, { force: true });
  }
}

async function keep(path: string, claimed: string): Promise<() => Promise<void>> {
  let own = claimed;
  const light = isInContainer() ? await lightBeacon(path) : undefined;
  if (light) {
    own = lockText(ownIdentity(), light.beacon);
    await writeFileAtomic(path, own);
  }
  const touching = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => undefined);
  }, TOUCH_MS);
  touching.unref();
  return async () => {
    clearInterval(touching);
    const text = await readFile(path, 'utf8').catch(() => undefined);
    if (text === own) await rm(path, { force: true });
    await light?.putOut();
  };
}

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
