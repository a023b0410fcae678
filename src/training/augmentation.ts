/**
 * @file The variants of training clips that a recipe asks for: from which recordings they are made, how their features
 * are named, and which of them an epoch reads.
 */

import { stat } from 'node:fs/promises';
import { errorMessage, InputError, sha256Of } from '../base/index.js';
import { type Alter, openSoundLibrary, type SoundLibrary, variantOf } from '../data/audio/index.js';
import { type FeatureItem, fileHashes } from '../data/features/index.js';
import { listRecordings } from '../data/tables/index.js';
import { seededRandom } from '../engine/tensor/index.js';
import type { Recipe } from '../systems/index.js';
import type { EpochBatches } from './batches.js';
import type { RunAugmentation } from './runs/index.js';

type AugmentRecipe = Pick<Recipe, 'augment' | 'seed'>;

/** The variants of a recipe, ready to be made. */
export interface Augmentation {
  readonly copies: number;
  /** Makes variant number `variant`, from 1. */
  readonly variant: (variant: number) => Alter;
  /** What run.json records. */
  readonly metadata: RunAugmentation;
}

/** Seed of what is drawn for the variants. */
export function augmentationSeed({ augment, seed }: AugmentRecipe): number {
  return augment.seed ?? seed;
}

/**
 * The variants of a recipe, with the recordings that they are made from; undefined if it asks for none.
 * @param cacheDir where the hashes of large files are kept
 * @throws InputError for a folder that is missing or has no recordings, and for a recording that cannot be decoded
 */
export async function openAugmentation(
  recipe: AugmentRecipe,
  cacheDir: string,
  signal?: AbortSignal,
): Promise<Augmentation | undefined> {
  const { copies, speed, noise, snr, reverb, gain, ...shares } = recipe.augment;
  if (copies === 0) return undefined;
  const open = (key: string, folder: string): Promise<SoundLibrary> =>
    openRecordings(`augment.${key}`, folder, cacheDir, signal);
  const sounds = noise === null || noise === COLOURED ? null : await open('noise', noise);
  const responses = reverb === null ? null : await open('reverb', reverb);
  const seed = augmentationSeed(recipe);
  const ranges = {
    speed: speed === 1 ? null : speed,
    noise: noise === COLOURED ? COLOURED : sounds,
    noiseProbability: shares.noise_probability,
    snrDb: snr,
    reverb: responses,
    reverbProbability: shares.reverb_probability,
    gainDb: gain,
  };
  return {
    copies,
    variant: (variant) => variantOf(ranges, seed, variant),
    metadata: {
      copies,
      seed,
      ...(sounds !== null && { noise: identityOf(sounds) }),
      ...(responses !== null && { reverb: identityOf(responses) }),
    },
  };
}

/** The noise that is made, not recorded. */
const COLOURED = 'coloured' as const;

/** How many recordings there are, and a checksum over their contents. */
export function identityOf(sounds: SoundLibrary): { readonly recordings: number; readonly sha256: string } {
  return { recordings: sounds.length, sha256: sha256Of(sounds.map(({ sha256 }) => sha256).join('\n')) };
}

/**
 * The recordings of a folder, each decoded in part.
 * @param what the key or option that names the folder
 * @throws InputError for a folder that is missing or has no recordings, and for a recording that cannot be decoded
 */
export async function openRecordings(
  what: string,
  folder: string,
  cacheDir: string,
  signal?: AbortSignal,
): Promise<SoundLibrary> {
  try {
    const paths = await recordingsIn(folder);
    const hashes = await fileHashes('recording', paths, cacheDir);
    return await openSoundLibrary(
      paths.map((path, index) => ({ path, sha256: hashes[index]! })),
      signal,
    );
  } catch (error) {
    throw error instanceof InputError ? new InputError(`${what}: ${error.message}`) : error;
  }
}

/** @throws InputError if there is no such folder, or no recording in it */
export async function recordingsIn(folder: string): Promise<readonly string[]> {
  const entry = await stat(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') throw new InputError(`folder ${folder} does not exist`);
    throw new InputError(`folder ${folder} cannot be read: ${errorMessage(error)}`);
  });
  if (!entry.isDirectory()) throw new InputError(`${folder} is not a folder`);
  const { paths, unread } = await listRecordings([folder]).catch((error: unknown) => {
    if (!(error instanceof InputError)) throw error;
    throw new InputError(`folder ${folder} has no recordings that can be read`);
  });
  if (unread.length > 0) throw new InputError(`${unread[0]} cannot be read`);
  return paths;
}

/** The folders of recordings that a recipe names, by key. */
export function soundFolders({ augment }: Pick<Recipe, 'augment'>): [key: string, folder: string][] {
  const { copies, noise, reverb } = augment;
  if (copies === 0) return [];
  return [
    ...(noise === null || noise === COLOURED ? [] : [['augment.noise', noise] as [string, string]]),
    ...(reverb === null ? [] : [['augment.reverb', reverb] as [string, string]]),
  ];
}

/**
 * Id under which features of a variant are read, also in messages; 0 is the clip itself. The no-break space tells it from
 * ids of a corpus.
 */
function variantId(id: string, variant: number): string {
  return variant === 0 ? id : `${id}\u00a0(variant ${variant})`;
}

/** The variants of clips, as items whose features are asked for. */
export function variantItems(
  augmentation: Augmentation | undefined,
  clips: readonly FeatureItem[],
): FeatureItem[] {
  if (augmentation === undefined) return [];
  return Array.from({ length: augmentation.copies }, (_, copy) => {
    const alter = augmentation.variant(copy + 1);
    return clips.map((clip) => ({ ...clip, id: variantId(clip.id, copy + 1), alter }));
  }).flat();
}

/**
 * All that epochs choose from: the examples, then their first variants, and so on. Index i of variant v is v * examples +
 * i, as in {@link variedBatches}.
 */
export function withVariants<E extends { readonly id: string }>(
  examples: readonly E[],
  copies: number,
): readonly E[] {
  if (copies === 0) return examples;
  return Array.from({ length: copies + 1 }, (_, variant) =>
    examples.map((example) => ({ ...example, id: variantId(example.id, variant) })),
  ).flat();
}

/**
 * Batches in which each example is replaced by itself or one of its variants, all equally likely, drawn from seed, epoch
 * and id.
 */
export function variedBatches(
  batches: EpochBatches,
  ids: readonly string[],
  copies: number,
  seed: number,
): EpochBatches {
  if (copies === 0) return batches;
  return (epoch) => {
    const drawn = ids.map((id) => seededRandom(seed, 'variant', epoch, id).integer(copies + 1));
    return batches(epoch).map((batch) => batch.map((index) => drawn[index]! * ids.length + index));
  };
}

/** The longest that a variant of a clip can become. @param maxSec to which it is cut */
export function longestVariantSec(
  { augment }: Pick<Recipe, 'augment'>,
  durationSec: number,
  maxSec: number,
): number {
  const { speed } = augment;
  const slowest = speed === null || speed === 1 ? 1 : speed[0];
  return Math.min(durationSec / slowest, maxSec);
}
