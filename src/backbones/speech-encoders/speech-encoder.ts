/**
 * @file A speech encoder: the interface of its family, and running one: waveforms in, feature matrices out, padded and
 * batched as its graph allows.
 */

import { InputError } from '../../base/index.js';
import type { Value } from '../../engine/onnx/index.js';
import type { WorkerSession } from '../../engine/runtime/index.js';
import { encodeHalf, float32Of, type Tensor, tensor } from '../../engine/tensor/index.js';
import type { Dropout, Weights } from '../../nn/index.js';
import type { EncoderFamily, RawConfig } from '../backbone-family.js';
import type { Preprocessor } from './preprocessor.js';

/**
 * What all families have in their configs. A family's own has more; all of it is recorded as what determines features.
 */
export interface SpeechEncoderConfig {
  /** Width of a hidden state. */
  hiddenSize: number;
  numHiddenLayers: number;
  /** Waveforms must be normalised to zero mean and unit variance. */
  doNormalize: boolean;
}

/** How an encoder divides a clip into frames. */
export interface Framing {
  /** Number of frames of a clip of so many samples. */
  readonly frames: (samples: number) => number;
  /** From the start of a frame to that of the next. */
  readonly frameSamples: number;
  /** Length to which a shorter clip is extended with silence: the fewest samples that give a frame. */
  readonly fewestSamples: number;
  /** Batches are padded to a multiple of this; a clip alone costs as much as one of its padded length. */
  readonly stepSamples: number;
  /** Padding does not affect a clip's frames in the model as published, so that any export of it can take batches. */
  readonly ignoresPadding: boolean;
}

export interface EncoderInputs {
  /** Waveforms at 16 kHz, float32 [N, samples], normalised if the checkpoint requires it, zero-padded at the end. */
  readonly inputValues: Value;
  /** int64 [N, samples]: 1 on real samples, then 0. */
  readonly attentionMask: Value;
}

export interface EncoderOptions {
  /**
   * Time steps that a group norm over time averages over, in families that have one. `real`, the default: the clip's
   * own, so that a clip has the same features whatever the padding. `padded`: all of the batch, as in transformers.
   */
  readonly groupNormSteps?: 'real' | 'padded';
  /** How many layers are computed; absent: all. */
  readonly layers?: number;
}

export interface EncoderOutputs {
  /**
   * The input of the first layer and the output of each layer that is computed; that of the model's last layer is
   * transformers' `last_hidden_state`. Meaningless where the frame mask is 0.
   */
  readonly hiddenStates: readonly Value[];
  /** Makes [N, frames, hiddenSize] of a hidden state, in families whose layers see clips in other pieces. */
  readonly inFrames?: (state: Value) => Value;
  /** int64 [N, frames]: 1 on frames of the clip, 0 on those of its padding. */
  readonly frameMask: Value;
}

/** Frames between two layers. */
export interface LayerFrames {
  /** float32 [N, L, width]. */
  readonly states: Value;
  /** int64 [N, L]: 1 on real frames. */
  readonly frameMask: Value;
}

/** Layers `from` + 1 to `to`, counted from 1. */
export interface LayerRange {
  readonly from: number;
  readonly to: number;
  /** In training: of the outputs of attention and feed-forward, and of the attention weights. */
  readonly dropout?: LayerDropout | undefined;
}

export interface LayerDropout {
  readonly apply: Dropout;
  readonly rate: number;
}

/** A family. Its functions get the config that it parsed itself, with all that is its own. */
export interface SpeechEncoderFamily extends EncoderFamily<SpeechEncoderConfig> {
  /**
   * Parses config.json, and preprocessor_config.json if present.
   * @throws InputError naming the file and key of anything that is not supported
   */
  parseConfig(raw: RawConfig, path: string, preprocessor?: Preprocessor): SpeechEncoderConfig;
  /** Waveforms to hidden states; weights by their keys without prefix, the config as the family parsed it. */
  encoder(
    weights: Weights,
    config: SpeechEncoderConfig,
    inputs: EncoderInputs,
    options?: EncoderOptions,
  ): EncoderOutputs;
  /**
   * Some of its transformer layers, from the hidden state before them to the states after each, [N, L, hiddenSize]:
   * what can be trained. Absent where a family's layers cannot be.
   */
  layers?(weights: Weights, config: SpeechEncoderConfig, frames: LayerFrames, range: LayerRange): Value[];
  framing(config: SpeechEncoderConfig): Framing;
  /** Whether waveforms are normalised by preprocessor_config.json. @throws InputError if it is for other audio */
  normalizes(preprocessor: Preprocessor): boolean;
}

/** Features of one clip. */
export interface ClipFeatures {
  readonly frames: number;
  readonly width: number;
  /** float32 [frames, width], row-major. */
  readonly data: Float32Array;
}

/** A loaded encoder. */
export interface SpeechEncoder {
  /** Width of a feature vector. */
  readonly width: number;
  /** Length to which a clip of `samples` is padded. Clips with equal padded lengths may be encoded together. */
  readonly paddedSamples: (samples: number) => number;
  /**
   * Features of mono 16 kHz clips in [-1, 1], in the order given. A clip too short for a frame (in HuBERT, shorter than
   * its receptive field of 400 samples) is extended with silence and gives one.
   * @throws RangeError for a clip without samples
   * @throws InputError when the number of frames or the feature width does not match the graph's config
   */
  encode(waveforms: readonly Float32Array[]): Promise<ClipFeatures[]>;
  /** Frees the session, and its worker if the encoder started it. */
  close(): Promise<void>;
}

