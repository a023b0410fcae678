/**
 * @file SpecAugment (Park et al., 2019) on features in training: spans of frames and of channels take the mean of their
 * clip. Where spans begin is drawn as in wav2vec 2.0 (Baevski et al., 2020, section 3.1).
 */

import {
  add,
  and,
  arange,
  cast,
  clip,
  div,
  greaterOrEqual,
  less,
  matmul,
  mul,
  reduceSum,
  sizeOf,
  squeeze,
  sub,
  unsqueeze,
  type Value,
  withScope,
} from '../engine/onnx/index.js';
import type { Dropout } from './weights.js';

/** Spans along one axis. */
export interface SpanMask {
  /** The share that would be masked if spans did not overlap: one begins at each place with probability share / length. */
  readonly share: number;
  /** Frames or channels in a span. */
  readonly length: number;
}

export interface SpanMasks {
  readonly frames: SpanMask;
  readonly channels: SpanMask;
}

/**
 * @param x float32 [N, L, d]
 * @param frameMask int64 [N, L], 1 on real frames
 * @param dropout draws where spans begin; without it nothing is masked
 * @returns x with the means over each clip's real frames in place of what is masked
 */
export function maskSpans(
  x: Value,
  frameMask: Value,
  { frames, channels }: SpanMasks,
  dropout: Dropout,
): Value {
  if (frames.share === 0 && channels.share === 0) return x;
  return withScope(x.graph, 'masking', () => {
    const real = cast(frameMask, 'float32');
    const count = unsqueeze(reduceSum(real, [1]), [1, 2]);
    const mean = div(reduceSum(mul(x, unsqueeze(real, [2])), [1], true), count); // [N, 1, d]
    const away = (values: Value, mask: Value): Value => add(values, mul(mask, sub(mean, values)));
    const timed =
      frames.share === 0
        ? x
        : away(x, unsqueeze(spans(onesLike(real), frames, dropout, 'masked_frames'), [2]));
    if (channels.share === 0) return timed;
    const everyChannel = onesLike(squeeze(mean, [1]));
    return away(timed, unsqueeze(spans(everyChannel, channels, dropout, 'masked_channels'), [1]));
  });
}

/** 1 in spans, else 0: ones [N, M] -> [N, M]. */
function spans(ones: Value, { share, length }: SpanMask, dropout: Dropout, site: string): Value {
  // A factor of dropout is 0 or at least 1.
  const begins = cast(less(dropout(ones, share / length, site), 0.5), 'float32');
  const order = arange(sizeOf(ones, 1), ones.shape[1]!);
  const after = sub(unsqueeze(order, [0]), unsqueeze(order, [1])); // [M, M], by beginning and place
  const reached = and(greaterOrEqual(after, 0), less(after, length));
  return clip(matmul(begins, cast(reached, 'float32')), 0, 1);
}

function onesLike(x: Value): Value {
  return add(mul(x, 0), 1);
}
