/** @file The speech encoder that a recipe's features come from: its width, its identity, and what is unusual about it. */

import {
  type EncoderSource,
  encoderKeys,
  encoderWidth,
  findSpeechEncoder,
  parseHubertConfig,
  publishedConfigs,
  readHubertConfig,
} from '../backbones/index.js';
import {
  checkpointIdentity,
  filesIdentity,
  findCheckpointFolder,
  type ModelIdentity,
  openCheckpoint,
  unreadWeights,
} from '../checkpoints/index.js';
import type { Recipe } from './settings.js';

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
  const config = await configOrPublished(encoder, readHubertConfig, parseHubertConfig);
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
  return { identity, warning: unreadWeights(checkpoint, 'hubert', encoderKeys(checkpoint)) };
}