/** Interface of an encoder graph. Both inputs are [N, samples]. */
export interface EncoderIO {
  /** Type of `input_values` (`attention_mask`, if used, is int64). */
  readonly valuesDtype: 'float32' | 'float16';
  readonly takesMask: boolean;
  /** Name of the output [N, frames, width]. */
  readonly hiddenStates: string;
  /**
   * `ignored`: padding does not affect a clip's frames, so clips are padded to a few distinct lengths and batched.
   * `felt`: it does, so every clip runs alone and unpadded.
   */
  readonly padding: 'ignored' | 'felt';
}

/** Model properties that {@link createSpeechEncoder} needs. */
export interface EncoderProperties {
  readonly width: number;
  /** Known for supported families. It gives the frame count in advance, which is needed to batch padded clips. */
  readonly framing: Framing | undefined;
  /** Normalise waveforms to zero mean and unit variance first. */
  readonly normalize: boolean;
}

/**
 * Receptive field of a frame in HuBERT, WavLM and wav2vec 2.0, 25 ms: the shortest clip if a graph does not give its
 * own.
 */
const USUAL_RECEPTIVE_FIELD = 400;

/**
 * Wraps an open session.
 * @param origin where the graph was read from, for errors
 * @param onClose runs after the session is freed
 */
export function createSpeechEncoder(
  session: Pick<WorkerSession, 'run' | 'dispose'>,
  properties: EncoderProperties,
  io: EncoderIO,
  origin: string,
  onClose: () => Promise<void>,
): SpeechEncoder {
  const { width, framing, normalize } = properties;
  const padded = (samples: number): number => paddedLength(framing, io, samples);

  const encodeBatch = async (waveforms: readonly Float32Array[]): Promise<ClipFeatures[]> => {
    const length = Math.max(...waveforms.map((waveform) => padded(waveform.length)));
    const shape = [waveforms.length, length];
    const values = tensor('float32', shape);
    const mask = tensor('int64', shape);
    const lengths = waveforms.map((waveform, row) => {
      const real = Math.max(waveform.length, shortestClip(framing));
      values.data.set(normalize ? normalized(waveform) : waveform, row * length);
      mask.data.fill(1n, row * length, row * length + real);
      return real;
    });
    const input_values =
      io.valuesDtype === 'float32' ? values : tensor('float16', shape, encodeHalf(values.data));
    const outputs = await session.run({ input_values, ...(io.takesMask && { attention_mask: mask }) });
    const hidden = outputs[io.hiddenStates]!;
    // For padded batches the frame count of each clip must be known; a clip that runs alone owns all frames.
    const framesOf = io.padding === 'ignored' ? framing?.frames : undefined;
    const frames = framesOf === undefined ? (hidden.shape[1] ?? 0) : framesOf(length);
    requireShape(hidden, [waveforms.length, frames, width]);
    const states = float32Of(hidden);
    return lengths.map((real, row): ClipFeatures => {
      const start = row * frames * width;
      const own = framesOf === undefined ? frames : framesOf(real);
      return { frames: own, width, data: states.slice(start, start + own * width) };
    });
  };

  const requireShape = ({ shape }: Tensor, expected: readonly number[]): void => {
    if (shape[1] === 0) {
      throw new InputError(`encoder ${origin} gave no frame for a clip, which is too short for it`);
    }
    if (shape.join() === expected.join()) return;
    throw new InputError(
      `encoder ${origin} gave ${io.hiddenStates} [${shape.join(', ')}] where [${expected.join(', ')}] is expected; give the config.json that it was made with, in its own folder`,
    );
  };

  return {
    width,
    paddedSamples: padded,
    async encode(waveforms) {
      const empty = waveforms.findIndex(({ length }) => length === 0);
      if (empty >= 0) throw new RangeError(`clip ${empty} has no samples`);
      if (waveforms.length === 0) return [];
      if (io.padding === 'ignored') return encodeBatch(waveforms);
      const features: ClipFeatures[] = [];
      for (const waveform of waveforms) features.push(...(await encodeBatch([waveform])));
      return features;
    },
    async close() {
      await session.dispose();
      await onClose();
    },
  };
}

/**
 * Length to which a clip of `samples` is padded when encoded alone. If padding is ignored, clips of equal padded length
 * may share a batch on the CPU, in any number and order, with bit-identical features.
 */
export function paddedLength(
  framing: Framing | undefined,
  { padding }: Pick<EncoderIO, 'padding'>,
  samples: number,
): number {
  const fewest = Math.max(samples, shortestClip(framing));
  if (padding === 'felt' || framing === undefined) return fewest;
  return Math.ceil(fewest / framing.stepSamples) * framing.stepSamples;
}

function shortestClip(framing: Framing | undefined): number {
  return framing?.fewestSamples ?? USUAL_RECEPTIVE_FIELD;
}

/** Zero mean and unit variance over the clip: (x - mean) / sqrt(variance + 1e-7), as in Wav2Vec2FeatureExtractor. */
function normalized(waveform: Float32Array): Float32Array {
  let sum = 0;
  for (const value of waveform) sum += value;
  const mean = sum / waveform.length;
  let squares = 0;
  for (const value of waveform) squares += (value - mean) ** 2;
  const scale = 1 / Math.sqrt(squares / waveform.length + 1e-7);
  return waveform.map((value) => (value - mean) * scale);
}
