/**
 * @file What a phase does with cached features before its own model reads them: the encoder's layers that are trained
 * with the model, and the sum of several layers, softmax weights over hidden states as in SUPERB (Yang et al., 2021).
 */

import {
  type EncoderWidth,
  frameWidth,
  readEncoderWeight,
  type TrainableEncoder,
} from '../backbones/index.js';
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

/** What a phase reads of an encoder. `held` and `vocabulary` are what a frame of the cached features holds. */
export interface EncoderReading extends EncoderWidth {
  /** Hidden states that a frame would hold if no layer were trained. */
  readonly heldUntrained: number;
  /** Logits of the CTC head that the model reads for each frame; 0 if it reads none. */
  readonly symbols: number;
  /** The layers above the cached states; absent if none is trained. */
  readonly upper?: UpperLayers;
}

/** What is known of features that are not read. */
export const NO_AUDIO: EncoderReading = {
  ...{ width: 0, held: 1, vocabulary: 0, heldUntrained: 1, symbols: 0 },
  warning: undefined,
};

/** Layers that are trained with a model. */
export interface UpperLayers extends Pick<TrainableEncoder, 'layers'> {
  /** The hidden state that they begin with: the last of those in a frame of the features. */
  readonly from: number;
  /** The highest of them that is computed. */
  readonly to: number;
  /** How many of the states below it are read; they come first in a frame. */
  readonly below: number;
  /** The hidden states above it, and it if it is read, in ascending order. */
  readonly read: readonly number[];
  /** The CTC head over the highest; absent if its logits are not read. */
  readonly logits?: TrainableEncoder['logits'];
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

/** What a model finds in its batch beside the hidden states, if it reads logits: float32 [N, L, symbols]. */
export const LOGITS = 'ctc_logits';

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

/** What a system's model reads of each frame: hidden states, and logits. */
interface Encoded {
  /** float32 [N, L, d]; undefined if no layer is read. */
  readonly states: Value | undefined;
  /** float32 [N, L, symbols]. */
  readonly logits: Value | undefined;
}

/** Cached features [N, L, held * d + vocabulary] to what the system's model reads. */
function encoded(
  weights: Weights,
  features: { readonly cached: Value; readonly frameMask: Value },
  encoder: EncoderReading,
  settings: EncoderSettings,
  dropout: Dropout,
): Encoded {
  const { held, width, vocabulary, upper } = encoder;
  const { frameMask } = features;
  const cached = maskedIn(cast(features.cached, 'float32'), frameMask, settings, dropout);
  const part = (from: number, to: number): Value =>
    to - from === cached.shape[2] ? cached : slice(cached, 2, from, to);
  if (upper === undefined) {
    const states = held === 0 ? undefined : part(0, held * width);
    return {
      states: states && held > 1 ? learnedSum(weights, states, held) : states,
      logits: vocabulary === 0 ? undefined : part(held * width, held * width + vocabulary),
    };
  }
  const { from, to, below, read } = upper;
  const places = [...Array(held).keys()].map((place) => part(place * width, (place + 1) * width));
  const start = places.at(-1)!;
  const own = under(weights, SPEECH_ENCODER_PREFIX);
  const { graph } = start;
  const trained = withScope(graph, 'speech_encoder', () =>
    upper.layers(
      own,
      { states: start, frameMask },
      { from, to, dropout: { apply: dropout, rate: settings.dropout } },
    ),
  );
  const above = read.map((layer) => (layer === from ? start : trained[layer - from - 1]!));
  const states = [...places.slice(0, below), ...above];
  return {
    states: states.length === 0 ? undefined : oneState(weights, states, settings),
    logits: upper.logits && withScope(graph, 'speech_encoder', () => upper.logits!(own, trained.at(-1)!)),
  };
}

/** Several hidden states as one. */
function oneState(weights: Weights, states: readonly Value[], { mix }: EncoderSettings): Value {
  if (states.length === 1) return states[0]!;
  if (mix === 'learned') return learnedSum(weights, concat(states, 2), states.length);
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
    const { [AUDIO]: cached, frame_mask: frameMask, ...others } = batch;
    if (cached === undefined) return use(weights, batch);
    const { states, logits } = encoded(
      weights,
      { cached, frameMask: frameMask! },
      encoder,
      settings,
      dropout,
    );
    return use(weights, {
      ...{ ...others, frame_mask: frameMask! },
      ...(states && { [AUDIO]: states }),
      ...(logits && { [LOGITS]: logits }),
    });
  };
}

function widened(inputs: readonly GraphInput[], encoder: EncoderReading): GraphInput[] {
  return inputs.map((input) =>
    input.name === AUDIO ? { ...input, shape: [...input.shape.slice(0, 2), frameWidth(encoder)] } : input,
  );
}

/** Whether a model reads features as they are cached, except for masks in training. */
function readsAsCached({ held, vocabulary, upper }: EncoderReading): boolean {
  return held === 1 && vocabulary === 0 && upper === undefined;
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
    inputs: widened(graphs.inputs, encoder),
    isTrainable: (key) => isEncoderKey(key) || graphs.isTrainable(key),
    loss: (weights, batch, dropout, memory) =>
      reading(encoder, settings, dropout, (own, read) => graphs.loss(own, read, dropout, memory))(
        weights,
        batch,
      ),
    forward: reading(encoder, settings, noDropout, graphs.forward),
    ...(graphs.attention && {
      attention: {
        ...graphs.attention,
        inputs: widened(graphs.attention.inputs, encoder),
        shares: reading(encoder, settings, noDropout, graphs.attention.shares),
      },
    }),
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
    inputs: widened(model.inputs, encoder),
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
    // A sum may be new in a phase that starts from one that read no layers.
    const isNew = from === undefined || (key === LAYER_MIX_KEY && !from.weights.has(key));
    if (!isNew) values[key] = await readWeight(requireWeight(from, key, shape));
    else if (key === LAYER_MIX_KEY) values[key] = tensor('float32', shape);
    else {
      encoder ??= await openCheckpoint(backbones.encoder!);
      values[key] = await readEncoderWeight(encoder, key.slice(SPEECH_ENCODER_PREFIX.length), shape);
    }
  }
  return values;
}

/** Features of a new sum: the means over the layers, without logits. */
export function equallyMixed(
  features: FeatureSource,
  { heldUntrained: held, symbols }: Pick<EncoderReading, 'heldUntrained' | 'symbols'>,
): FeatureSource {
  if (held === 1 && symbols === 0) return features;
  return {
    frames: features.frames,
    async read(utterance) {
      const { frames, width: whole, words } = await features.read(utterance);
      const width = (whole - symbols) / held;
      const values = decodeHalf(words);
      const means = new Float32Array(frames * width);
      values.forEach((value, index) => {
        const [frame, place] = [Math.floor(index / whole), index % whole];
        if (place < held * width) means[frame * width + (place % width)]! += value / held;
      });
      return { frames, width, words: encodeHalf(means) };
    },
  };
}
