/** @file The speech encoder of a recipe: its width, its identity, and warnings about it. */

import {
  cachedBelow,
  chosenLayers,
  ctcVocabularySize,
  type EncoderSource,
  encoderFamilyOf,
  encoderKeys,
  encoderWidth,
  findSpeechEncoder,
  heldLayers,
  type LayerSelection,
  parseEncoderConfig,
  parseTrainableEncoder,
  publishedConfigs,
  readTrainableEncoder,
  type TrainableEncoder,
  trainedFrom,
  widthOf,
} from '../backbones/index.js';
import { InputError } from '../base/index.js';
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
import type { EncoderReading } from './encoder-layers.js';
import type { Recipe } from './settings.js';
import type { Example, FeatureSource } from './system.js';

/** The keys that determine the features. */
type EncoderRecipe = Pick<Recipe, 'backbones' | 'encoder'>;

/**
 * The speech encoder of a recipe, which gives the features that are cached.
 * @throws InputError when it is missing or broken, or does not have the layers that are read or trained
 */
export async function encoderOf(recipe: EncoderRecipe): Promise<EncoderSource> {
  const { encoder, encoder_onnx } = recipe.backbones;
  return findSpeechEncoder(encoder, encoder_onnx, await cachedLayers(recipe));
}

/**
 * Which hidden states are cached: those that are read, or with trained layers those below them.
 * @throws InputError as {@link encoderOf}
 */
export async function cachedLayers({ backbones, encoder: layers }: EncoderRecipe): Promise<LayerSelection> {
  if (layers.train === 'frozen') return layers;
  const { config } = await readTrainableEncoder(trainableName(backbones));
  return cachedBelow(layers, trainedFrom(layers.train, layers, config)!, config);
}

/** The checkpoint whose layers are trained. @throws InputError if there is none */
function trainableName({ encoder, encoder_onnx: onnx }: EncoderRecipe['backbones']): string {
  if (encoder !== null && onnx === null) return encoder;
  throw new InputError(
    'an exported encoder (backbones.encoder_onnx) cannot be trained; name its checkpoint in backbones.encoder, or set encoder.train to frozen',
  );
}

/**
 * The width d_a of the hidden states of a recipe's encoder, how many of them a frame of its features holds, and the
 * layers that are trained. If `mayBeAbsent`, a missing checkpoint is described by its published config; an exported
 * encoder must always be present.
 * @throws InputError as {@link encoderOf}
 */
export async function describeEncoder(
  { backbones, encoder: layers }: EncoderRecipe,
  { mayBeAbsent }: { readonly mayBeAbsent: boolean },
): Promise<EncoderReading> {
  const { encoder, encoder_onnx: onnx } = backbones;
  const { logits = false }: LayerSelection = layers;
  if (layers.train !== 'frozen') {
    const name = trainableName(backbones);
    const trainable = mayBeAbsent
      ? await configOrPublished(name, readTrainableEncoder, (raw, path) => parseTrainableEncoder(raw, path))
      : await readTrainableEncoder(name);
    return trainedReading(layers, trainable);
  }
  const width =
    !mayBeAbsent || onnx !== null || encoder === null
      ? await encoderWidth(encoder, onnx, layers)
      : await configOrPublished(
          encoder,
          (name) => encoderWidth(name, null, layers),
          (raw, path) =>
            widthOf(parseEncoderConfig(raw, path), layers, logits ? ctcVocabularySize(raw, path) : 0),
        );
  return { ...width, heldUntrained: width.held, symbols: width.vocabulary };
}

/** What is read of an encoder whose upper layers are trained. */
function trainedReading(settings: Recipe['encoder'], trainable: TrainableEncoder): EncoderReading {
  const { config, layers, symbols } = trainable;
  const { logits = false }: LayerSelection = settings;
  const from = trainedFrom(settings.train, settings, config)!;
  const chosen = chosenLayers(settings, config);
  const below = chosen.filter((layer) => layer < from).length;
  const read = chosen.slice(below);
  return {
    width: config.hiddenSize,
    held: below + 1,
    vocabulary: 0,
    heldUntrained: heldLayers(settings, chosen.length),
    symbols: logits ? symbols : 0,
    warning: undefined,
    upper: {
      ...{ from, below, read, layers },
      to: logits ? config.numHiddenLayers : read.at(-1)!,
      ...(logits && { logits: trainable.logits }),
    },
  };
}

/** The config of a checkpoint, or the published one if it is missing. Throws if the local one is broken. */
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

/**
 * Reads what identifies the encoder, and checks for weights that it does not use. @throws InputError when it is broken
 */
export async function inspectEncoder(
  recipe: EncoderRecipe,
): Promise<{ readonly identity: ModelIdentity; readonly warning: string | undefined }> {
  const { encoder, encoder_onnx } = recipe.backbones;
  const { files, config } = await encoderOf(recipe);
  if (encoder_onnx !== null) {
    const graph = files.filter((file) => !file.endsWith('.json')); // a config is identified by the values that are read from it
    return { identity: await filesIdentity(graph, config), warning: undefined };
  }
  const checkpoint = await openCheckpoint(encoder!);
  const identity = await checkpointIdentity(checkpoint, config);
  return {
    identity,
    warning: unreadWeights(checkpoint, encoderFamilyOf(checkpoint), encoderKeys(checkpoint)),
  };
}

/** Training utterances sampled for the channel statistics: enough for two digits, cheap to read. */
const STATISTICS_UTTERANCES = 256;

/**
 * Mean and standard deviation of each feature channel over a seeded sample of training utterances, as the model reads
 * them. The first utterances of a manifest would all come from one session or speaker.
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
  for (const example of statisticsSample(examples, seed)) {
    const { words } = await features.read(example);
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

/** The training utterances that {@link audioStatistics} reads. */
export function statisticsSample<T>(examples: readonly T[], seed: number): T[] {
  const indices = sampledIndices(examples.length, STATISTICS_UTTERANCES, seed, 'audio statistics');
  return indices.map((index) => examples[index]!);
}

/** `n` of `count` indices, drawn with the seed, in ascending order; all of them if there are no more. */
export function sampledIndices(count: number, most: number, seed: number, what: string): number[] {
  const indices = [...Array(count).keys()];
  if (count <= most) return indices;
  return seededRandom(seed, what)
    .shuffle(indices)
    .slice(0, most)
    .sort((a, b) => a - b);
}

/**
 * Pools the same utterances to at most `most` frames. A longer clip is split into `most` parts whose lengths differ by
 * at most one frame, and each part becomes its mean; other clips are unchanged.
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
