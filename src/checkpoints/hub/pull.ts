/**
 * @file Fetches the missing files of a model into the Hugging Face cache. Downloads resume where they stopped, and a
 * file gets its final name only after its hash is verified.
 */

import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, mkdir, open, rename, rm, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  claimLock,
  errorMessage,
  formatBytes,
  InputError,
  mapConcurrently,
  UnavailableError,
} from '../../base/index.js';
import type { HubAccess } from './access.js';
import {
  linkSnapshotFile,
  type ModelCache,
  modelCache,
  readRef,
  removeObsoleteParts,
  sizeOf,
  tagCache,
  writeRef,
} from './cache.js';
import { answerError, persist, TransientError } from './failures.js';
import { filePath, type HubFile, missingBytes, type PlannedFile, type PullPlan } from './plan.js';
import { type HubAnswer, ignoreContent, requestHub } from './request.js';

export interface BlobJob {
  readonly id: string;
  readonly commit: string;
  readonly file: HubFile;
  readonly model: ModelCache;
  /** Called with the number of bytes present; decreases if they have to be fetched again. */
  readonly onBytes: (bytes: number) => void;
}

const READ_BYTES = 1 << 20;

/**
 * Fetches a file's content unless it is present. Content with a wrong hash is fetched once more.
 * @throws InputError, UnavailableError, or the signal's reason; partial content is kept for the next attempt
 */
export async function fetchBlob(access: HubAccess, job: BlobJob): Promise<void> {
  const { id, file, model } = job;
  if ((await sizeOf(model.blob(file.etag))) === file.sizeBytes) return;
  await mkdir(dirname(model.blob(file.etag)), { recursive: true });
  const partial = model.partial(file.etag);
  for (const isLast of [false, true]) {
    const arrived = await fetchPartial(access, job, partial);
    if (arrived === file.etag) {
      await rename(partial, model.blob(file.etag));
      return;
    }
    await rm(partial, { force: true });
    job.onBytes(0);
    const algorithm = file.etag.length === 64 ? 'SHA-256' : 'git hash';
    const what = `${id}: ${file.path} arrived ${isLast ? 'twice ' : ''}with ${arrived === undefined ? `more than its ${file.sizeBytes} bytes` : `${algorithm} ${arrived}`}, and it must have ${file.etag}`;
    if (isLast) {
      throw new UnavailableError(`${what}; something between here and ${access.endpoint} changes it`);
    }
    access.onTrouble?.(`${what}; fetching it again from its start`);
  }
}

/** Completes the partial file. Returns the hash of its content, or undefined if it is too long. */
async function fetchPartial(access: HubAccess, job: BlobJob, path: string): Promise<string | undefined> {
  const { id, file } = job;
  const content = await openContent(path, file, job.onBytes, access.signal);
  try {
    let etag: string | undefined; // of the response that the last bytes came from
    await persist(access, { what: `${id}/${file.path}`, progress: () => content.furthest() }, async () => {
      if (content.isWhole()) return;
      const answer = await askForRest(access, job, content.bytes(), etag);
      if (answer.status !== 206 && content.bytes() > 0) await content.restart();
      etag = strongEtag(answer);
      for await (const chunk of answer.body) if (!(await content.append(chunk))) return;
      if (!content.isWhole()) {
        throw new TransientError(
          `${answer.url.host} has sent ${content.bytes()} of ${file.sizeBytes} bytes and no more`,
        );
      }
    });
    return await content.finish();
  } finally {
    await content.close();
  }
}

/**
 * Requests a file from byte `from` on: status 206 with the rest, or 200 with all of it. `etag` is that of the bytes
 * before `from`, if they were fetched in this run; those of an earlier run are verified by the final hash.
 */
async function askForRest(
  access: HubAccess,
  { id, commit, file }: BlobJob,
  from: number,
  etag: string | undefined,
): Promise<HubAnswer> {
  const path = filePath(id, commit, file.path);
  const headers: Record<string, string> = {
    ...(from > 0 && { range: `bytes=${from}-` }),
    ...(from > 0 && etag !== undefined && { 'if-range': etag }),
  };
  const answer = await requestHub(access, path, { headers });
  if (answer.status === 200) return answer;
  if (answer.status === 206) {
    if (answer.headers['content-range'] === `bytes ${from}-${file.sizeBytes - 1}/${file.sizeBytes}`)
      return answer;
    await ignoreContent(answer);
  }
  // A different range than requested, or "not satisfiable": request the whole file.
  if (from > 0 && (answer.status === 206 || answer.status === 416)) return requestWhole();
  throw answerError(access, answer, { id, revision: commit, file: file.path });

  async function requestWhole(): Promise<HubAnswer> {
    const whole = await requestHub(access, path);
    if (whole.status === 200) return whole;
    throw answerError(access, whole, { id, revision: commit, file: file.path });
  }
}

function strongEtag({ headers }: HubAnswer): string | undefined {
  return headers.etag?.startsWith('"') ? headers.etag : undefined;
}

