/** @file Lock files: one process at a time may use a folder. Locks of dead processes are taken over. */

import { randomBytes } from 'node:crypto';
import { type FileHandle, open, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { uptime } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeFileAtomic } from './files.js';
import { makeOutputFolder } from './output.js';
import { isInContainer, livenessOf, ownIdentity, type ProcessIdentity } from './process-identity.js';

/** The process that holds a lock. */
export interface LockHolder {
  readonly pid: number;
  readonly host: string;
}

/** A holder touches its lock this often to show other machines on a shared disk that it is alive. */
const TOUCH_MS = 30_000;
/** A lock from another machine is stale if untouched for this long, which is far longer than any clock skew. */
const DEAD_MS = 10 * 60_000;
/** Writing or taking over a lock takes milliseconds; anything older was left by a killed process. */
const STEP_MS = 10_000;
const POLL_MS = 10;

/**
 * Claims the file `path` for this process and creates parent folders. Returns the function that releases it, or the
 * process that holds it. A lock whose process is dead is taken over: at once if it ran on this machine (containers
 * included), after ten untouched minutes if it ran on another.
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
  const fields = Object.entries({ boot, namespace, start, beacon: beacon?.text ?? '' });
  const known = fields.filter(([, value]) => value !== '').map(([name, value]) => ` ${name}=${value}`);
  return `${pid} ${host} ${randomBytes(4).toString('hex')}${known.join('')}\n`;
}

function parseLock(text: string): Pick<FoundLock, 'text' | 'holder' | 'beacon'> {
  const [pid, host = '', , ...fields] = text.trim().split(' ');
  const known = new Map(fields.map((field) => field.split('=', 2) as [string, string]));
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

/** undefined if the lock has disappeared in the meantime. */
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
    // From before this machine rebooted. Another machine of the same name would have touched it since.
    if (touchedMs < Date.now() - uptime() * 1000) return true;
  }
  return ageMs > DEAD_MS;
}

/** Replaces a stale lock with our own. Only one process may try at a time, and it checks again first. */
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
    await writeFileAtomic(path, own); // never absent in between, or a third process could create it
    if (found.beacon) await rm(beaconPath(path, found.beacon), { force: true });
    return true;
  } finally {
    await rm(turn, { force: true });
  }
}

async function keep(path: string, claimed: string): Promise<() => Promise<void>> {
  let own = claimed;
  const light = isInContainer() ? await startBeacon(path) : undefined;
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
    await light?.stopBeacon();
  };
}

/** A beacon as recorded in a lock: `<random>:<device>:<inode>`. */
export interface Beacon {
  readonly text: string;
}

/** Path of a beacon's socket. */
export function beaconPath(lock: string, { text }: Beacon): string {
  return `${lock}.${/^[0-9a-f]*/.exec(text)![0]}.sock`;
}

/** Listens on a socket next to the lock; undefined where the file system has no sockets. */
export async function startBeacon(
  lock: string,
): Promise<{ readonly beacon: Beacon; readonly stopBeacon: () => Promise<void> } | undefined> {
  const name = randomBytes(4).toString('hex');
  const path = beaconPath(lock, { text: name });
  const folder = await open(dirname(lock), 'r');
  const server = createServer((connection) => connection.destroy());
  server.unref();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      // A container may run as another user, so anyone may connect.
      server.listen({ path: nearPath(folder, path), writableAll: true }, resolve);
    });
    const { dev, ino } = await stat(path, { bigint: true });
    const stopBeacon = async (): Promise<void> => {
      await new Promise((resolve) => server.close(resolve));
      await folder.close();
    };
    return { beacon: { text: `${name}:${dev}:${ino}` }, stopBeacon };
  } catch {
    server.close();
    await folder.close();
    return undefined;
  }
}

/**
 * Whether the holder is listening. The kernel's answer counts only if both sides see the same inode: sockets do not
 * connect across two mounts of one disk, or over a network file system.
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

/** A socket path is limited to about a hundred characters. */
function nearPath(folder: FileHandle, path: string): string {
  return join(`/proc/self/fd/${folder.fd}`, basename(path));
}
