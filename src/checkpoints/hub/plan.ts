/**
 * @file Plans a pull: which files of a model's repository make up a checkpoint, at which commit, and which are already
 * in the cache.
 */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError, mapConcurrently, UnavailableError } from '../../base/index.js';
import type { HubAccess } from './access.js';
import { type ModelCache, modelCache, readRef, sizeOf } from './cache.js';
import { answerError, persist } from './failures.js';
import type { ModelRequest } from './published-models.js';
import { requestHub, textOf } from './request.js';

/** A file of a checkpoint, and how much of it is in the cache. */
export interface PlannedFile extends HubFile {
  /** Bytes in the cache: the full size, the size of a partial download, or 0. */
  readonly presentBytes: number;
}

export interface PullPlan extends ModelRequest {
  readonly commit: string;
  /** Folder of the snapshot, absolute. */
  readonly snapshot: string;
  readonly files: readonly PlannedFile[];
  /** Why the hub was not asked, if it was not; the files are then those in the cache. */
  readonly unchecked?: string;
}

/** Retries for the list of files: the user is waiting, and nothing has been fetched yet. */
const LISTING_RETRIES = 3;
const LISTING_REQUESTS = 8;

/**
 * Asks the hub which files a model consists of. Offline, the cache answers if it has the revision: a commit, or a
 * branch or tag by the commit it had when last fetched. Weights and config.json must then be complete; other files of
 * the model cannot be known.
 * @throws InputError when the model is missing or access is denied, UnavailableError when the hub cannot be reached
 */
export async function planPull(access: HubAccess, request: ModelRequest): Promise<PullPlan> {
  const { id } = request;
  const model = modelCache(access.cacheFolder, id);
  const cached = await cachedPlan(model, request);
  if (access.offlineBy !== undefined) {
    const why = `${access.offlineBy} is set`;
    if (cached) return { ...cached, unchecked: why };
    throw new InputError(
      `${why}, and ${id} at revision "${request.revision}" is not complete in ${access.cacheFolder}; unset it to fetch the model`,
    );
  }
  try {
    // A user who has the model should not have to wait for a hub that does not answer.
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

/** Bytes that a plan still has to fetch. */
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

/** How much of a file is present: a blob, a regular file in the snapshot (where links are not possible), or a part. */
async function presentBytes(model: ModelCache, commit: string, file: HubFile): Promise<number> {
  const whole = [join(model.snapshot(commit), file.path), model.blob(file.etag)];
  for (const path of whole) if ((await sizeOf(path)) === file.sizeBytes) return file.sizeBytes;
  const part = (await sizeOf(model.partial(file.etag))) ?? 0;
  return part <= file.sizeBytes ? part : 0;
}

/** The plan for a cached snapshot with complete weights. */
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
    // A dangling link has no size; the hash is known only to the hub.
    sizeBytes === undefined ? [] : [{ path, sizeBytes, presentBytes: sizeBytes, etag: '' }],
  );
  if (!holdsCheckpoint(present.map(({ path }) => path))) return undefined;
  return { ...request, commit, snapshot, files: present };
}

/** A file of a repository at a commit. */
export interface HubFile {
  /** Its name in the repository. */
  readonly path: string;
  /** SHA-256 of a large (LFS) file, git hash of a small one: both identify the content. */
  readonly etag: string;
  readonly sizeBytes: number;
}

export interface Listing {
  readonly commit: string;
  /** Names of all files. */
  readonly paths: readonly string[];
  /** Size and hash of a file. @throws as `listModel` */
  describe(path: string): Promise<HubFile>;
}

/** Enough for a repository of a hundred thousand files at some hundred bytes each. */
const MOST_LISTING_BYTES = 1 << 25;

/**
 * Resolves a revision to its commit and lists the files there, in one request.
 * @throws InputError (gated, missing), TransientError or UnavailableError
 */
export async function listModel(access: HubAccess, { id, revision }: ModelRequest): Promise<Listing> {
  const path = `/api/models/${id}/revision/${encodeURIComponent(revision)}?blobs=true`;
  const answer = await requestHub(access, path);
  if (answer.status !== 200) throw answerError(access, answer, { id, revision });
  const { sha, siblings } = parseListing(access, await textOf(answer, MOST_LISTING_BYTES));
  const known = new Map(siblings.map((sibling) => [sibling.rfilename, sibling]));
  return {
    commit: sha,
    paths: [...known.keys()],
    describe: async (name) => {
      const { size, blobId, lfs } = known.get(name) ?? {};
      const etag = lfs?.sha256 ?? blobId;
      const sizeBytes = lfs?.size ?? size;
      // A mirror may list names only.
      if (!isHash(etag) || !isSize(sizeBytes)) return askForFile(access, { id, revision: sha, file: name });
      return { path: name, etag, sizeBytes };
    },
  };
}

/** The path of a file at a commit, below the endpoint. */
export function filePath(id: string, commit: string, path: string): string {
  return `/${id}/resolve/${commit}/${path.split('/').map(encodeURIComponent).join('/')}`;
}

