/** @file Names an encoder by the content of its files, hashing each file once for as long as it stays unchanged. */

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
