/**
 * @file The fusion modules of Qieemo (Chen et al., 2025) as a graph fragment. Public is the paper's abstract: a multimodal
 * fusion module (MMF) and a cross-modal attention module (CMA) fuse the phonetic posteriorgram (PPG) of a speech
 * recogniser and emotional features from its middle blocks, which are aligned frame by frame. The equations here are our
 * reading of it.
 *
 * With the streams e = W_e x + b_e of features x and p = W_p softmax(logits) + b_p:
 *
 *     MMF   g = sigmoid(W_g [e; p] + b_g),  m = LN(GELU(g e + (1 - g) p))
 *     CMA   a = block(e, p) + block'(p, e),  block(q, k) = LN(h + FFN(h)),  h = LN(q + attention(q, k, k))
 *     z = pooling(LN(m + a)),  class logits = W_2 GELU(W_1 z + b_1) + b_2
 *
 * The pooling is attentive over real frames. Without the MMF m is left out, without the CMA a; without both the streams
 * are added. Of a single stream s there is nothing to fuse: z = pooling(LN(GELU(s))).
 */

import {
  add,
  concat,
  gelu,
  mul,
  sigmoid,
  softmax,
  sub,
  unsqueeze,
  type Value,
  withScope,
} from '../../engine/onnx/index.js';
import {
  attentionBias,
  attentivePooling,
  type Dropout,
  dense,
  multiHeadAttention,
  norm,
  under,
  type Weights,
} from '../../nn/index.js';

export interface FusionConfig {
  /** d, of both streams. */
  readonly width: number;
  readonly mmf: boolean;
  readonly cma: boolean;
  /** Of attention and pooling; divides the width. */
  readonly heads: number;
  readonly feedForward: number;
  readonly headHidden: number;
  readonly classes: number;
  readonly dropout: number;
}

/** What the encoder gives for each frame; at least one of both. */
export interface Streams {
  /** Emotional features, float32 [N, L, d_a]. */
  readonly features: Value | undefined;
  /** Logits of the CTC head, float32 [N, L, symbols]. */
  readonly logits: Value | undefined;
  /** int64 [N, L], 1 on real frames. */
  readonly mask: Value;
}

/** Key prefixes of the parameters in checkpoints. */
export const FUSION_PREFIX = 'fusion.';
export const HEAD_PREFIX = 'head.';

const EPSILON = 1e-5;

/** z [N, d] and class logits [N, C]. */
export function fuse(
  weights: Weights,
  config: FusionConfig,
  streams: Streams,
  dropout: Dropout,
): { readonly embedding: Value; readonly logits: Value } {
  const own = under(weights, FUSION_PREFIX);
  const { graph } = streams.mask;
  const bias = attentionBias(streams.mask); // [N, L]
  const frames = withScope(graph, 'fusion', () => fusedFrames(own, config, streams, bias, dropout));
  const embedding = withScope(graph, 'pooling', () =>
    attentivePooling(under(own, 'pooling.'), frames, config.heads, unsqueeze(bias, [1])),
  );
  const head = under(weights, HEAD_PREFIX);
  const hidden = gelu(dense(head, 'dense', embedding, config.headHidden));
  return {
    embedding,
    logits: dense(head, 'out_proj', dropout(hidden, config.dropout, 'head'), config.classes),
  };
}

/** [N, L, d]. */
function fusedFrames(
  weights: Weights,
  config: FusionConfig,
  { features, logits }: Streams,
  bias: Value,
  dropout: Dropout,
): Value {
  const { width, dropout: rate } = config;
  const normed = (name: string, x: Value): Value => norm(weights, `${name}.LayerNorm`, x, EPSILON);
  const stream = (name: string, x: Value): Value => dropout(dense(weights, name, x, width), rate, name);
  const emotion = features && stream('emotion_projection', features);
  const phonetic = logits && stream('ppg_projection', softmax(logits));
  if (emotion === undefined || phonetic === undefined) return normed('fused', gelu((emotion ?? phonetic)!));
  const parts = [
    ...(config.mmf ? [gated(under(weights, 'mmf.'), emotion, phonetic)] : []),
    ...(config.cma
      ? [
          crossAttention(under(weights, 'cma.emotion.'), config, emotion, phonetic, bias, dropout, 'emotion'),
          crossAttention(under(weights, 'cma.ppg.'), config, phonetic, emotion, bias, dropout, 'ppg'),
        ]
      : []),
  ];
  return normed(
    'fused',
    (parts.length === 0 ? [emotion, phonetic] : parts).reduce((sum, part) => add(sum, part)),
  );
}

/** The MMF: [N, L, d] of two streams [N, L, d]. */
function gated(weights: Weights, emotion: Value, phonetic: Value): Value {
  const width = emotion.shape[2] as number;
  return withScope(emotion.graph, 'mmf', () => {
    const gate = sigmoid(dense(weights, 'gate', concat([emotion, phonetic], 2), width));
    const mixed = add(mul(gate, emotion), mul(sub(1, gate), phonetic));
    return norm(weights, 'LayerNorm', gelu(mixed), EPSILON);
  });
}

/** One direction of the CMA: frames of `asking` [N, L, d] attend to the real ones of `asked`. */
function crossAttention(
  weights: Weights,
  { width, heads, feedForward, dropout: rate }: FusionConfig,
  asking: Value,
  asked: Value,
  bias: Value,
  dropout: Dropout,
  direction: string,
): Value {
  const site = `cma.${direction}`;
  return withScope(asking.graph, site, () => {
    const attended = multiHeadAttention(
      {
        queries: dense(weights, 'query', asking, width),
        keys: dense(weights, 'key', asked, width),
        values: dense(weights, 'value', asked, width),
        bias: unsqueeze(bias, [1, 2]),
      },
      heads,
      (shares) => dropout(shares, rate, `${site}.shares`),
    );
    const out = dropout(dense(weights, 'output', attended, width), rate, `${site}.output`);
    const joined = norm(weights, 'attention.LayerNorm', add(asking, out), EPSILON);
    const inner = gelu(dense(weights, 'intermediate', joined, feedForward));
    const fed = dropout(dense(weights, 'feed_forward', inner, width), rate, `${site}.feed_forward`);
    return norm(weights, 'LayerNorm', add(joined, fed), EPSILON);
  });
}
