/** @file Brings a planned model into the cache: blobs, then the snapshot's links, then the ref. */

import { mkdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { claimLock, errorMessage, formatBytes, InputError, mapConcurrently } from '../../base/index.js';
import type { HubAccess } from './access.js';
import { fetchBlob } from './blob.js';
import {
  linkSnapshotFile,
  modelCache,
  readRef,
  removeObsoleteParts,
  sizeOf,
  tagCache,
  writeRef,
} from './cache.js';
import { missingBytes, type PlannedFile, type PullPlan } from './plan.js';

/** Files on their way at once: shards share the line, and small files do not wait for large ones. */
const PARALLEL_FILES = 4;
const LOCK_POLL_MS = 200;
const QUIET_LOCK_MS = 2000;

/** Makes the cache folder where there is something to fetch. @throws InputError when its disk has no room for it */
export async function checkDiskSpace(access: HubAccess, plans: readonly PullPlan[]): Promise<void> {
  const needed = plans.reduce((sum, plan) => sum + missingBytes(plan), 0);
  if (needed === 0) return;
  await mkdir(access.cacheFolder, { recursive: true }).catch(cannotWrite(access));
  const { bavail, bsize } = await statfs(access.cacheFolder);
  const free = bavail * bsize;
  if (needed <= free) return;
  throw new InputError(
    `${access.cacheFolder} has ${formatBytes(free)} free, and ${formatBytes(needed)} are to be fetched; make room, or set HF_HOME to a folder on a larger disk`,
  );
}

/**
 * Fetches what a plan lacks. The snapshot appears when all of it is here, and the ref after it, so that nobody finds a
 * part. Only a model that is complete and linked leaves the cache unwritten, which may be read-only then.
 * @param onProgress bytes here of bytes in all, over all files of the plan
 * @throws InputError, UnavailableError, or the signal's reason; run again, it goes on from what has arrived
 */
export async function fetchModel(
  access: HubAccess,
  plan: PullPlan,
  onProgress?: (bytes: number, total: number) => void,
): Promise<void> {
  if (plan.unchecked !== undefined || (await isComplete(access, plan))) return;
  const unlock = await waitForLock(access, plan);
  try {
    await fetchFiles(access, plan, onProgress);
    const model = modelCache(access.cacheFolder, plan.id);
    for (const file of plan.files) {
      if (!(await isInSnapshot(plan, file))) await linkSnapshotFile(model, plan.commit, file);
    }
    await removeObsoleteParts(model);
    await tagCache(access.cacheFolder);
    const revision = await refToWrite(access, plan);
    if (revision !== undefined) await writeRef(model, revision, plan.commit);
  } finally {
    await unlock();
  }
}

/**
 * The commit that the name alone stands for, where it is another than the plan's: what other tools, and recipes that
 * name the model, will use.
 */
export async function otherMain(access: HubAccess, plan: PullPlan): Promise<string | undefined> {
  const main = await readRef(modelCache(access.cacheFolder, plan.id), 'main');
  return main === plan.commit ? undefined : main;
}

async function fetchFiles(
  access: HubAccess,
  plan: PullPlan,
  onProgress: ((bytes: number, total: number) => void) | undefined,
): Promise<void> {
  const model = modelCache(access.cacheFolder, plan.id);
  const total = plan.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const here = new Map(plan.files.map(({ path, presentBytes }) => [path, presentBytes]));
  const report = (): void =>
    onProgress?.(
      [...here.values()].reduce((sum, bytes) => sum + bytes, 0),
      total,
    );
  report();
  const isHere = await Promise.all(plan.files.map((file) => isInSnapshot(plan, file)));
  const missing = plan.files.filter((_, index) => !isHere[index]);
  // Files of the same content are one blob.
  const blobs = new Map(missing.map((file) => [file.etag, file]));
  // One file that fails ends the others too: they keep what they have.
  const failure = new AbortController();
  const signal = access.signal ? AbortSignal.any([access.signal, failure.signal]) : failure.signal;
  await mapConcurrently([...blobs.values()], PARALLEL_FILES, async (file) => {
    const onBytes = (bytes: number): void => {
      for (const { path, etag } of plan.files) if (etag === file.etag) here.set(path, bytes);
      report();
    };
    const { id, commit } = plan;
    await fetchBlob({ ...access, signal }, { id, commit, file, model, onBytes }).catch((error: unknown) => {
      failure.abort();
      throw error;
    });
  });
}

async function isInSnapshot({ snapshot }: PullPlan, { path, sizeBytes }: PlannedFile): Promise<boolean> {
  return (await sizeOf(join(snapshot, path))) === sizeBytes;
}

async function isComplete(access: HubAccess, plan: PullPlan): Promise<boolean> {
  const inPlace = await Promise.all(plan.files.map((file) => isInSnapshot(plan, file)));
  return inPlace.every(Boolean) && (await refToWrite(access, plan)) === undefined;
}

/**
 * The ref that does not yet say what it must: that of the branch or tag. A pinned commit becomes `main` where there is
 * none, or no tool would find the model by its name without network; a `main` that is there is somebody's choice.
 */
async function refToWrite(access: HubAccess, plan: PullPlan): Promise<string | undefined> {
  const revision = plan.isPinned ? 'main' : plan.revision;
  if (revision === plan.commit) return undefined;
  const known = await readRef(modelCache(access.cacheFolder, plan.id), revision);
  return known === plan.commit || (plan.isPinned && known !== undefined) ? undefined : revision;
}

/** Waits until no other process fetches this model; what it has fetched will be found then. */
async function waitForLock(access: HubAccess, { id }: PullPlan): Promise<() => Promise<void>> {
  const { lock } = modelCache(access.cacheFolder, id);
  const startMs = performance.now();
  for (let isTold = false; ; ) {
    const claim = await claimLock(lock).catch(cannotWrite(access));
    if (typeof claim === 'function') return claim;
    if (!isTold && performance.now() - startMs > QUIET_LOCK_MS) {
      isTold = true;
      access.onTrouble?.(
        `${id}: waiting for process ${claim.pid} on ${claim.host}, which is fetching it (if there is no such process, delete ${lock})`,
      );
    }
    await sleep(LOCK_POLL_MS, undefined, access.signal ? { signal: access.signal } : {});
  }
}

function cannotWrite({ cacheFolder }: HubAccess): (error: unknown) => never {
  return (error) => {
    throw new InputError(
      `cannot write into the cache ${cacheFolder} (${errorMessage(error)}); set HF_HOME to a folder where you can`,
    );
  };
}