/** Size and hash from the response headers of the file itself. */
async function askForFile(
  access: HubAccess,
  wanted: { id: string; revision: string; file: string },
): Promise<HubFile> {
  const { id, revision, file } = wanted;
  const answer = await requestHub(access, filePath(id, revision, file), { method: 'HEAD' });
  const { status, headers } = answer;
  if (status >= 400) throw answerError(access, answer, wanted);
  const etag = String(headers['x-linked-etag'] ?? headers.etag ?? '')
    .replace(/^W\//, '')
    .replaceAll('"', '');
  const length = headers['x-linked-size'] ?? (status === 200 ? headers['content-length'] : undefined);
  const sizeBytes = length === undefined ? undefined : Number(length);
  if (isHash(etag) && isSize(sizeBytes)) return { path: file, etag, sizeBytes };
  throw new UnavailableError(
    `${access.endpoint} gives no size and hash of ${file}, so it could not be checked; HF_ENDPOINT must be a Hugging Face hub or a mirror that keeps its headers`,
  );
}

interface Sibling {
  rfilename: string;
  size?: number;
  blobId?: string;
  lfs?: { sha256?: string; size?: number } | null;
}

function parseListing(access: HubAccess, text: string): { sha: string; siblings: Sibling[] } {
  try {
    const { sha, siblings } = JSON.parse(text);
    const isListing =
      /^[0-9a-f]{40}$/.test(sha) &&
      Array.isArray(siblings) &&
      siblings.every((sibling) => typeof sibling?.rfilename === 'string');
    if (isListing) return { sha, siblings };
  } catch {
    // reported below
  }
  throw new UnavailableError(
    `${access.endpoint} does not answer as a Hugging Face hub does (no list of files); check HF_ENDPOINT, and that no proxy or login page answers in its place`,
  );
}

function isHash(value: string | undefined): value is string {
  return value !== undefined && /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(value);
}

function isSize(value: number | undefined): value is number {
  return Number.isSafeInteger(value) && value! >= 0;
}

/** Files to fetch along with the weights. Only at the root: other formats and older versions are in subfolders. */
const COMPANIONS = [
  'config.json',
  'generation_config.json',
  'preprocessor_config.json',
  'processor_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.json',
  'vocab.txt',
  'merges.txt',
  'chat_template.jinja',
  'chat_template.json',
  'README.md',
];
const LEGAL = /^(?:LICEN[CS]E|NOTICE)(?:\.(?:md|txt))?$/i;

/** Whether a file at the root of a checkpoint goes with its weights: configs, tokenizer, licence. */
export function isCompanion(name: string): boolean {
  return COMPANIONS.includes(name) || LEGAL.test(name);
}

interface WeightFormat {
  readonly single: string;
  readonly index: string;
  readonly shard: RegExp;
}

/** In the order in which transformers looks for them. Never two formats, since both contain the same weights. */
const FORMATS: readonly WeightFormat[] = [
  {
    single: 'model.safetensors',
    index: 'model.safetensors.index.json',
    shard: /^model-(\d{5})-of-(\d{5})\.safetensors$/,
  },
  {
    single: 'pytorch_model.bin',
    index: 'pytorch_model.bin.index.json',
    shard: /^pytorch_model-(\d{5})-of-(\d{5})\.bin$/,
  },
];

/**
 * The files of a repository that make up the checkpoint, in repository order.
 * @throws InputError naming what is missing from the repository
 */
export function checkpointFiles(id: string, paths: readonly string[]): string[] {
  if (!paths.includes('config.json'))
    throw new InputError(`${id} has no config.json, so it is not a checkpoint`);
  const weights = weightFiles(id, paths);
  if (weights.length === 0) {
    const looked = FORMATS.map(({ single, index }) => `${single}, ${index}`).join(', ');
    const other = paths.filter((path) =>
      /\.(?:h5|msgpack|gguf|onnx|ot|pt|pth|bin|safetensors|ckpt)$/.test(path),
    );
    const held = other.length === 0 ? '' : `; it has ${other.slice(0, 3).join(', ')}`;
    throw new InputError(`${id} has no weights that emoq reads (${looked})${held}`);
  }
  return paths.filter((path) => weights.includes(path) || isCompanion(path));
}

/** True if a snapshot has a config and complete weights; whether other files are missing cannot be known offline. */
export function holdsCheckpoint(paths: readonly string[]): boolean {
  try {
    return checkpointFiles('', paths).length > 0;
  } catch {
    return false;
  }
}

function weightFiles(id: string, paths: readonly string[]): string[] {
  for (const { single, index, shard } of FORMATS) {
    if (paths.includes(single)) return [single];
    if (!paths.includes(index)) continue;
    const shards = paths.filter((path) => shard.test(path));
    // "00004" of model-00001-of-00004.safetensors
    const count = Number(shard.exec(shards[0] ?? '')?.[2]);
    if (shards.length !== count) {
      throw new InputError(
        `${id} has ${shards.length} shards of weights beside ${index}, not ${count || 'any'}`,
      );
    }
    return [index, ...shards];
  }
  return [];
}
