/**
 * @file The feature cache on disk: `<cacheDir>/<encoder>/<first 2 hex digits>/<audio>.safetensors`, both names being
 * hashes of content, so that whatever changes makes new entries. Hashes of encoder files are kept beside it.
 */

import { realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  errorMessage,
  InputError,
  readJson,
  sha256Of,
  sha256OfFile,
  writeJsonAtomic,
} from '../../base/index.js';
import { readFeatureFile } from './feature-file.js';

/** The entries of one encoder. */
export interface FeatureCache {
  /** `<cacheDir>/<encoder key>`. */
  readonly dir: string;
}

/** One entry that is there and whole. */
export interface FeatureEntry {
  readonly path: string;
  readonly frames: number;
  readonly width: number;
  /** The clip was longer than `maxAudioSec`. */
  readonly cropped: boolean;
  /** Kinds of notes on its sound. */
  readonly notes: readonly string[];
}

/** The cache of the encoder whose config and weights are `encoderFiles`. @throws InputError when one cannot be read */
export async function openFeatureCache(
  cacheDir: string,
  encoderFiles: readonly string[],
): Promise<FeatureCache> {
  return { dir: join(cacheDir, await encoderKey(encoderFiles, cacheDir)) };
}

/**
 * Where the features of a clip lie: by the SHA-256 of its audio file, what it is cut to, and what its samples depend on
 * beside ('' for nothing).
 */
export function entryPathOf(
  { dir }: FeatureCache,
  audioSha256: string,
  maxAudioSec: number,
  decoding = '',
): string {
  const key = sha256Of([audioSha256, maxAudioSec, ...(decoding === '' ? [] : [decoding])].join(' '));
  return join(dir, key.slice(0, 2), `${key}.safetensors`);
}

/** The entry at `path` after a check of its whole content; undefined where it is absent, cut short or damaged. */
export async function findEntry(path: string): Promise<FeatureEntry | undefined> {
  try {
    const { frames, width, cropped, notes } = await readFeatureFile(path);
    return { path, frames, width, cropped, notes };
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

/** Part of every key: a change of what the features of an encoder are makes new entries. */
const FEATURE_VERSION = 'emoq features 1';

/** What a file was when it was hashed, by absolute path. */
type KnownHashes = Record<string, { size: string; mtimeNs: string; sha256: string }>;

/**
 * Key of the encoder whose config and weights are `files`: the SHA-256 of their contents in the order given. Hashes
 * are remembered in `<cacheDir>/file-hashes.json` by path, size and modification time, since weights can be gigabytes.
 * @throws InputError when a file cannot be read
 */
export async function encoderKey(files: readonly string[], cacheDir: string): Promise<string> {
  const memoPath = join(cacheDir, 'file-hashes.json');
  const known = await readKnownHashes(memoPath);
  let changed = false;
  const hashes: string[] = [];
  for (const file of files) {
    try {
      const path = await realpath(file);
      const { size, mtimeNs } = await stat(path, { bigint: true });
      const now = { size: String(size), mtimeNs: String(mtimeNs) };
      const before = known[path];
      if (before === undefined || before.size !== now.size || before.mtimeNs !== now.mtimeNs) {
        known[path] = { ...now, sha256: await sha256OfFile(path) };
        changed = true;
      }
      hashes.push(known[path]!.sha256);
    } catch (error) {
      throw new InputError(`encoder file ${file} cannot be read: ${errorMessage(error)}`);
    }
  }
  if (changed) await writeJsonAtomic(memoPath, known);
  return sha256Of([FEATURE_VERSION, ...hashes].join('\n'));
}

/** The remembered hashes; none where the file is missing or damaged, for it can be made again. */
async function readKnownHashes(path: string): Promise<KnownHashes> {
  const known = await readJson(path).catch(() => undefined);
  if (typeof known !== 'object' || known === null) return {};
  const entries = Object.entries(known as Record<string, KnownHashes[string] | null>);
  return Object.fromEntries(
    entries.filter(([, entry]) => /^[0-9a-f]{64}$/.test(entry?.sha256 ?? '')),
  ) as KnownHashes;
}
