/** @file The speech encoder that a recipe's features come from: its width, its identity, and what is unusual about it. */

import {
  type EncoderSource,
  encoderFamilyOf,
  encoderKeys,
  encoderWidth,
  findSpeechEncoder,
  parseEncoderConfig,
  publishedConfigs,
  readEncoderConfig,
} from '../backbones/index.js';
import {
  checkpointIdentity,
  filesIdentity,
  findCheckpointFolder,
  type ModelIdentity,
  openCheckpoint,
  unreadWeights,
} from '../checkpoints/index.js';
import type { StoredFeatures } from '../data/features/index.js';
import { decodeHalf, encodeHalf, seededRandom } from '../engine/tensor/index.js';
import type { AudioStatistics } from '../nn/index.js';
import type { Recipe } from './settings.js';
import type { Example, FeatureSource } from './system.js';

type EncoderRecipe = Pick<Recipe, 'backbones'>;

/** The speech encoder of a recipe. @throws InputError when it is missing or broken */
export function encoderOf({ backbones }: EncoderRecipe): Promise<EncoderSource> {
  return findSpeechEncoder(backbones.encoder, backbones.encoder_onnx);
}

/** What is known of an encoder before it is opened. */
export interface EncoderDescription {
  /** Channels of a frame, d_a. */
  readonly width: number;
  /** What is to know of it, in words. */
  readonly warning: string | undefined;
}

/**
 * The width of a recipe's features. A checkpoint that is not here is described as published where `mayBeAbsent`; an
 * exported encoder is here or the recipe is wrong.
 */
export async function describeEncoder(
  { backbones }: EncoderRecipe,
  { mayBeAbsent }: { readonly mayBeAbsent: boolean },
): Promise<EncoderDescription> {
  const { encoder, encoder_onnx: onnx } = backbones;
  if (!mayBeAbsent || onnx !== null || encoder === null) return encoderWidth(encoder, onnx);
  const config = await configOrPublished(encoder, readEncoderConfig, (raw, path) =>
    parseEncoderConfig(raw, path),
  );
  return { width: config.hiddenSize, warning: undefined };
}

/** The config of a checkpoint; as published where it is not here. One that is here and broken is told of. */
export async function configOrPublished<T>(
  name: string,
  read: (name: string) => Promise<T>,
  parse: (raw: Readonly<Record<string, unknown>>, path: string) => T,
): Promise<T> {
  const published = publishedConfigs[name];
  const isPresent = await findCheckpointFolder(name).then(
    () => true,
    () => false,
  );
  return isPresent || published === undefined ? read(name) : parse(published, `${name} (as published)`);
}

/** Reads what identifies the encoder, and looks for weights that it leaves unread. @throws InputError when it is broken */
export async function inspectEncoder(
  recipe: EncoderRecipe,
): Promise<{ readonly identity: ModelIdentity; readonly warning: string | undefined }> {
  const { encoder, encoder_onnx } = recipe.backbones;
  const { files, config } = await encoderOf(recipe);
  if (encoder_onnx !== null) {
    const graph = files.filter((file) => !file.endsWith('.json')); // configs are held by what is read of them
    return { identity: await filesIdentity(graph, config), warning: undefined };
  }
  const checkpoint = await openCheckpoint(encoder!);
  const identity = await checkpointIdentity(checkpoint, config);
  return {
    identity,
    warning: unreadWeights(checkpoint, encoderFamilyOf(checkpoint), encoderKeys(checkpoint)),
  };
}

/** Training utterances that the channel statistics are taken from: enough for two digits, little to read. */
const STATISTICS_UTTERANCES = 256;

/**
 * Mean and deviation of each feature channel over training utterances that the seed draws, as the model reads them. The
 * first ones of a manifest would be those of one session or speaker.
 */
export async function audioStatistics(
  examples: readonly Example[],
  features: FeatureSource,
  width: number,
  seed: number,
): Promise<AudioStatistics> {
  const sum = new Float64Array(width);
  const squares = new Float64Array(width);
  let frames = 0;
  for (const index of drawn(examples.length, STATISTICS_UTTERANCES, seed, 'audio statistics')) {
    const { words } = await features.read(examples[index]!);
    const values = decodeHalf(words);
    values.forEach((value, index) => {
      sum[index % width]! += value;
      squares[index % width]! += value * value;
    });
    frames += values.length / width;
  }
  const mean = Float32Array.from(sum, (total) => total / frames);
  const deviation = Float32Array.from(squares, (total, channel) =>
    Math.sqrt(Math.max(total / frames - mean[channel]! ** 2, 0)),
  );
  return { mean, deviation };
}

/** So many of `count` places, drawn by the seed, in order; all where there are no more. */
export function drawn(count: number, most: number, seed: number, what: string): number[] {
  const places = [...Array(count).keys()];
  if (count <= most) return places;
  return seededRandom(seed, what)
    .shuffle(places)
    .slice(0, most)
    .sort((a, b) => a - b);
}

/**
 * The same utterances at `most` frames or fewer. A longer clip is cut into `most` parts that differ by one frame at the
 * most in length, and each part becomes its mean; other clips stay as they are.
 */
export function pooledFeatures(features: FeatureSource, most: number): FeatureSource {
  return {
    frames: (id) => Math.min(features.frames(id), most),
    read: async (utterance) => pooled(await features.read(utterance), most),
  };
}

/** [frames, width] -> [min(frames, most), width], part p the mean of frames floor(p F / most) to floor((p + 1) F / most). */
function pooled({ words, frames, width }: StoredFeatures, most: number): StoredFeatures {
  if (frames <= most) return { words, frames, width };
  const values = decodeHalf(words);
  const means = new Float32Array(most * width);
  for (let part = 0; part < most; part++) {
    const start = Math.floor((part * frames) / most);
    const end = Math.floor(((part + 1) * frames) / most);
    for (let frame = start; frame < end; frame++) {
      for (let channel = 0; channel < width; channel++) {
        means[part * width + channel]! += values[frame * width + channel]! / (end - start);
      }
    }
  }
  return { words: encodeHalf(means), frames: most, width };
}
