/**
 * @file The gated relative position bias of WavLM (Chen et al., 2021, section 3.1): what a layer adds to the scores of
 * its attention, by the distance of two frames and the content of the first.
 */

import {
  add,
  arange,
  cast,
  clip,
  constant,
  gather,
  linear,
  mul,
  reduceSum,
  reshape,
  sigmoid,
  sizeOf,
  slice,
  sub,
  transpose,
  unsqueeze,
  type Value,
  withScope,
} from '../../../engine/onnx/index.js';
import { int64 } from '../../../engine/tensor/index.js';
import { asStored, type Weights } from '../../../nn/index.js';
import type { PositionBias } from '../wav2vec2/encoder.js';
import { exactBuckets, type WavLMConfig } from './config.js';

/** Rows that a layer's linear layer has for each of its two gates; they are summed. */
const ROWS_PER_GATE = 4;

/**
 * The bias of all layers of a model: a table of the first layer's, weighted in each layer by its own gate. In float32
 * whatever the precision of the linear layers, like the rest of attention.
 * @param weights of the model
 * @param frames [N, L, ...], for the number of frames
 */
export function gatedPositionBias(weights: Weights, config: WavLMConfig, frames: Value): PositionBias {
  const shared = withScope(frames.graph, 'position_bias', () => distanceBias(weights, config, frames));
  return {
    shared,
    ofLayer: (layer, x) => withScope(x.graph, 'position_bias', () => mul(gate(layer, config, x), shared)), // [N, heads, L, L]
  };
}

/** The table's entries for all pairs of frames: [1, heads, L, L], by frame that attends and frame attended to. */
function distanceBias(weights: Weights, config: WavLMConfig, frames: Value): Value {
  const { numAttentionHeads: heads, numBuckets, maxBucketDistance: farthest } = config;
  const table = weights('encoder.layers.0.attention.rel_attn_embed.weight', [numBuckets, heads]);
  const buckets = constant(frames.graph, int64([2 * farthest + 1], relativeBuckets(config)));
  const byDistance = transpose(gather(inFloat32(table), buckets, 0), [1, 0]); // [heads, 2 farthest + 1]
  const order = arange(sizeOf(frames, 1), frames.shape[1]!);
  const distances = sub(unsqueeze(order, [0]), unsqueeze(order, [1])); // [L, L]
  const places = add(clip(distances, -farthest, farthest), farthest);
  return unsqueeze(gather(byDistance, places, 1), [0]);
}

/**
 * The bucket of a frame by how much later it is than the frame that attends to it, from -maxBucketDistance to
 * maxBucketDistance: 2 maxBucketDistance + 1 buckets. Half of the buckets are for later frames. Of each half, the first
 * half stands for one distance each, the rest for ranges that grow in proportion to the distance. Whatever is farther
 * apart has the buckets at the ends.
 */
export function relativeBuckets({
  numBuckets,
  maxBucketDistance,
}: Pick<WavLMConfig, 'numBuckets' | 'maxBucketDistance'>): number[] {
  const half = Math.floor(numBuckets / 2);
  const exact = exactBuckets(numBuckets);
  const bucket = (distance: number): number => {
    if (distance < exact) return distance;
    // In float32, and in this order, as in transformers: where a range ends depends on the rounding.
    const { fround } = Math;
    const share = fround(
      fround(Math.log(fround(distance / exact))) / fround(Math.log(maxBucketDistance / exact)),
    );
    const place = fround(exact + fround(share * (half - exact)));
    return Math.min(Math.trunc(place), half - 1);
  };
  return Array.from({ length: 2 * maxBucketDistance + 1 }, (_, index) => {
    const later = index - maxBucketDistance;
    return later > 0 ? half + bucket(later) : bucket(Math.abs(later));
  });
}

/**
 * How much of the table each frame takes in each head: x [N, L, width] -> [N, heads, L, 1].
 *
 * With the sigmoids u and r of two linear functions of the head's part of x and a constant w of the head, it is
 * 1 + u r w + (1 - u).
 */
function gate(layer: Weights, { hiddenSize, numAttentionHeads: heads }: WavLMConfig, x: Value): Value {
  const headWidth = hiddenSize / heads;
  const rows = 2 * ROWS_PER_GATE;
  // The sum of a gate's rows is that of one row that is their sum, which onnxruntime folds at load.
  const summed = (value: Value, rest: readonly number[]): Value =>
    reduceSum(reshape(inFloat32(value), [2, ROWS_PER_GATE, ...rest]), [1]);
  const weight = summed(layer('gru_rel_pos_linear.weight', [rows, headWidth]), [headWidth]); // [2, d_k]
  const bias = summed(layer('gru_rel_pos_linear.bias', [rows]), []);
  const parts = reshape(x, [x.shape[0]!, x.shape[1]!, heads, headWidth]);
  const gates = sigmoid(transpose(linear(parts, weight, bias), [0, 2, 1, 3])); // [N, heads, L, 2]
  const [update, reset] = [slice(gates, 3, 0, 1), slice(gates, 3, 1, 2)];
  const constants = layer('gru_rel_pos_const', [1, heads, 1, 1]);
  return add(mul(update, sub(mul(reset, constants), 1)), 2);
}

/** A constant in float32, from its stored type. */
function inFloat32(value: Value): Value {
  return value.dtype === 'float32' ? value : cast(asStored(value), 'float32');
}
