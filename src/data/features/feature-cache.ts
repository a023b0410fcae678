/**
 * @file The feature cache on disk: `<cacheDir>/<encoder>/<first 2 hex digits>/<audio>.safetensors`. Both names are
 * content hashes, so any change makes new entries. A file contains the tensor `features`, float16 [frames, width], and
 * a CRC-32 of its bytes, which detects truncated or damaged files. Hashes of encoder files are stored in the cache
 * folder.
 */

import { realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { ClipFeatures } from '../../backbones/index.js';
import {
  errorMessage,
  InputError,
  readJson,
  sha256Of,
  sha256OfFile,
  writeJsonAtomic,
} from '../../base/index.js';
import { encodeHalf, readSafetensors, tensor, writeSafetensors } from '../../engine/tensor/index.js';

/** Features of one clip, as stored. */
export interface StoredFeatures {
  readonly frames: number;
  readonly width: number;
  /** float16 words [frames, width], row-major. */
  readonly words: Uint16Array;
}

const TENSOR = 'features';

/** The error if {@link storedFeatures} cannot represent a clip's features. */
export const UNHOLDABLE_FEATURES =
  'the encoder gave values that float16 cannot hold; are its weights intact?';

/** Features in storage form: float16. undefined if a value is not finite or exceeds the range of float16. */
export function storedFeatures({ frames, width, data }: ClipFeatures): StoredFeatures | undefined {
  const words = encodeHalf(data);
  return words.every(isFiniteHalf) ? { frames, width, words } : undefined;
}

/** Whether a float16 word is finite; infinity and NaN have all exponent bits set. */
function isFiniteHalf(word: number): boolean {
  return (word & 0x7c00) !== 0x7c00;
}

/** Reads a feature file. @throws InputError, one line, when it is missing, truncated or damaged */
export async function readFeatures(path: string): Promise<StoredFeatures> {
  const { frames, width, words } = await readFeatureFile(path);
  return { frames, width, words };
}

/** Metadata of the clip of a feature file. */
export interface ClipState {
  /** It was cropped to the maximum length. */
  readonly cropped: boolean;
  /** Kinds of audio notes, as in `AudioNote`. */
  readonly notes: readonly string[];
}

/** Reads a feature file with the clip's metadata. @throws InputError as {@link readFeatures} */
export async function readFeatureFile(path: string): Promise<StoredFeatures & ClipState> {
  const { tensors, metadata } = await readSafetensors(path);
  const features = tensors.get(TENSOR);
  if (features?.dtype !== 'float16' || features.shape.length !== 2) {
    throw damaged(path, `it has no float16 matrix "${TENSOR}"`);
  }
  const [frames, width] = features.shape as [number, number];
  const words = features.data as Uint16Array;
  if (metadata.crc32 !== checksum(words)) throw damaged(path, 'its checksum does not fit its content');
  if (!words.every(isFiniteHalf)) throw damaged(path, 'it holds values that are not numbers');
  if (metadata.cropped !== 'true' && metadata.cropped !== 'false') {
    throw damaged(path, 'it does not say whether its clip was cut');
  }
  const notes = metadata.notes?.split(' ') ?? [];
  return { frames, width, words, cropped: metadata.cropped === 'true', notes };
}

/**
 * Writes a feature file atomically. Equal features give equal bytes, so concurrent writers do no harm.
 * @throws InputError when a value is NaN or exceeds float16 (65,504)
 */
export async function writeFeatureFile(
  path: string,
  clip: ClipFeatures,
  { cropped, notes }: ClipState,
): Promise<void> {
  const stored = storedFeatures(clip);
  if (stored === undefined) throw new InputError(UNHOLDABLE_FEATURES);
  const { words } = stored;
  const features = tensor('float16', [clip.frames, clip.width], words);
  await writeSafetensors(path, [[TENSOR, features]], {
    crc32: checksum(words),
    cropped: String(cropped),
    ...(notes.length > 0 && { notes: notes.join(' ') }),
  });
}

function checksum(words: Uint16Array): string {
  const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  return crc32(bytes).toString(16).padStart(8, '0');
}

function damaged(path: string, why: string): InputError {
  return new InputError(`feature file ${path} is damaged: ${why}; delete it and run the command again`);
}

/** The entries of one encoder. */
export interface FeatureCache {
  /** `<cacheDir>/<encoder key>`. */
  readonly dir: string;
}

/** A valid entry. */
export interface FeatureEntry {
  readonly path: string;
  readonly frames: number;
  readonly width: number;
  /** The clip was longer than `maxAudioSec`. */
  readonly cropped: boolean;
  /** Kinds of audio notes. */
  readonly notes: readonly string[];
}

/** What features depend on besides the encoder's files and the audio; each has entries of its own. */
export interface CacheVariant {
  /** Of the encoder's products. */
  readonly precision?: string;
  /** Which of its layers; '' for the last. */
  readonly selection?: string;
}

/**
 * The cache of the encoder with config and weights `encoderFiles`.
 * @throws InputError when a file cannot be read
 */
export async function openFeatureCache(
  cacheDir: string,
  encoderFiles: readonly string[],
  { precision = 'float32', selection = '' }: CacheVariant = {},
): Promise<FeatureCache> {
  const key = await encoderKey(encoderFiles, cacheDir);
  const variant = [precision === 'float32' ? '' : precision, selection].filter((part) => part !== '');
  return { dir: join(cacheDir, [key, ...variant].join('-')) };
}

/**
 * Path of a clip's features, from the SHA-256 of its audio file, the maximum length, and anything else its samples
 * depend on ('' for nothing).
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

/** The entry at `path` after a check of its whole content; undefined if it is absent, truncated or damaged. */
export async function findEntry(path: string): Promise<FeatureEntry | undefined> {
  try {
    const { frames, width, cropped, notes } = await readFeatureFile(path);
    return { path, frames, width, cropped, notes };
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

/** Part of every key: bump it when the definition of the features changes. */
const FEATURE_VERSION = 'emoq features 1';

/** Files that were hashed before, by absolute path. */
type KnownHashes = Record<string, { size: string; mtimeNs: string; sha256: string }>;

/**
 * Key of the encoder with config and weights `files`: the SHA-256 of their contents in the order given. Hashes are
 * stored in `<cacheDir>/file-hashes.json` by path, size and modification time, since weights can be gigabytes.
 * @throws InputError when a file cannot be read
 */
export async function encoderKey(files: readonly string[], cacheDir: string): Promise<string> {
  return sha256Of([FEATURE_VERSION, ...(await fileHashes('encoder file', files, cacheDir))].join('\n'));
}

/**
 * SHA-256 of files, in order, from `<cacheDir>/file-hashes.json` where size and modification time are as they were.
 * @param what a file is called in messages
 * @throws InputError when a file cannot be read
 */
export async function fileHashes(
  what: string,
  files: readonly string[],
  cacheDir: string,
): Promise<string[]> {
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
      throw new InputError(`${what} ${file} cannot be read: ${errorMessage(error)}`);
    }
  }
  if (changed) await writeJsonAtomic(memoPath, known);
  return hashes;
}

/** The stored hashes; empty if the file is missing or damaged, since it can be recreated. */
async function readKnownHashes(path: string): Promise<KnownHashes> {
  const known = await readJson(path).catch(() => undefined);
  if (typeof known !== 'object' || known === null) return {};
  const entries = Object.entries(known as Record<string, KnownHashes[string] | null>);
  return Object.fromEntries(
    entries.filter(([, entry]) => /^[0-9a-f]{64}$/.test(entry?.sha256 ?? '')),
  ) as KnownHashes;
}
