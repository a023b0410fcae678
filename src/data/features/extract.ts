/**
 * @file Fills the feature cache: hashes and looks up clips, decodes those that are missing, encodes them in batches
 * without affecting the result, and writes the entries.
 */

import type { ClipFeatures } from '../../backbones/index.js';
import { defaultJobs, InputError, InterruptedError, mapConcurrently } from '../../base/index.js';
import {
  type Alter,
  type Alteration,
  clipContents,
  type DecodedAudio,
  SAMPLE_RATE_HZ,
} from '../audio/index.js';
import {
  type ClipState,
  entryPathOf,
  type FeatureCache,
  type FeatureEntry,
  findEntry,
  writeFeatureFile,
} from './feature-cache.js';

/** Padded audio per batch: at 50 frames a second 1,000 rows, enough for efficient matrix products. */
export const BATCH_SEC = 20;

export interface BatchLimits {
  /** Length to which the encoder pads a clip. */
  readonly paddedSamples: (samples: number) => number;
  /** Maximum number of padded samples per batch; a longer clip is a batch of its own. */
  readonly batchSamples: number;
}

/**
 * Batches of clips with equal padded length, longest first. Such a batch has no more padding than its clips would have
 * alone, and each clip is computed in the shape that it would have alone.
 */
export function batchesByLength<T extends { readonly samples: Float32Array }>(
  clips: readonly T[],
  { paddedSamples, batchSamples }: BatchLimits,
): T[][] {
  const byLength = new Map<number, T[]>();
  for (const clip of clips) {
    const length = paddedSamples(clip.samples.length);
    const others = byLength.get(length);
    if (others === undefined) byLength.set(length, [clip]);
    else others.push(clip);
  }
  return [...byLength]
    .sort(([a], [b]) => b - a)
    .flatMap(([length, group]) => {
      const size = Math.max(1, Math.floor(batchSamples / length));
      return Array.from({ length: Math.ceil(group.length / size) }, (_, batch) =>
        group.slice(batch * size, (batch + 1) * size),
      );
    });
}

/** A clip to extract features from. */
export interface FeatureItem {
  readonly id: string;
  /** The audio file. */
  readonly path: string;
  /** If known, groups clips of similar length into batches. Does not affect the result. */
  readonly durationSec?: number;
  /** Changes the clip before it is encoded; its features have an entry of their own. */
  readonly alter?: Alter;
}

export interface FeatureProgress {
  /** `check` looks the clips up in the cache, `encode` makes those that are missing. */
  readonly stage: 'check' | 'encode';
  readonly done: number;
  readonly total: number;
}

export interface ExtractOptions {
  readonly cache: FeatureCache;
  readonly items: readonly FeatureItem[];
  /** The beginning of a file, and whether there is more. */
  readonly decode: (
    path: string,
    maxDurationSec: number,
  ) => Promise<Pick<DecodedAudio, 'samples' | 'isCut' | 'notes'>>;
  /** What a file's samples depend on besides its bytes; nothing by default. */
  readonly decodingKey?: (path: string) => Promise<string>;
  /** Features of several clips, in order. Called for up to `lanes` batches at a time. */
  readonly encode: (waveforms: readonly Float32Array[]) => Promise<readonly ClipFeatures[]>;
  /** Length to which the encoder pads a clip: only clips with equal lengths share a batch. */
  readonly paddedSamples: (samples: number) => number;
  /** Longer clips are cropped to this length. */
  readonly maxAudioSec: number;
  /** Maximum padded audio per batch. */
  readonly batchSec?: number;
  /** Number of batches encoded at a time, such as one per device. Default: 1. */
  readonly lanes?: number;
  readonly onProgress?: (progress: FeatureProgress) => void;
  readonly signal?: AbortSignal;
}

export interface Extraction {
  /** Entries by item id. */
  readonly entries: ReadonlyMap<string, FeatureEntry>;
  /** Clips found in the cache, and those encoded now (identical audio counts once). */
  readonly cached: number;
  readonly encoded: number;
  /** Items, without altered ones, whose clip was cropped to `maxAudioSec`. */
  readonly cropped: number;
  /** Of items that are not altered. */
  readonly notes: readonly FeatureNote[];
}

/** A kind of audio note on an item. */
export interface FeatureNote {
  readonly id: string;
  readonly kind: string;
}

/** Two windows per lane are in memory: one being encoded, and the next being decoded. */
const WINDOW_CLIPS = 64;

/**
 * Ensures that every item has its features in the cache. Missing, truncated or damaged entries are made; finished ones
 * survive a kill. Neither the order of the items nor the rest of a batch changes an entry's bytes, provided that the
 * encoder guarantees this for clips of equal padded length (HuBERT does on the CPU; on CUDA a last bit may differ).
 * @throws InputError for a file that cannot be read or decoded
 * @throws InterruptedError when `signal` is aborted, after the current batch
 */
export async function extractFeatures(options: ExtractOptions): Promise<Extraction> {
  const { items, signal } = options;
  const entries = new Map<string, FeatureEntry>(); // by entry path
  let missing = 0;
  try {
    const checked = await checkItems(options, entries);
    const paths = checked.map(({ entryPath }) => entryPath);
    const wanted = new Map(checked.map((item) => [item.entryPath, item]));
    const todo = [...wanted.values()].filter(({ entryPath }) => !entries.has(entryPath));
    missing = todo.length;
    await encodeMissing(options, todo, entries);
    const byId = new Map(items.map(({ id }, index) => [id, entries.get(paths[index]!)!]));
    const own = items.filter(({ alter }) => alter === undefined);
    const cropped = own.filter(({ id }) => byId.get(id)!.cropped).length;
    const notes = own.flatMap(({ id }) => byId.get(id)!.notes.map((kind) => ({ id, kind })));
    return { entries: byId, cached: wanted.size - missing, encoded: missing, cropped, notes };
  } catch (error) {
    if (signal?.aborted !== true) throw error;
    throw new InterruptedError(
      `interrupted with the features of ${entries.size} clips in ${options.cache.dir}; run the same command again to go on`,
    );
  }
}

