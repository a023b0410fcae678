/** @file Lock files: one process at a time works in a folder, and what a killed process has left is taken over. */

import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeFileAtomic } from './files.js';

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
 * process that has it. A lock whose process is gone is taken over: on this machine at once, from another one when it
 * has not been touched for ten minutes.
 */
export async function claimLock(path: string): Promise<(() => Promise<void>) | LockHolder> {
  await mkdir(dirname(path), { recursive: true });
  const own = `${process.pid} ${hostname()} ${randomBytes(4).toString('hex')}\n`;
  for (;;) {
    if (await createExclusively(path, own)) return keep(path, own);
    const found = await readLock(path);
    if (found && isDead(found)) {
      if (await takeOver(path, own)) return keep(path, own);
    } else if (found && found.text !== '') {
      return { pid: found.pid, host: found.host };
    }
    await sleep(POLL_MS);
  }
}

interface FoundLock extends LockHolder {
  /** Empty while it is being written. */
  readonly text: string;
  readonly ageMs: number;
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
    const text = await handle.readFile('utf8');
    const [pid, host = ''] = text.trim().split(' ');
    return { text, pid: Number(pid), host, ageMs: Date.now() - (await handle.stat()).mtimeMs };
  } finally {
    await handle.close();
  }
}

function isDead({ pid, host, ageMs, text }: FoundLock): boolean {
  if (text === '') return ageMs > STEP_MS;
  return host === hostname() ? !isAlive(pid) : ageMs > DEAD_MS;
}

/** Puts an own lock in the place of a dead one. Only one process at a time may try, and it looks once more. */
async function takeOver(path: string, own: string): Promise<boolean> {
  const turn = `${path}.takeover`;
  if (!(await createExclusively(turn, own))) {
    const other = await readLock(turn);
    if (other && other.ageMs > STEP_MS) await rm(turn, { force: true });
    return false;
  }
  try {
    const found = await readLock(path);
    if (!found || !isDead(found)) return false;
    await writeFileAtomic(path, own); // never absent in between, or a third one could create it
    return true;
  } finally {
    await rm(turn, { force: true });
  }
}

function keep(path: string, own: string): () => Promise<void> {
  const touching = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => undefined);
  }, TOUCH_MS);
  touching.unref();
  return async () => {
    clearInterval(touching);
    const text = await readFile(path, 'utf8').catch(() => undefined);
    if (text === own) await rm(path, { force: true });
  };
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
