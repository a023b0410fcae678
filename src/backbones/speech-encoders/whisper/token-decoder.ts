/**
 * @file The decoder of Whisper (Radford et al., 2022) as a graph fragment: one step for one token, and greedy decoding
 * as a Loop of such steps. The loop has the keys and values of earlier tokens as its states, and reads those of the
 * window, which are computed once.
 */

import {
  add,
  cast,
  concat,
  constant,
  div,
  equal,
  exp,
  expand,
  gather,
  int64Vector,
  less,
  linear,
  loop,
  max,
  min,
  neg,
  onDevice,
  pad,
  reduceMax,
  reduceSum,
  scalar,
  sizeOf,
  squeeze,
  sub,
  transpose,
  unsqueeze,
  type Value,
  where,
  withScope,
} from '../../../engine/onnx/index.js';
import { float32 } from '../../../engine/tensor/index.js';
import {
  asStored,
  attendedHeads,
  dense,
  keyHeads,
  norm,
  queryHeads,
  under,
  valueHeads,
  type Weights,
} from '../../../nn/index.js';
import { feedForward, NORM_EPSILON, unbiased } from './layer-parts.js';
import type { WhisperDecoderConfig } from './token-decoder-config.js';

/** Keys [N, heads, d_k, L] and values [N, heads, L, d_k] of a layer. */
export interface HeadKeysAndValues {
  readonly keys: Value;
  readonly values: Value;
}

/** What each layer attends to in a window, from all of its frames: states [N, positions, width]. */
export function windowKeysAndValues(
  weights: Weights,
  config: WhisperDecoderConfig,
  states: Value,
): HeadKeysAndValues[] {
  const { hiddenSize: width, numAttentionHeads: heads } = config;
  return Array.from({ length: config.numHiddenLayers }, (_, layer) => {
    const name = `layers.${layer}.encoder_attn`;
    return withScope(states.graph, name, () => {
      const own = under(weights, `${name}.`);
      return {
        keys: keyHeads(unbiased(own, 'k_proj', states), heads),
        values: valueHeads(dense(own, 'v_proj', states, width), heads),
      };
    });
  });
}

export interface DecoderStep {
  /** Ids int64 [N, 1]. */
  readonly tokens: Value;
  /** Their place in the text, from 0: int64 scalar, on the device. */
  readonly position: Value;
  /** Of the tokens before, by layer. */
  readonly past: readonly HeadKeysAndValues[];
  /** {@link windowKeysAndValues} */
  readonly window: readonly HeadKeysAndValues[];
}

/**
 * One token more. Every token attends to itself and to all before it, so that no mask is needed.
 * @returns logits float32 [N, 1, vocabulary], and keys and values with those of this token
 */
export function decoderStep(
  weights: Weights,
  config: WhisperDecoderConfig,
  { tokens, position, past, window }: DecoderStep,
): { readonly logits: Value; readonly keysAndValues: readonly HeadKeysAndValues[] } {
  const { graph } = tokens;
  const { hiddenSize: width, maxTargetPositions, vocabSize } = config;
  const table = weights('embed_tokens.weight', [vocabSize, width]);
  const embedded = cast(gather(asStored(table), tokens, 0), 'float32');
  const positions = asStored(weights('embed_positions.weight', [maxTargetPositions, width]));
  let hidden = add(embedded, cast(gather(positions, position, 0), 'float32'));
  const keysAndValues: HeadKeysAndValues[] = [];
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    const name = `layers.${layer}`;
    hidden = withScope(graph, name, () => {
      const own = under(weights, `${name}.`);
      const attended = selfAttention(own, config, hidden, past[layer]!);
      keysAndValues.push(attended);
      return feedForward(
        own,
        crossAttention(own, config, attended.x, window[layer]!),
        config.intermediateSize,
      );
    });
  }
  const last = withScope(graph, 'layer_norm', () => norm(weights, 'layer_norm', hidden, NORM_EPSILON));
  // The embeddings are the output matrix too.
  const logits = withScope(graph, 'logits', () => cast(linear(cast(last, table.dtype), table), 'float32'));
  return { logits, keysAndValues };
}

/** x [N, 1, width] -> [N, 1, width], and the keys and values so far. */
function selfAttention(
  weights: Weights,
  { hiddenSize: width, numAttentionHeads: heads }: WhisperDecoderConfig,
  x: Value,
  past: HeadKeysAndValues,
): HeadKeysAndValues & { readonly x: Value } {
  return withScope(x.graph, 'self_attn', () => {
    const own = under(weights, 'self_attn.');
    const normed = norm(weights, 'self_attn_layer_norm', x, NORM_EPSILON);
    const queries = queryHeads(dense(own, 'q_proj', normed, width), heads);
    const keys = concat([past.keys, keyHeads(unbiased(own, 'k_proj', normed), heads)], 3);
    const values = concat([past.values, valueHeads(dense(own, 'v_proj', normed, width), heads)], 2);
    const mixed = attendedHeads({ queries, keys, values });
    return { x: add(x, dense(own, 'out_proj', mixed, width)), keys, values };
  });
}

