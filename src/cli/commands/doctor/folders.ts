/** @file The folders that emoq writes: whether they can be written, shown by writing, and how much room there is. */

import { mkdir, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import {
  deleteAtExit,
  errorMessage,
  formatBytes,
  sweepTemporaries,
  temporaryName,
} from '../../../base/index.js';
import { hubCacheFolder } from '../../../checkpoints/hub/index.js';
import { cacheFolder } from '../../options.js';
import { type Check, checked } from './check.js';

/** The demo's corpus, runs and features take about half of it. */
const DEMO_DISK_BYTES = 150e6;
const TRIAL_BYTES = 64 << 10;

export async function folderChecks(): Promise<Check[]> {
  const elsewhere = 'mkdir -p ~/emoq && cd ~/emoq';
  return Promise.all([
    folderCheck('data', () => 'data', elsewhere, true),
    folderCheck('runs', () => 'runs', elsewhere, true),
    folderCheck('feature cache', cacheFolder, 'export EMOQ_CACHE=/a/larger/disk', true),
    folderCheck('model cache', hubCacheFolder, 'export HF_HOME=/a/larger/disk', false),
  ]);
}

/** Bytes that can still be written where `folder` is or would be. */
export async function freeDiskBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(await nearestFolder(folder));
  return bavail * bsize;
}

async function folderCheck(
  name: string,
  pathOf: () => string,
  elsewhere: string,
  needed: boolean,
): Promise<Check> {
  let folder = '';
  try {
    folder = pathOf();
    const place = await nearestFolder(folder);
    const freeBytes = await freeDiskBytes(folder);
    await tryWriting(place);
    const facts = { folder: resolve(folder), writable: true, free_bytes: freeBytes };
    const room = `${resolve(folder)}: writable, ${formatBytes(freeBytes)} free`;
    if (freeBytes >= DEMO_DISK_BYTES || !needed) return checked(name, 'ok', room, { needed, facts });
    const found = `${room}; the demo takes up to ${formatBytes(DEMO_DISK_BYTES)}`;
    return checked(name, 'missing', found, { needed, facts, mend: elsewhere });
  } catch (error) {
    const facts = { folder: folder === '' ? null : resolve(folder), writable: false, free_bytes: null };
    const status = needed ? 'missing' : 'warning';
    return checked(
      name,
      status,
      `${folder === '' ? name : resolve(folder)}: cannot be written (${whyNot(error)})`,
      {
        needed,
        facts,
        mend: elsewhere,
      },
    );
  }
}

/** The folder itself, or the nearest one around it that exists. @throws Error where a file is in the way */
async function nearestFolder(folder: string): Promise<string> {
  const path = resolve(folder);
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (found?.isDirectory()) return path;
  if (found) throw new Error(`${relative('', path)} is a file`);
  if (dirname(path) === path) throw new Error(`${path} does not exist`);
  return nearestFolder(dirname(path));
}

/** Being allowed to write is not all: the disk may be full, or read-only for root too. */
async function tryWriting(place: string): Promise<void> {
  const base = join(place, '.emoq-doctor');
  await sweepTemporaries(base);
  const trial = temporaryName(base);
  const exit = deleteAtExit(trial);
  try {
    await mkdir(trial);
    await writeFile(join(trial, 'trial'), Buffer.alloc(TRIAL_BYTES, 1));
  } finally {
    await rm(trial, { recursive: true, force: true }).catch(() => undefined);
    exit.forget();
  }
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  ENOTDIR: 'a file is where a folder should be',
};

function whyNot(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  return REASONS[code] ?? errorMessage(error);
}
