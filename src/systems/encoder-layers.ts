/**
 * @file What a phase does with cached features before its own model reads them: the encoder's layers that are trained
 * with the model, and the sum of several layers, softmax weights over hidden states as in SUPERB (Yang et al., 2021).
 */

import { type EncoderWidth, readEncoderWeight, type TrainableEncoder } from '../backbones/index.js';
import { type Checkpoint, openCheckpoint, readWeight, requireWeight } from '../checkpoints/index.js';
import {
  add,
  cast,
  concat,
  matmul,
  mul,
  reshape,
  slice,
  softmax,
  squeeze,
  unsqueeze,
  type Value,
  withScope,
} from '../engine/onnx/index.js';
import { decodeHalf, encodeHalf, tensor } from '../engine/tensor/index.js';
import type { GraphInput, ParameterShape } from '../engine/training/index.js';
import {
  type BatchValues,
  type Dropout,
  maskSpans,
  noDropout,
  type SpanMasks,
  under,
  type Weights,
} from '../nn/index.js';
import type { Recipe } from './settings.js';
import type { FeatureSource, PhaseGraphs, StandaloneModel, Tensors } from './system.js';

/** What a phase reads of an encoder. */
export interface EncoderReading extends EncoderWidth {
  /** Hidden states that a frame would hold if no layer were trained. */
  readonly heldUntrained: number;
  /** The layers above the cached states; absent if none is trained. */
  readonly upper?: UpperLayers;
}

/** Layers that are trained with a model. */
export interface UpperLayers extends Pick<TrainableEncoder, 'layers'> {
  /** The hidden state that they begin with: the last of those in a frame of the features. */
  readonly from: number;
  /** How many of the states below it are read; they come first in a frame. */
  readonly below: number;
  /** The hidden states above it, and it if it is read, in ascending order. */
  readonly read: readonly number[];
}

/** Key of the sum's parameters in checkpoints. */
export const LAYER_MIX_KEY = 'layer_mix.weight';

/** Prefix of the keys of trained layers in checkpoints, before the encoder's own. */
export const SPEECH_ENCODER_PREFIX = 'speech_encoder.';

/** Whether a parameter is computed with before a system's own model. */
export function isEncoderKey(key: string): boolean {
  return key === LAYER_MIX_KEY || key.startsWith(SPEECH_ENCODER_PREFIX);
}

const AUDIO = 'audio_features';

