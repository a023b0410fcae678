/**
 * @file A speech encoder: the interface of its family, and running one: waveforms in, feature matrices out, padded and
 * batched as its graph allows.
 */

import { InputError } from '../../base/index.js';
import type { Value } from '../../engine/onnx/index.js';
import type { WorkerSession } from '../../engine/runtime/index.js';
import { encodeHalf, float32Of, type Tensor, tensor } from '../../engine/tensor/index.js';
import type { Weights } from '../../nn/index.js';
import type { EncoderFamily, RawConfig } from '../backbone-family.js';
import { type Preprocessor, receptiveField, type Wav2Vec2Config } from './wav2vec2/config.js';
import type {
  LayerFrames,
  LayerRange,
  Wav2Vec2Inputs,
  Wav2Vec2Options,
  Wav2Vec2Outputs,
} from './wav2vec2/encoder.js';
import { type FrameGeometry, frameCount } from './wav2vec2/feature-encoder.js';

/** Config of a speech encoder. All families have the settings of wav2vec 2.0, some have more. */
export type SpeechEncoderConfig = Wav2Vec2Config;

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
    inputs: Wav2Vec2Inputs,
    options?: Wav2Vec2Options,
  ): Wav2Vec2Outputs;
  /**
   * Some of its transformer layers, from the hidden state before them to the states after each, [N, L, hiddenSize]:
   * what can be trained. Absent where a family's layers cannot be.
   */
  layers?(weights: Weights, config: SpeechEncoderConfig, frames: LayerFrames, range: LayerRange): Value[];
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
   * Features of mono 16 kHz clips in [-1, 1], in the order given. A clip shorter than one frame's receptive field (400
   * samples) is extended with silence and gives one frame.
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
  readonly geometry: FrameGeometry | undefined;
  /** Normalise waveforms to zero mean and unit variance first. */
  readonly normalize: boolean;
}

/**
 * Batches are padded to a multiple of this (0.25 s). With few distinct lengths clips can share batches without
 * affecting each other, and onnxruntime rarely needs a new memory plan, or CUDA a new algorithm search.
 */
const PADDING_STEP_SAMPLES = 4000;

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
  const { width, geometry, normalize } = properties;
  const padded = (samples: number): number => paddedLength(geometry, io, samples);

  const encodeBatch = async (waveforms: readonly Float32Array[]): Promise<ClipFeatures[]> => {
    const length = Math.max(...waveforms.map((waveform) => padded(waveform.length)));
    const shape = [waveforms.length, length];
    const values = tensor('float32', shape);
    const mask = tensor('int64', shape);
    const lengths = waveforms.map((waveform, row) => {
      const real = Math.max(waveform.length, shortestClip(geometry));
      values.data.set(normalize ? normalized(waveform) : waveform, row * length);
      mask.data.fill(1n, row * length, row * length + real);
      return real;
    });
    const input_values =
      io.valuesDtype === 'float32' ? values : tensor('float16', shape, encodeHalf(values.data));
    const outputs = await session.run({ input_values, ...(io.takesMask && { attention_mask: mask }) });
    const hidden = outputs[io.hiddenStates]!;
    // For padded batches the frame count of each clip must be known; a clip that runs alone owns all frames.
    const framesOf = io.padding === 'ignored' ? geometry : undefined;
    const frames = framesOf === undefined ? (hidden.shape[1] ?? 0) : frameCount(framesOf, length);
    requireShape(hidden, [waveforms.length, frames, width]);
    const states = float32Of(hidden);
    return lengths.map((real, row): ClipFeatures => {
      const start = row * frames * width;
      const own = framesOf === undefined ? frames : frameCount(framesOf, real);
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
  geometry: FrameGeometry | undefined,
  { padding }: Pick<EncoderIO, 'padding'>,
  samples: number,
): number {
  const fewest = Math.max(samples, shortestClip(geometry));
  return padding === 'felt' ? fewest : Math.ceil(fewest / PADDING_STEP_SAMPLES) * PADDING_STEP_SAMPLES;
}

function shortestClip(geometry: FrameGeometry | undefined): number {
  return geometry === undefined ? USUAL_RECEPTIVE_FIELD : receptiveField(geometry);
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
