/** @file Runs clips through an encoder's session and measures errors against references. */

import { expect } from 'vitest';
import { encoderFamilyOf } from '../../../src/backbones/index.js';
import type { EncoderGraphOptions } from '../../../src/backbones/speech-encoders/encoder-families.js';
import { buildEncoderGraph } from '../../../src/backbones/speech-encoders/encoder-families.js';
import { type Checkpoint, openCheckpoint } from '../../../src/checkpoints/index.js';
import { createSession, type Session } from '../../../src/engine/runtime/index.js';
import {
  decodeHalf,
  float32Of,
  readSafetensors,
  type Tensor,
  tensor,
} from '../../../src/engine/tensor/index.js';
import { type ParityError, parityError, recordParity } from '../../parity/figures.js';

/**
 * Fixtures: checkpoints and transformers' results (test/reference/hubert.py, wav2vec2.py, wavlm.py, whisper.py,
 * emotion2vec.py).
 */
export const hubertFixtures = new URL('../../fixtures/hubert/', import.meta.url).pathname;
export const wav2vec2Fixtures = new URL('../../fixtures/wav2vec2/', import.meta.url).pathname;
export const wavlmFixtures = new URL('../../fixtures/wavlm/', import.meta.url).pathname;
export const emotion2vecFixtures = new URL('../../fixtures/emotion2vec/', import.meta.url).pathname;
export const whisperFixtures = new URL('../../fixtures/whisper/', import.meta.url).pathname;

export interface References {
  /** A reference by its name in the file. */
  tensor(name: string): Tensor;
  /** Its float32 content. */
  values(name: string): Float32Array;
  /** Any reference as numbers. */
  numbers(name: string): number[];
  /** The three clips of a checkpoint, longest first. */
  clips(checkpoint: string): Float32Array[];
}

/** @param fixtures the folder of a family; the clips are the same for all, and are stored with HuBERT's */
export async function readReferences(fixtures = hubertFixtures): Promise<References> {
  const { tensors: clips } = await readSafetensors(`${hubertFixtures}reference.safetensors`);
  const { tensors: own } = await readSafetensors(`${fixtures}reference.safetensors`);
  const tensors = new Map([...clips, ...own]);
  const find = (name: string): Tensor => {
    const found = tensors.get(name);
    if (found === undefined) throw new Error(`no reference ${name}`);
    return found;
  };
  const numbers = (name: string): number[] =>
    Array.from(find(name).data as ArrayLike<number | bigint>, Number);
  return {
    tensor: find,
    values: (name) => float32Of(find(name)),
    numbers,
    clips: (checkpoint) =>
      numbers(`${checkpoint}.samples`).map((samples, clip) =>
        decodeHalf(find(`clip.${clip}`).data as Uint16Array).slice(0, samples),
      ),
  };
}

/** Builds the graph of a checkpoint and opens it on the CPU. */
export async function openEncoder(dir: string, options?: EncoderGraphOptions): Promise<Session> {
  const { model, weightsFolder } = buildEncoderGraph(await openCheckpoint(dir), options);
  return createSession(model, { device: { kind: 'cpu' }, threads: 2, weightsFolder });
}

/** All positions of a batch. */
export interface EncodedBatch {
  readonly frames: number;
  readonly width: number;
  /** [clips, frames, width] */
  readonly hidden: Float32Array;
  /** [clips, frames], 0 or 1. */
  readonly frameMask: number[];
}

/** Runs clips as one zero-padded batch of `length` samples, by default that of the longest. */
export async function encodeBatch(
  session: Session,
  clips: readonly Float32Array[],
  length = Math.max(...clips.map((clip) => clip.length)),
): Promise<EncodedBatch> {
  const values = tensor('float32', [clips.length, length]);
  const mask = tensor('int64', [clips.length, length]);
  clips.forEach((clip, row) => {
    values.data.set(clip, row * length);
    mask.data.fill(1n, row * length, row * length + clip.length);
  });
  const outputs = await session.run({ input_values: values, attention_mask: mask });
  const [, frames, width] = outputs.last_hidden_state!.shape as [number, number, number];
  return {
    frames,
    width,
    hidden: outputs.last_hidden_state!.data as Float32Array,
    frameMask: Array.from(outputs.frame_mask!.data as BigInt64Array, Number),
  };
}

/** The real frames of each clip in a batch. */
export function realFrames({ frames, width, hidden, frameMask }: EncodedBatch): Float32Array[] {
  return Array.from({ length: frameMask.length / frames }, (_, row) => {
    const real = frameMask.slice(row * frames, (row + 1) * frames).filter((flag) => flag === 1).length;
    const start = row * frames * width;
    return hidden.slice(start, start + real * width);
  });
}

/** The largest errors of several results against their references. */
export function largestError(pairs: readonly (readonly [Float32Array, Tensor])[]): ParityError {
  const errors = pairs.map(([actual, expected]) =>
    parityError(tensor('float32', expected.shape, actual), expected),
  );
  return {
    absolute: Math.max(...errors.map(({ absolute }) => absolute)),
    relative: Math.max(...errors.map(({ relative }) => relative)),
  };
}

/** Adds a row about a tiny encoder to the table of `make parity`. */
export function recordEncoder(
  name: string,
  { config, weights }: Pick<Checkpoint, 'config' | 'weights'>,
  quantity: string,
  error: ParityError,
): void {
  const family = encoderFamilyOf({ dir: '', config });
  const { numHiddenLayers, hiddenSize } = family.parseConfig(config, 'config.json');
  const shape = `${numHiddenLayers} layers, ${hiddenSize}`;
  const dtype = [...weights.values()][0]?.dtype ?? 'float32';
  const model = `${family.title}, ${name}`;
  recordParity({ model, shape, dtype, quantity, ...error });
}

/** Largest difference relative to the expectation's largest magnitude. */
export function relativeError(actual: Float32Array, expected: Float32Array): number {
  expect(actual.length).toBe(expected.length);
  let [largest, difference] = [0, 0];
  expected.forEach((value, place) => {
    largest = Math.max(largest, Math.abs(value));
    difference = Math.max(difference, Math.abs(value - actual[place]!));
  });
  return difference / largest;
}
