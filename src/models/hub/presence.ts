/** @file How much of a model the cache holds, whole or not. */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { hubCacheFolder, modelCache, sizeOf } from './cache.js';

/** Bytes of a model's content in the cache, parts on their way included; undefined where the cache does not know it. */
export async function cachedBytes(id: string): Promise<number | undefined> {
  const blobs = join(modelCache(hubCacheFolder(), id).dir, 'blobs');
  const names = await readdir(blobs).catch(() => undefined);
  if (names === undefined) return undefined;
  const sizes = await Promise.all(names.map((name) => sizeOf(join(blobs, name))));
  return sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0);
}
