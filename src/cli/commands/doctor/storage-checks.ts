/**
 * @file Checks that emoq's folders are writable (by writing) and have free space, and that the corpora in data/ are as
 * prepared.
 */

import { mkdir, readdir, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import {
  deleteAtExit,
  errorMessage,
  formatBytes,
  pathExists,
  sweepTemporaries,
  temporaryName,
} from '../../../base/index.js';
import { hubCacheFolder } from '../../../checkpoints/hub/index.js';
import type { Manifest } from '../../../data/corpora/index.js';
import { cacheFolder } from '../../command-definition.js';
import { type CheckResult, checked } from './check-result.js';

/** The demo's corpus, runs and features take about half of it. */
const DEMO_DISK_BYTES = 150e6;
const TRIAL_BYTES = 64 << 10;
/** Folder that is searched for corpora. */
const CORPORA = 'data';

export async function folderChecks(): Promise<CheckResult[]> {
  const elsewhere = 'mkdir -p ~/emoq && cd ~/emoq';
  return Promise.all([
    folderCheck('data', () => 'data', elsewhere, true),
    folderCheck('runs', () => 'runs', elsewhere, true),
    folderCheck('feature cache', cacheFolder, 'export EMOQ_CACHE=/a/larger/disk', true),
    folderCheck('model cache', hubCacheFolder, 'export HF_HOME=/a/larger/disk', false),
  ]);
}

/** Free bytes at the existing or future location of `folder`. */
export async function freeDiskBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(await nearestFolder(folder));
  return bavail * bsize;
}

async function folderCheck(
  name: string,
  pathOf: () => string,
  elsewhere: string,
  needed: boolean,
): Promise<CheckResult> {
  let folder = '';
  try {
    folder = pathOf();
    const existing = await nearestFolder(folder);
    const freeBytes = await freeDiskBytes(folder);
    await tryWriting(existing);
    const details = { folder: resolve(folder), writable: true, free_bytes: freeBytes };
    const state = `${resolve(folder)}: writable, ${formatBytes(freeBytes)} free`;
    if (freeBytes >= DEMO_DISK_BYTES || !needed) return checked(name, 'ok', state, { needed, details });
    const found = `${state}; the demo takes up to ${formatBytes(DEMO_DISK_BYTES)}`;
    return checked(name, 'missing', found, { needed, details, fix: elsewhere });
  } catch (error) {
    const details = { folder: folder === '' ? null : resolve(folder), writable: false, free_bytes: null };
    const status = needed ? 'missing' : 'warning';
    return checked(
      name,
      status,
      `${folder === '' ? name : resolve(folder)}: cannot be written (${whyNot(error)})`,
      {
        needed,
        details,
        fix: elsewhere,
      },
    );
  }
}

/** The folder itself, or its nearest existing ancestor. @throws Error if a file is in the way */
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

/** Permissions are not enough: the disk may be full, or read-only even for root. */
async function tryWriting(folder: string): Promise<void> {
  const base = join(folder, '.emoq-doctor');
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

export async function corpusChecks(): Promise<CheckResult[]> {
  const folders = (await readdir(CORPORA, { withFileTypes: true }).catch(() => []))
    .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
    .map(({ name }) => join(CORPORA, name))
    .sort();
  const checks: CheckResult[] = [];
  for (const folder of folders) {
    const check = await corpusFolderCheck(folder);
    if (check) checks.push(check);
  }
  if (checks.length > 0) return checks;
  return [checked('corpus', 'missing', `none in ${CORPORA}/`, { fix: 'emoq prepare-toy' })];
}

/** undefined if the folder contains no corpus, not even an unfinished one. */
async function corpusFolderCheck(folder: string): Promise<CheckResult | undefined> {
  const csvPath = join(folder, 'manifest.csv');
  const isStarted = await Promise.all(
    ['manifest.csv', 'manifest.json', 'preparation.jsonl'].map((name) => pathExists(join(folder, name))),
  );
  if (!isStarted.some(Boolean)) return undefined;
  if (!isStarted[0]) {
    return checked('corpus', 'warning', `${folder}: preparation has not finished`, {
      fix: await preparationCommand(csvPath),
      details: { manifest: csvPath },
    });
  }
  return manifestCheck(csvPath, false);
}

/** Whether a manifest is complete and unchanged since preparation. */
export async function manifestCheck(csvPath: string, needed: boolean): Promise<CheckResult> {
  const fix = await preparationCommand(csvPath);
  if (!(await pathExists(csvPath))) {
    const details = { manifest: csvPath };
    return checked('corpus', 'missing', `${csvPath}: does not exist`, { needed, fix, details });
  }
  let manifest: Manifest;
  try {
    const { readManifest } = await import('../../../data/corpora/index.js');
    manifest = await readManifest(csvPath);
  } catch (error) {
    const status = needed ? 'missing' : 'warning';
    return checked('corpus', status, errorMessage(error), { needed, fix, details: { manifest: csvPath } });
  }
  const { info, utterances, sha256, prepared } = manifest;
  const details = {
    manifest: csvPath,
    name: info.name,
    utterances: utterances.length,
    counts: info.counts.total,
    sha256,
    sha256_right: sha256 === info.sha256,
  };
  const counts = Object.entries(info.counts.total).map(([label, count]) => `${label} ${count}`);
  const found = `${csvPath}: ${utterances.length.toLocaleString('en')} ${utterances.length === 1 ? 'utterance' : 'utterances'} (${counts.join(', ')})`;
  if (!prepared) {
    return checked('corpus', 'warning', `${found}; written by hand, without manifest.json`, {
      needed,
      details,
    });
  }
  if (sha256 === info.sha256 && utterances.length === info.utterances) {
    return checked('corpus', 'ok', `${found}, checksum right`, { needed, details });
  }
  const edited = `${csvPath}: has changed since it was prepared: ${utterances.length} utterances of ${info.utterances}, ${sha256 === info.sha256 ? 'the same' : 'another'} checksum`;
  return checked('corpus', 'warning', edited, { needed, fix, details });
}

/** The command that prepares the corpus of this manifest. */
export async function preparationCommand(csvPath: string): Promise<string> {
  const name = basename(dirname(csvPath));
  if (name === 'toy4') return 'emoq prepare-toy';
  if (name === 'meld') return 'emoq prepare-meld --root MELD.Raw';
  if (name === 'iemocap') return 'emoq prepare-iemocap --root IEMOCAP_full_release';
  const { openRelease, releaseNames } = await import('../../../data/corpora/index.js');
  if ((await releaseNames()).includes(name)) {
    return `emoq prepare ${name} --root ${(await openRelease(name)).root.name}`;
  }
  return `emoq prepare-csv FILE.csv --name ${name}`;
}