/** What decides which entry of the cache an item has. */
type LookUp = Pick<
  ExtractOptions,
  'cache' | 'items' | 'maxAudioSec' | 'decodingKey' | 'onProgress' | 'signal'
>;

/**
 * The entries of items that are all in the cache; nothing is made.
 * @returns by item id; undefined if one is missing or damaged
 * @throws InputError for a file that cannot be read
 */
export async function findFeatures(options: LookUp): Promise<ReadonlyMap<string, FeatureEntry> | undefined> {
  const entries = new Map<string, FeatureEntry>(); // by entry path
  const checked = await checkItems(options, entries);
  if (checked.some(({ entryPath }) => !entries.has(entryPath))) return undefined;
  return new Map(checked.map(({ id, entryPath }) => [id, entries.get(entryPath)!]));
}

/** Finds each item's entry path, and the valid entries that already exist. */
async function checkItems(options: LookUp, entries: Map<string, FeatureEntry>): Promise<MissingItem[]> {
  const { cache, items, maxAudioSec, decodingKey, onProgress, signal } = options;
  const contentOf = clipContents();
  let done = 0;
  return mapConcurrently(
    items,
    defaultJobs() * 2, // half of the time is spent waiting for the disk
    async (item) => {
      const { id, path, alter } = item;
      const content = await contentOf({ id, path });
      const alteration = await alter?.(content);
      const samplesKey = [await decodingKey?.(path), alteration?.key].filter(Boolean).join('\n');
      const entryPath = entryPathOf(cache, content, maxAudioSec, samplesKey);
      const entry = await findEntry(entryPath);
      if (entry !== undefined) entries.set(entryPath, entry);
      done++;
      onProgress?.({ stage: 'check', done, total: items.length });
      return { ...item, entryPath, ...(alteration && { alteration }) };
    },
    signal,
  );
}

interface MissingItem extends FeatureItem {
  readonly entryPath: string;
  readonly alteration?: Alteration;
}

interface DecodedItem extends MissingItem, ClipState {
  readonly samples: Float32Array;
}

/** Encodes window by window while decoding the next one; adds each entry once it is on disk. */
async function encodeMissing(
  options: ExtractOptions,
  missing: readonly MissingItem[],
  entries: Map<string, FeatureEntry>,
): Promise<void> {
  const { paddedSamples, batchSec = BATCH_SEC, lanes = 1, onProgress, signal } = options;
  const windowClips = WINDOW_CLIPS * lanes;
  const limits = { paddedSamples, batchSamples: batchSec * SAMPLE_RATE_HZ };
  const sorted = missing.toSorted((a, b) => (b.durationSec ?? 0) - (a.durationSec ?? 0));
  const stop = new AbortController();
  const stopped = signal === undefined ? stop.signal : AbortSignal.any([stop.signal, signal]);
  const decodeFrom = (start: number): Promise<DecodedItem[]> => {
    const window = sorted.slice(start, start + windowClips);
    const decoded = mapConcurrently(window, defaultJobs(), (item) => decodeItem(item, options), stopped);
    decoded.catch(() => {}); // a failure is handled when it is the window's turn
    return decoded;
  };
  let done = 0;
  let ahead = decodeFrom(0);
  try {
    for (let start = 0; start < sorted.length; start += windowClips) {
      const clips = await ahead;
      ahead = decodeFrom(start + windowClips);
      await mapConcurrently(
        batchesByLength(clips, limits),
        lanes,
        async (batch) => {
          await encodeBatch(options, batch, entries);
          done += batch.length;
          onProgress?.({ stage: 'encode', done, total: sorted.length });
        },
        signal,
      );
    }
  } finally {
    stop.abort();
    await ahead.catch(() => {}); // stop decoding after a failure
  }
}

async function encodeBatch(
  { encode }: ExtractOptions,
  batch: readonly DecodedItem[],
  entries: Map<string, FeatureEntry>,
): Promise<void> {
  const encoded = await encode(batch.map(({ samples }) => samples));
  await Promise.all(
    batch.map(async ({ id, entryPath, cropped, notes }, row) => {
      const clip = encoded[row]!;
      await writeFeatureFile(entryPath, clip, { cropped, notes }).catch((error: unknown) => {
        throw error instanceof InputError ? new InputError(`utterance "${id}": ${error.message}`) : error;
      });
      entries.set(entryPath, { path: entryPath, frames: clip.frames, width: clip.width, cropped, notes });
    }),
  );
}

async function decodeItem(
  item: MissingItem,
  { decode, maxAudioSec, signal }: ExtractOptions,
): Promise<DecodedItem> {
  const { alteration } = item;
  const { samples, isCut, notes } = await decode(item.path, maxAudioSec * (alteration?.speed ?? 1));
  const mostSamples = Math.max(1, Math.round(maxAudioSec * SAMPLE_RATE_HZ));
  return {
    ...item,
    samples: alteration === undefined ? samples : await alteration.apply(samples, mostSamples, signal),
    cropped: isCut,
    notes: notes.map(({ kind }) => kind),
  };
}