/** A partial file and its running hash. */
interface Content {
  /** Bytes so far. */
  bytes(): number;
  /** The highest byte count reached so far. */
  furthest(): number;
  isWhole(): boolean;
  /** False if that would exceed the file's size. */
  append(chunk: Buffer): Promise<boolean>;
  restart(): Promise<void>;
  /** Flushes to disk; returns the hash, or undefined if there was too much data. */
  finish(): Promise<string | undefined>;
  close(): Promise<void>;
}

async function openContent(
  path: string,
  { etag, sizeBytes }: HubFile,
  onBytes: (bytes: number) => void,
  signal: AbortSignal | undefined,
): Promise<Content> {
  const handle = await openForUpdate(path);
  let hash = newHash(etag, sizeBytes);
  let bytes = 0;
  let furthest = 0;
  let isTooLong = false;
  const advance = (count: number): void => {
    bytes += count;
    furthest = Math.max(furthest, bytes);
    onBytes(bytes);
  };
  const content: Content = {
    bytes: () => bytes,
    furthest: () => furthest,
    isWhole: () => bytes === sizeBytes,
    async append(chunk) {
      isTooLong = bytes + chunk.length > sizeBytes;
      if (isTooLong) return false;
      for (let done = 0; done < chunk.length; ) {
        const { bytesWritten } = await handle.write(chunk, done, chunk.length - done, bytes + done);
        done += bytesWritten;
      }
      hash.update(chunk);
      advance(chunk.length);
      return true;
    },
    async restart() {
      await handle.truncate(0);
      hash = newHash(etag, sizeBytes);
      advance(-bytes);
    },
    async finish() {
      await handle.sync();
      return isTooLong ? undefined : hash.digest('hex');
    },
    close: () => handle.close(),
  };
  try {
    const found = (await handle.stat()).size;
    if (found > sizeBytes) await handle.truncate(0);
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    while (found <= sizeBytes && bytes < found) {
      signal?.throwIfAborted();
      const { bytesRead } = await handle.read(buffer, 0, READ_BYTES, bytes);
      if (bytesRead === 0) break;
      hash.update(buffer.subarray(0, bytesRead));
      advance(bytesRead);
    }
    return content;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function openForUpdate(path: string): Promise<FileHandle> {
  return open(path, 'r+').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return open(path, 'w+');
    throw error;
  });
}

/** The hash behind an etag: SHA-256 of the content, or git's SHA-1, which includes the length. */
function newHash(etag: string, sizeBytes: number): Hash {
  return etag.length === 64 ? createHash('sha256') : createHash('sha1').update(`blob ${sizeBytes}\0`);
}

/** Concurrent downloads: shards share the bandwidth, and small files do not wait for large ones. */
const PARALLEL_FILES = 4;
const LOCK_POLL_MS = 200;
const QUIET_LOCK_MS = 2000;

/** Creates the cache folder if there is something to fetch. @throws InputError when its disk has too little space */
export async function checkDiskSpace(access: HubAccess, plans: readonly PullPlan[]): Promise<void> {
  const needed = plans.reduce((sum, plan) => sum + missingBytes(plan), 0);
  if (needed === 0) return;
  await mkdir(access.cacheFolder, { recursive: true }).catch(cannotWrite(access));
  const { bavail, bsize } = await statfs(access.cacheFolder);
  const free = bavail * bsize;
  if (needed <= free) return;
  throw new InputError(
    `${access.cacheFolder} has ${formatBytes(free)} free, and ${formatBytes(needed)} are to be fetched; free some space, or set HF_HOME to a folder on a larger disk`,
  );
}

/**
 * Fetches the missing files of a plan. The snapshot appears once all files are there, and the ref after it, so that
 * other tools never see a partial model. A model that is already complete writes nothing, so the cache may then be
 * read-only.
 * @param onProgress called with bytes present and total bytes, over all files of the plan
 * @throws InputError, UnavailableError, or the signal's reason; running it again continues from what was fetched
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
 * The commit that the bare name resolves to, if it differs from the plan's. Other tools, and recipes that name the
 * model, use that one.
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
  // Files with the same content share a blob.
  const blobs = new Map(missing.map((file) => [file.etag, file]));
  // A failed file stops the others; they keep what they have.
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
 * The ref to update: that of the branch or tag. A pinned commit becomes `main` if there is none, or no tool could find
 * the model by name offline; an existing `main` is left alone.
 */
async function refToWrite(access: HubAccess, plan: PullPlan): Promise<string | undefined> {
  const revision = plan.isPinned ? 'main' : plan.revision;
  if (revision === plan.commit) return undefined;
  const known = await readRef(modelCache(access.cacheFolder, plan.id), revision);
  return known === plan.commit || (plan.isPinned && known !== undefined) ? undefined : revision;
}

/**
 * Waits until no other process is fetching this model; whatever that process has fetched is then found in the cache.
 */
async function waitForLock(access: HubAccess, { id }: PullPlan): Promise<() => Promise<void>> {
  const { lock } = modelCache(access.cacheFolder, id);
  const startMs = performance.now();
  for (let isReported = false; ; ) {
    const claim = await claimLock(lock).catch(cannotWrite(access));
    if (typeof claim === 'function') return claim;
    if (!isReported && performance.now() - startMs > QUIET_LOCK_MS) {
      isReported = true;
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
