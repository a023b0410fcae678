/** @file What a pull would do: which files at which commit, and what of them is in the cache already. */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError, mapConcurrently, UnavailableError } from '../../base/index.js';
import type { HubAccess } from './access.js';
import { type ModelCache, modelCache, readRef, sizeOf } from './cache.js';
import { checkpointFiles, holdsCheckpoint } from './checkpoint-files.js';
import { type HubFile, type Listing, listModel } from './listing.js';
import type { ModelRequest } from './published-models.js';
import { persist } from './retry.js';

/** A file of a checkpoint, and what of it is here. */
export interface PlannedFile extends HubFile {
  /** Its size where it is here, less where a part is, else 0. */
  readonly presentBytes: number;
}

export interface PullPlan extends ModelRequest {
  readonly commit: string;
  /** Folder of the snapshot, absolute. */
  readonly snapshot: string;
  readonly files: readonly PlannedFile[];
  /** Why the hub was not asked, where it was not: then the files are those in the cache. */
  readonly unchecked?: string;
}

/** Tries after the first to get the list of files: somebody waits, and nothing has been fetched yet. */
const LISTING_RETRIES = 3;
const LISTING_REQUESTS = 8;

/**
 * Asks the hub what a model consists of. Without network the cache answers, if it has the revision: a commit, or a
 * branch or tag by the commit that it had when it was last fetched. Weights and config.json must be whole then; what
 * else the hub has cannot be known.
 * @throws InputError when the hub does not have it or does not give it, UnavailableError when it cannot be asked
 */
export async function planPull(access: HubAccess, request: ModelRequest): Promise<PullPlan> {
  const { id } = request;
  const model = modelCache(access.cacheFolder, id);
  const cached = await cachedPlan(model, request);
  if (access.offlineBy !== undefined) {
    const why = `${access.offlineBy} is set`;
    if (cached) return { ...cached, unchecked: why };
    throw new InputError(
      `${why}, and ${id} at revision "${request.revision}" is not whole in ${access.cacheFolder}; unset it to fetch the model`,
    );
  }
  try {
    // Who has the model already need not wait for a hub that does not answer.
    const patience = { retries: cached ? 0 : LISTING_RETRIES, needsNetwork: true };
    return await persist(access, { what: id, ...patience }, async () => {
      const listing = await listModel(access, request);
      return await planOf(access, request, model, listing);
    });
  } catch (error) {
    if (cached && error instanceof UnavailableError) return { ...cached, unchecked: error.message };
    throw error;
  }
}

/** Bytes that a plan has still to fetch. */
export function missingBytes({ files }: PullPlan): number {
  return files.reduce((sum, { sizeBytes, presentBytes }) => sum + sizeBytes - presentBytes, 0);
}

async function planOf(
  access: HubAccess,
  request: ModelRequest,
  model: ModelCache,
  listing: Listing,
): Promise<PullPlan> {
  const { commit, paths } = listing;
  const files = await mapConcurrently(
    checkpointFiles(request.id, paths),
    LISTING_REQUESTS,
    async (path) => {
      const file = await listing.describe(path);
      return { ...file, presentBytes: await presentBytes(model, commit, file) };
    },
    access.signal,
  );
  return { ...request, commit, snapshot: model.snapshot(commit), files };
}

/** What of a file is here: a blob, a plain file in the snapshot (where links cannot be made), or a part. */
async function presentBytes(model: ModelCache, commit: string, file: HubFile): Promise<number> {
  const whole = [join(model.snapshot(commit), file.path), model.blob(file.etag)];
  for (const path of whole) if ((await sizeOf(path)) === file.sizeBytes) return file.sizeBytes;
  const part = (await sizeOf(model.partial(file.etag))) ?? 0;
  return part <= file.sizeBytes ? part : 0;
}

/** The plan of a snapshot that is in the cache with whole weights. */
async function cachedPlan(model: ModelCache, request: ModelRequest): Promise<PullPlan | undefined> {
  const { revision } = request;
  const commit = /^[0-9a-f]{40}$/.test(revision) ? revision : await readRef(model, revision);
  if (commit === undefined) return undefined;
  const snapshot = model.snapshot(commit);
  const names = await readdir(snapshot).catch(() => []);
  const files = await Promise.all(
    names.map(async (path) => ({ path, sizeBytes: await sizeOf(join(snapshot, path)) })),
  );
  const present = files.flatMap(({ path, sizeBytes }) =>
    // A link into nowhere has no size; the hash is the hub's to tell.
    sizeBytes === undefined ? [] : [{ path, sizeBytes, presentBytes: sizeBytes, etag: '' }],
  );
  if (!holdsCheckpoint(present.map(({ path }) => path))) return undefined;
  return { ...request, commit, snapshot, files: present };
}
