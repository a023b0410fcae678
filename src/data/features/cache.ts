/**
 * @file The feature cache on disk: `<cacheDir>/<encoder>/<first 2 hex digits>/<audio>.safetensors`, both names being
 * hashes of content, so that whatever changes makes new entries.
 */

import { join } from 'node:path';
import { InputError, sha256Of } from '../../base/index.js';
import { encoderKey } from './encoder-key.js';
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
