/**
 * @file One utterance's features on disk: a safetensors file with the tensor `features`, float16 [frames, width], and
 * a CRC-32 of its bytes, so that a cut or damaged file is noticed.
 */

import { crc32 } from 'node:zlib';
import type { ClipFeatures } from '../../backbones/index.js';
import { InputError } from '../../base/index.js';
import { encodeHalf, readSafetensors, tensor, writeSafetensors } from '../../engine/tensor/index.js';

/** Features of one clip, as they are kept. */
export interface StoredFeatures {
  readonly frames: number;
  readonly width: number;
  /** float16 words [frames, width], row-major. */
  readonly words: Uint16Array;
}

const TENSOR = 'features';

/** What is wrong with a clip that {@link storedFeatures} has nothing of. */
export const UNHOLDABLE_FEATURES = 'the encoder gave values that float16 cannot hold; are its weights whole?';

/** Features as they are kept: in float16. undefined where a value is no number, or beyond what float16 holds. */
export function storedFeatures({ frames, width, data }: ClipFeatures): StoredFeatures | undefined {
  const words = encodeHalf(data);
  return words.every(isFiniteHalf) ? { frames, width, words } : undefined;
}

/** Whether a float16 word is neither infinite nor NaN, whose exponent bits are all ones. */
function isFiniteHalf(word: number): boolean {
  return (word & 0x7c00) !== 0x7c00;
}

/** Reads a feature file. @throws InputError, one line, when it is missing, cut short or damaged. */
export async function readFeatures(path: string): Promise<StoredFeatures> {
  const { frames, width, words } = await readFeatureFile(path);
  return { frames, width, words };
}

/** What is known of the clip of a feature file. */
export interface ClipState {
  /** It was cut to the longest that is encoded. */
  readonly cropped: boolean;
  /** Kinds of notes on its sound, as `AudioNote` has them. */
  readonly notes: readonly string[];
}

/** A feature file with what is known of its clip. @throws InputError as {@link readFeatures}. */
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
 * Writes a feature file atomically. Equal features give equal bytes, so it does not matter which of two processes
 * comes last.
 * @throws InputError when a value is no number or beyond float16 (65,504)
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
