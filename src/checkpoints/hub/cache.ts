/**
 * @file The Hugging Face cache on disk; the only module that knows its layout. The layout is that of the
 * huggingface_hub library: `models--owner--name/{blobs/<etag>, refs/<revision>, snapshots/<commit>/<file>}`, where
 * snapshot files are relative links to the blobs, and `.locks` next to the models.
 */

import { mkdir, readdir, readFile, readlink, rm, stat, symlink } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { InputError, pathExists, writeFileAtomic } from '../../base/index.js';

/** Hugging Face's home folder, with token and cache. */
export function hubHome(): string {
  const { HF_HOME, XDG_CACHE_HOME } = process.env;
  if (HF_HOME) return expand(HF_HOME);
  return join(XDG_CACHE_HOME ? expand(XDG_CACHE_HOME) : join(homedir(), '.cache'), 'huggingface');
}

/** The cache folder, by the rules of the huggingface_hub library. */
export function hubCacheFolder(): string {
  const cache = process.env.HF_HUB_CACHE || process.env.HUGGINGFACE_HUB_CACHE;
  return cache ? expand(cache) : join(hubHome(), 'hub');
}

/** Paths of one model in the cache. */
export interface ModelCache {
  readonly dir: string;
  readonly snapshots: string;
  /** A file's content, by its etag on the hub: the SHA-256 of a large file, the git hash of a small one. */
  blob(etag: string): string;
  /** A partial download. The name is used only by emoq: no other tool writes to it or mistakes it for its own. */
  partial(etag: string): string;
  ref(revision: string): string;
  snapshot(commit: string): string;
  readonly lock: string;
}

export function modelCache(cacheFolder: string, id: string): ModelCache {
  const name = `models--${id.replaceAll('/', '--')}`;
  const dir = join(cacheFolder, name);
  return {
    dir,
    snapshots: join(dir, 'snapshots'),
    blob: (etag) => join(dir, 'blobs', etag),
    partial: (etag) => join(dir, 'blobs', `${etag}.emoq.incomplete`),
    ref: (revision) => join(dir, 'refs', revision),
    snapshot: (commit) => join(dir, 'snapshots', commit),
    lock: join(cacheFolder, '.locks', name, 'emoq-pull.lock'),
  };
}

/** The commit that a revision pointed to when it was last fetched. */
export async function readRef(model: ModelCache, revision: string): Promise<string | undefined> {
  const text = await readFile(model.ref(revision), 'utf8').catch(() => '');
  return text.trim() || undefined;
}

/** Stores the commit of a branch or tag; a commit needs no ref. */
export async function writeRef(model: ModelCache, revision: string, commit: string): Promise<void> {
  if (revision === commit || (await readRef(model, revision)) === commit) return;
  await writeFileAtomic(model.ref(revision), commit);
}

/** Creates a snapshot file: a relative link to its blob. */
export async function linkSnapshotFile(
  model: ModelCache,
  commit: string,
  file: { readonly path: string; readonly etag: string },
): Promise<void> {
  const path = join(model.snapshot(commit), file.path);
  const target = relative(dirname(path), model.blob(file.etag));
  if ((await readlink(path).catch(() => undefined)) === target) return;
  await mkdir(dirname(path), { recursive: true });
  await rm(path, { force: true });
  await symlink(target, path);
}

/** Deletes partial downloads of content that is complete by now because another tool fetched it. */
export async function removeObsoleteParts(model: ModelCache): Promise<void> {
  const ending = '.emoq.incomplete';
  const folder = dirname(model.blob('x'));
  const names = new Set(await readdir(folder).catch(() => []));
  for (const name of names) {
    if (!name.endsWith(ending) || !names.has(name.slice(0, -ending.length))) continue;
    await rm(join(folder, name), { force: true });
  }
}

/** Size of a file in bytes, following links; undefined if there is none. */
export async function sizeOf(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found?.isFile() ? found.size : undefined;
}

/** Tags the cache folder for backup tools, as huggingface_hub does (https://bford.info/cachedir). */
export async function tagCache(cacheFolder: string): Promise<void> {
  const path = join(cacheFolder, 'CACHEDIR.TAG');
  if (await pathExists(path)) return;
  await writeFileAtomic(
    path,
    'Signature: 8a477f597d28d172789f06886806bc55\n# This folder is a cache of models from the Hugging Face hub.\n',
  );
}

/**
 * The snapshot to use for a model: that of refs/main, or else the only one. undefined if the model is not in the cache.
 * @throws InputError when it is in the cache but the choice is not clear
 */
export async function findSnapshot(id: string): Promise<string | undefined> {
  const model = modelCache(hubCacheFolder(), id);
  const commits = await readdir(model.snapshots).catch(() => undefined);
  if (!commits) return undefined;
  const main = await readRef(model, 'main');
  const commit = main ?? (commits.length === 1 ? commits[0] : undefined);
  const again = `fetch it again with emoq pull ${id}, or give a path`;
  if (commit === undefined) {
    const what = `${model.dir} has ${commits.length} snapshots and no refs/main`;
    throw new InputError(`checkpoint "${id}": ${what}; give the path of one of them`);
  }
  if (!commits.includes(commit)) {
    throw new InputError(
      `checkpoint "${id}": ${model.dir} has no snapshot of revision "${commit}"; ${again}`,
    );
  }
  return model.snapshot(commit);
}

/** The model and commit that a folder is a snapshot of; undefined if it is not a snapshot. */
export function snapshotOf(dir: string): { readonly id: string; readonly commit: string } | undefined {
  const found = /(?:^|[/\\])models--([^/\\]+)[/\\]snapshots[/\\]([^/\\]+)$/.exec(dir);
  return found === null ? undefined : { id: found[1]!.replace('--', '/'), commit: found[2]! };
}

/** Expands `~` and `$NAME` as huggingface_hub does. */
function expand(path: string): string {
  const named = path.replace(/\$(?:(\w+)|\{(\w+)\})/g, (all, bare?: string, braced?: string) => {
    return process.env[bare ?? braced ?? ''] ?? all;
  });
  return resolve(named.replace(/^~(?=\/|$)/, homedir()));
}

/** Bytes of a model's content in the cache, partial downloads included; undefined if the model is not in the cache. */
export async function cachedBytes(id: string): Promise<number | undefined> {
  const blobs = join(modelCache(hubCacheFolder(), id).dir, 'blobs');
  const names = await readdir(blobs).catch(() => undefined);
  if (names === undefined) return undefined;
  const sizes = await Promise.all(names.map((name) => sizeOf(join(blobs, name))));
  return sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0);
}
