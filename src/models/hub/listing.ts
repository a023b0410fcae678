/** @file What the hub says of a model at a revision: the commit, and the files with their sizes and hashes. */

import { UnavailableError } from '../../base/index.js';
import type { HubAccess } from './access.js';
import { answerError } from './failures.js';
import type { ModelRequest } from './published-models.js';
import { requestHub, textOf } from './request.js';

/** A file of a repository at a commit. */
export interface HubFile {
  /** Its name in the repository. */
  readonly path: string;
  /** SHA-256 of a large (LFS) file, git's hash of a small one: both say what the content must be. */
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

/** Some hundred bytes for each file: what a repository of a hundred thousand files takes. */
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

/** Size and hash by the headers of the file itself. */
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
    // said below
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
