/** @file The encoder at work: waveforms in, feature matrices out, as one padded batch in a session's own thread. */

import { join } from 'node:path';
import { pathExists } from '../../base/index.js';
import {
  type Device,
  type HostedSession,
  type SessionHost,
  startSessionHost,
} from '../../engine/runtime/index.js';
import { tensor } from '../../engine/tensor/index.js';
import { type Checkpoint, type HubertConfig, openCheckpoint, readHubertConfig } from '../checkpoint/index.js';
import { buildEncoderGraph } from './encoder-graph.js';
import { type FrameGeometry, frameCount, receptiveField } from './frames.js';

/** What the encoder makes of one clip. */
export interface ClipFeatures {
  readonly frames: number;
  readonly width: number;
  /** float32 [frames, width], row-major. */
  readonly data: Float32Array;
}

/** An encoder that is ready to run. */
export interface SpeechEncoder {
  /** Width of a feature vector. */
  readonly width: number;
  /** {@link paddedSamples} of this encoder. */
  readonly paddedSamples: (samples: number) => number;
  /**
   * Features of mono 16 kHz clips in [-1, 1], in the order given, computed as one batch. A clip shorter than one
   * frame's receptive field (400 samples) has silence added up to that length, and so gives one frame.
   * @throws RangeError for a clip without samples
   */
  encode(waveforms: readonly Float32Array[]): Promise<ClipFeatures[]>;
  /** Frees the session, and its thread where the encoder started it. */
  close(): Promise<void>;
}

export interface SpeechEncoderOptions {
  readonly device: Device;
  /** Threads inside one operator; absent: one for each physical core. */
  readonly threads?: number | undefined;
  /** The thread to live in; absent: one of its own. */
  readonly host?: SessionHost;
}

/** What {@link createSpeechEncoder} must know of the checkpoint. */
export type EncoderFacts = Pick<HubertConfig, 'hiddenSize' | 'convKernel' | 'convStride' | 'doNormalize'>;

/**
 * Batches are padded to a multiple of this (0.25 s). Few distinct lengths let clips share batches exactly, and spare
 * onnxruntime a new memory plan, and CUDA a new search for algorithms, with almost every batch.
 */
const PADDING_STEP_SAMPLES = 4000;

/**
 * Opens the HuBERT checkpoint in `nameOrPath` (a folder, or a model id in the Hugging Face cache) on a device.
 * @throws InputError when the checkpoint is missing, broken or no HuBERT
 */
export async function openSpeechEncoder(
  nameOrPath: string,
  options: SpeechEncoderOptions,
): Promise<SpeechEncoder> {
  const facts = await readHubertConfig(nameOrPath);
  const { model, weightsFolder } = buildEncoderGraph(await openCheckpoint(nameOrPath));
  const host = options.host ?? startSessionHost();
  const closeHost = async (): Promise<void> => {
    if (options.host === undefined) await host.close();
  };
  const { device, threads } = options;
  try {
    const session = await host.open(model, { device, threads, weightsFolder });
    return createSpeechEncoder(session, facts, closeHost);
  } catch (error) {
    await closeHost();
    throw error;
  }
}

/** Wraps an open session of {@link buildEncoderGraph}'s model. `onClose` runs after the session is freed. */
export function createSpeechEncoder(
  session: Pick<HostedSession, 'run' | 'dispose'>,
  facts: EncoderFacts,
  onClose: () => Promise<void> = async () => {},
): SpeechEncoder {
  const { hiddenSize: width, doNormalize } = facts;
  const fewest = receptiveField(facts);
  return {
    width,
    paddedSamples: (samples) => paddedSamples(facts, samples),
    async encode(waveforms) {
      if (waveforms.length === 0) return [];
      const length = Math.max(...waveforms.map((waveform) => paddedSamples(facts, waveform.length)));
      const inputValues = tensor('float32', [waveforms.length, length]);
      const attentionMask = tensor('int64', [waveforms.length, length]);
      const lengths = waveforms.map((waveform, row) => {
        if (waveform.length === 0) throw new RangeError(`clip ${row} has no samples`);
        const values = doNormalize ? normalized(waveform) : waveform;
        const real = Math.max(waveform.length, fewest);
        inputValues.data.set(values, row * length);
        attentionMask.data.fill(1n, row * length, row * length + real);
        return real;
      });
      const outputs = await session.run({ input_values: inputValues, attention_mask: attentionMask });
      const hidden = outputs.last_hidden_state!; // [N, frames, width]
      const rowSize = hidden.shape[1]! * width;
      return lengths.map((real, row): ClipFeatures => {
        const frames = frameCount(facts, real);
        const start = row * rowSize;
        return { frames, width, data: (hidden.data as Float32Array).slice(start, start + frames * width) };
      });
    },
    async close() {
      await session.dispose();
      await onClose();
    },
  };
}

/**
 * Length to which a clip of `samples` is padded when it is encoded alone. On the CPU, clips of equal padded length may
 * share a batch, in any number and order, without a bit of their features changing.
 */
export function paddedSamples(facts: FrameGeometry, samples: number): number {
  return Math.ceil(Math.max(samples, receptiveField(facts)) / PADDING_STEP_SAMPLES) * PADDING_STEP_SAMPLES;
}

/** Zero mean and unit variance over the clip: (x - mean) / sqrt(variance + 1e-7), as Wav2Vec2FeatureExtractor has it. */
function normalized(waveform: Float32Array): Float32Array {
  let sum = 0;
  for (const value of waveform) sum += value;
  const mean = sum / waveform.length;
  let squares = 0;
  for (const value of waveform) squares += (value - mean) ** 2;
  const scale = 1 / Math.sqrt(squares / waveform.length + 1e-7);
  return waveform.map((value) => (value - mean) * scale);
}

/** The files whose content decides the features: configs, then weights in the order of their paths. */
export async function encoderFiles({ dir, weights }: Checkpoint): Promise<string[]> {
  const configs = ['config.json', 'preprocessor_config.json'].map((name) => join(dir, name));
  const present = await Promise.all(configs.map(pathExists));
  const weightFiles = [...new Set([...weights.values()].map(({ path }) => path))].sort();
  return [...configs.filter((_, place) => present[place]), ...weightFiles];
}
