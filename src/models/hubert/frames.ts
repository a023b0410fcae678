/** @file How many frames a waveform becomes: by the convolutions' length formula, on the host and in the graph. */

import { arange, cast, div, less, max, sizeOf, sub, unsqueeze, type Value } from '../../engine/onnx/index.js';
import type { HubertConfig } from '../checkpoint/index.js';

export { receptiveField } from '../checkpoint/index.js';

/** The part of the config that decides lengths. */
export type FrameGeometry = Pick<HubertConfig, 'convKernel' | 'convStride'>;

/** Frames of `samples` waveform samples: floor((length - kernel) / stride) + 1 for each layer, never below 0. */
export function frameCount({ convKernel, convStride }: FrameGeometry, samples: number): number {
  return convKernel.reduce(
    (length, kernel, layer) => Math.max(0, Math.floor((length - kernel) / convStride[layer]!) + 1),
    samples,
  );
}

/** {@link frameCount} of one convolution in the graph: lengths int64 [N] -> int64 [N]. */
export function convFrames(lengths: Value, kernel: number, stride: number): Value {
  // ONNX divides integers towards zero, so the dividend is kept from going negative: floor and truncation then agree.
  return div(sub(max(lengths, kernel - stride), kernel - stride), stride);
}

/** Which frames are real: counts int64 [N] -> int64 [N, T] with 1 below the count, T the size of axis 1 of `like`. */
export function validFrames(counts: Value, like: Value): Value {
  const positions = unsqueeze(arange(sizeOf(like, 1), like.shape[1]!), [0]); // [1, T]
  return cast(less(positions, unsqueeze(counts, [1])), 'int64');
}