/** Weights [held] of the layers in the sum, from the parameters in a checkpoint. */
export function layerShares(parameters: Float32Array): number[] {
  const largest = Math.max(...parameters);
  const powers = Array.from(parameters, (value) => Math.exp(value - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/** The learned sum of states side by side: float32 [N, L, held * d] -> [N, L, d]. */
function learnedSum(weights: Weights, x: Value, held: number): Value {
  const width = x.shape[2] as number;
  return withScope(x.graph, 'layer_mix', () => {
    const states = reshape(x, [...x.shape.slice(0, 2), held, width / held]);
    const shares = softmax(weights(LAYER_MIX_KEY, [held]));
    return squeeze(matmul(unsqueeze(shares, [0, 1, 2]), states), [2]);
  });
}

/** The settings of a recipe that bear on this. */
export type EncoderSettings = Recipe['encoder'];

function spanMasks({
  mask_frames,
  mask_frames_length,
  mask_channels,
  mask_channels_length,
}: EncoderSettings): SpanMasks {
  return {
    frames: { share: mask_frames, length: mask_frames_length },
    channels: { share: mask_channels, length: mask_channels_length },
  };
}

/** Cached features [N, L, held * d] to what the system's model reads, float32 [N, L, d]. */
function encoded(
  weights: Weights,
  { features, frameMask }: { readonly features: Value; readonly frameMask: Value },
  { held, width, upper }: EncoderReading,
  settings: EncoderSettings,
  dropout: Dropout,
): Value {
  const masked = maskedIn(cast(features, 'float32'), frameMask, settings, dropout);
  if (upper === undefined) return held === 1 ? masked : learnedSum(weights, masked, held);
  const { from, below, read } = upper;
  const cached = [...Array(held).keys()].map((place) =>
    held === 1 ? masked : slice(masked, 2, place * width, (place + 1) * width),
  );
  const start = cached.at(-1)!;
  const trained = withScope(start.graph, 'speech_encoder', () =>
    upper.layers(
      under(weights, SPEECH_ENCODER_PREFIX),
      { states: start, frameMask },
      { from, to: read.at(-1)!, dropout: { apply: dropout, rate: settings.dropout } },
    ),
  );
  const above = read.map((layer) => (layer === from ? start : trained[layer - from - 1]!));
  const states = [...cached.slice(0, below), ...above];
  if (states.length === 1) return states[0]!;
  if (settings.mix === 'learned') return learnedSum(weights, concat(states, 2), states.length);
  return mul(
    states.reduce((sum, state) => add(sum, state)),
    1 / states.length,
  );
}

/** In training, with spans masked. */
function maskedIn(x: Value, frameMask: Value, settings: EncoderSettings, dropout: Dropout): Value {
  return dropout === noDropout ? x : maskSpans(x, frameMask, spanMasks(settings), dropout);
}

function reading<R>(
  encoder: EncoderReading,
  settings: EncoderSettings,
  dropout: Dropout,
  use: (weights: Weights, batch: BatchValues) => R,
): typeof use {
  return (weights, batch) => {
    const { [AUDIO]: features, frame_mask: frameMask } = batch;
    if (features === undefined) return use(weights, batch);
    const states = encoded(weights, { features, frameMask: frameMask! }, encoder, settings, dropout);
    return use(weights, { ...batch, [AUDIO]: states });
  };
}

function widened(inputs: readonly GraphInput[], held: number): GraphInput[] {
  return inputs.map((input) =>
    input.name === AUDIO
      ? { ...input, shape: [...input.shape.slice(0, 2), held * (input.shape[2] as number)] }
      : input,
  );
}

/** Whether a model reads features as they are cached, except for masks in training. */
function readsAsCached({ held, upper }: EncoderReading): boolean {
  return held === 1 && upper === undefined;
}

/** The graphs of a phase over cached features; the same graphs where these are read as they are. */
export function withEncoderLayers<T extends Omit<PhaseGraphs, 'frozen'>>(
  graphs: T,
  encoder: EncoderReading,
  settings: EncoderSettings,
): T {
  const masks = settings.mask_frames + settings.mask_channels > 0;
  if (readsAsCached(encoder) && !masks) return graphs;
  if (graphs.inputs.every(({ name }) => name !== AUDIO)) return graphs;
  return {
    ...graphs,
    inputs: widened(graphs.inputs, encoder.held),
    isTrainable: (key) => isEncoderKey(key) || graphs.isTrainable(key),
    loss: (weights, batch, dropout) =>
      reading(encoder, settings, dropout, (own, read) => graphs.loss(own, read, dropout))(weights, batch),
    forward: reading(encoder, settings, noDropout, graphs.forward),
  };
}

/** A standalone model over cached features. */
export function standaloneWithEncoderLayers<T extends Pick<StandaloneModel, 'inputs' | 'define'>>(
  model: T,
  encoder: EncoderReading,
  settings: EncoderSettings,
): T {
  if (readsAsCached(encoder) || model.inputs.every(({ name }) => name !== AUDIO)) return model;
  return {
    ...model,
    inputs: widened(model.inputs, encoder.held),
    define: reading(encoder, settings, noDropout, model.define),
  };
}

/**
 * Initial values of the parameters that come before a system's own model: equal weights in a new sum, and the encoder's
 * own layers, or both from the checkpoint of an earlier phase.
 * @throws InputError when the encoder or the checkpoint does not have them
 */
export async function initialEncoderLayers(
  parameters: readonly ParameterShape[],
  { backbones }: Pick<Recipe, 'backbones'>,
  from: Checkpoint | undefined,
): Promise<Tensors> {
  const values: Tensors = {};
  let encoder: Checkpoint | undefined;
  for (const { key, shape } of parameters) {
    if (!isEncoderKey(key)) continue;
    if (from !== undefined) values[key] = await readWeight(requireWeight(from, key, shape));
    else if (key === LAYER_MIX_KEY) values[key] = tensor('float32', shape);
    else {
      encoder ??= await openCheckpoint(backbones.encoder!);
      values[key] = await readEncoderWeight(encoder, key.slice(SPEECH_ENCODER_PREFIX.length), shape);
    }
  }
  return values;
}

/** Features of a new sum: the means over the layers. */
export function equallyMixed(features: FeatureSource, held: number): FeatureSource {
  if (held === 1) return features;
  return {
    frames: features.frames,
    async read(utterance) {
      const { frames, width: whole, words } = await features.read(utterance);
      const width = whole / held;
      const values = decodeHalf(words);
      const means = new Float32Array(frames * width);
      values.forEach((value, index) => {
        const frame = Math.floor(index / whole);
        means[frame * width + (index % width)]! += value / held;
      });
      return { frames, width, words: encodeHalf(means) };
    },
  };
}