/** x [N, 1, width] -> [N, 1, width]. */
function crossAttention(
  weights: Weights,
  { hiddenSize: width, numAttentionHeads: heads }: WhisperDecoderConfig,
  x: Value,
  window: HeadKeysAndValues,
): Value {
  return withScope(x.graph, 'encoder_attn', () => {
    const own = under(weights, 'encoder_attn.');
    const normed = norm(weights, 'encoder_attn_layer_norm', x, NORM_EPSILON);
    const queries = queryHeads(dense(own, 'q_proj', normed, width), heads);
    return add(x, dense(own, 'out_proj', attendedHeads({ queries, ...window }), width));
  });
}

/** What may be said at each step of decoding. */
export interface DecodingTable {
  /** The first token. */
  readonly first: number;
  /**
   * float32 [steps, vocabulary], row-major, added to the logits: minus infinity where a token must not follow. Later
   * steps have the last row.
   */
  readonly biases: Float32Array;
  /** Tokens that end a text. */
  readonly ends: readonly number[];
  /** Tokens of the longest text, the first one included. */
  readonly maxTokens: number;
}

/**
 * Greedy decoding: the likeliest token that the table allows (of equal ones the first), until all texts have ended.
 * @param states of whole windows, [N, positions, width]
 * @returns float32 [N, maxTokens - 1, 2]: the tokens after the first, and how likely each was among those allowed. What
 *   follows the end of a text means nothing. The likelihood is NaN where logits are
 */
export function greedyDecoding(
  weights: Weights,
  config: WhisperDecoderConfig,
  states: Value,
  { first, biases, ends, maxTokens }: DecodingTable,
): Value {
  const { graph } = states;
  const { hiddenSize, numAttentionHeads: heads, numHiddenLayers, vocabSize } = config;
  const window = windowKeysAndValues(weights, config, states);
  const rows = biases.length / vocabSize;
  const table = constant(graph, float32([rows, vocabSize], biases));
  // Negative, so that the largest is the first.
  const places = constant(
    graph,
    float32(
      [vocabSize],
      Float32Array.from({ length: vocabSize }, (_, id) => -id),
    ),
  );
  const batch = states.shape[0]!;
  const filled = (value: Value, shape: readonly number[]): Value => {
    const sizes = concat([unsqueeze(sizeOf(states, 0), [0]), int64Vector(graph, shape)], 0);
    return expand(value, sizes, [batch, ...shape]);
  };
  const headWidth = hiddenSize / heads;
  const zero = scalar(graph, 0);
  const pastShapes = [
    [heads, headWidth, 0],
    [heads, 0, headWidth],
  ];
  const initial = [
    filled(scalar(graph, first, 'int64'), [1]),
    filled(zero, [1]),
    ...Array.from({ length: 2 * numHiddenLayers }, (_, part) => filled(zero, pastShapes[part % 2]!)),
  ];
  const growing = new Map(
    Array.from({ length: 2 * numHiddenLayers }, (_, part) => [
      2 + part,
      { axis: part % 2 === 0 ? 3 : 2, length: 'past' },
    ]),
  );
  const steps = maxTokens - 1;
  const { collected } = loop(
    scalar(graph, steps, 'int64'),
    'steps',
    initial,
    (body, iteration, [tokens, ended, ...carried]) => {
      const position = onDevice(iteration);
      const past = Array.from({ length: numHiddenLayers }, (_, layer) => ({
        keys: carried[2 * layer]!,
        values: carried[2 * layer + 1]!,
      }));
      const { logits, keysAndValues } = decoderStep(weights, config, {
        ...{ tokens: tokens!, position, past, window },
      });
      return withScope(body, 'choice', () => {
        const allowed = add(logits, gather(table, min(position, rows - 1), 0)); // [N, 1, V]
        const best = reduceMax(allowed, [-1], true);
        const likelihood = div(1, squeeze(reduceSum(exp(sub(allowed, best)), [-1], true), [2])); // [N, 1]
        // NaN equals nothing: then it is the last one, so that the next step has a token.
        const chosen = neg(reduceMax(where(equal(allowed, best), places, 1 - vocabSize), [-1])); // [N, 1]
        const next = cast(chosen, 'int64');
        const done = ends.reduce((before, end) => max(before, cast(equal(next, end), 'float32')), ended!);
        return {
          states: [next, done, ...keysAndValues.flatMap(({ keys, values }) => [keys, values])],
          collected: [{ name: 'said', value: concat([chosen, likelihood], 1) }],
          goOn: less(neg(reduceMax(neg(done))), 1),
        };
      });
    },
    growing,
  );
  const said = transpose(collected[0]!, [1, 0, 2]); // [N, steps, 2]
  const missing = sub(steps, sizeOf(said, 1));
  return pad(said, 1, int64Vector(graph, [0]), unsqueeze(missing, [0]), steps);
}
