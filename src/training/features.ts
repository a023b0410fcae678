/** @file HuBERT features of utterances: from the cache, encoded now where it lacks them. */

import type { SpeechEncoder } from '../backbones/index.js';
import { countByKind, decodeAudio, decodingKey } from '../data/audio/index.js';
import {
  extractFeatures,
  type FeatureProgress,
  openFeatureCache,
  readFeatures,
} from '../data/features/index.js';
import type { Device } from '../engine/runtime/index.js';
import type { Recipe } from '../systems/index.js';
import { encoderOf, type FeatureSource, type ModelUtterance } from '../systems/index.js';

/** Where and with what a command computes. */
export interface ComputeOptions {
  readonly device: Device;
  /** Threads inside one operator; absent: one for each physical core. */
  readonly threads?: number;
  /** Root of the feature cache. */
  readonly cacheDir: string;
  /** Told when the input has passed its checks and computing begins; may be told again. */
  readonly onBegin?: () => void;
  readonly onFeatures?: (progress: FeatureProgress) => void;
  /** Told what is to be known of the sound of the clips, in one line, where there is something. */
  readonly onAudioNotes?: (text: string) => void;
  /** Told what the user should know of a run, or of backbones that are opened. */
  readonly onNote?: (text: string) => void;
  readonly onWarning?: (text: string) => void;
  readonly stop?: AbortSignal;
}

/** StoredFeatures of all the utterances that were asked for. */
export interface ExtractedFeatures extends FeatureSource {
  /** How many of the utterances are longer than the recipe's `max_audio_sec`, and cut to it. */
  readonly cropped: number;
}

/** No features at all, for experiments without audio. */
const NO_FEATURES: ExtractedFeatures = {
  cropped: 0,
  frames: () => 0,
  read: async ({ id }) => {
    throw new Error(`no features were asked for, so ${id} has none`);
  },
};

/**
 * Makes sure that the cache holds the features of all utterances. The encoder is loaded only when one is missing.
 * @throws InputError for audio that cannot be read, naming it
 */
export async function openFeatures(
  recipe: Recipe,
  utterances: readonly (Pick<ModelUtterance, 'id' | 'path'> & { readonly durationSec?: number })[],
  compute: ComputeOptions,
): Promise<ExtractedFeatures> {
  if (utterances.length === 0) return NO_FEATURES;
  const source = await encoderOf(recipe);
  const cache = await openFeatureCache(compute.cacheDir, source.files);
  const { device, threads, onFeatures, stop } = compute;
  if (source.warning !== undefined) compute.onWarning?.(source.warning);
  let encoder: Promise<SpeechEncoder> | undefined;
  try {
    const { entries, cropped, notes } = await extractFeatures({
      cache,
      items: utterances,
      decode: (path, maxDurationSec) => decodeAudio(path, { maxDurationSec }),
      decodingKey,
      encode: async (waveforms) => {
        encoder ??= source.open({ device, threads });
        return (await encoder).encode(waveforms);
      },
      paddedSamples: source.paddedSamples,
      maxAudioSec: recipe.max_audio_sec,
      ...(onFeatures && { onProgress: onFeatures }),
      ...(stop && { signal: stop }),
    });
    const counts = countByKind(notes.map(({ id, kind }) => ({ kind, name: id })));
    if (counts !== '') compute.onAudioNotes?.(`audio of ${entries.size} clips: ${counts}`);
    return {
      cropped,
      frames: (id) => entries.get(id)!.frames,
      read: ({ id }) => readFeatures(entries.get(id)!.path),
    };
  } finally {
    await encoder?.then((open) => open.close()).catch(() => undefined);
  }
}
