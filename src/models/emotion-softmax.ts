/** @file From hidden states to emotions: token-weighted cross-entropy over the answer, softmax over the label words. */

import {
  arange,
  cast,
  type Dim,
  div,
  equal,
  gather,
  logSoftmax,
  mul,
  multiplyDims,
  neg,
  reduceSum,
  reshape,
  sizeOf,
  softmax,
  unsqueeze,
  type Value,
} from '../engine/onnx/index.js';

/** q = softmax over the logits of the C label words alone (paper, eq. 9): [N, C] -> [N, C]. */
export function emotionSoftmax(labelLogits: Value): Value {
  return softmax(labelLogits);
}

/** Answers of a batch: A positions for each of N utterances, padded by weight 0. */
export interface Answers {
  /** Last hidden states of the language model: float32 [N, L, d]. */
  readonly hidden: Value;
  /** int64 [N * A]: rows of hidden as [N * L, d], each the one before the token that it predicts. Padding: any row. */
  readonly answerPositions: Value;
  /** int64 [N * A]: the true tokens. Padding: any token. */
  readonly answerTokens: Value;
  /** w, float32 [N * A]: higher for emotion words, 0 for padding. */
  readonly answerWeights: Value;
}

/**
 * L_CE = -(1 / N) sum_ij w_ij log P(t_ij) (paper, eq. 7).
 * @param toLogits the output matrix: [N * A, d] -> [N * A, V]; it never sees the other positions
 * @returns float32 scalar
 */
export function answerLoss(answers: Answers, toLogits: (hidden: Value) => Value): Value {
  const { hidden, answerPositions, answerTokens, answerWeights } = answers;
  const [batch, length, width] = hidden.shape as [Dim, Dim, Dim];
  const rows = reshape(hidden, [multiplyDims(batch, length), width]);
  const logits = toLogits(gather(rows, answerPositions, 0));
  const weighted = mul(tokenLogProbabilities(logits, answerTokens), answerWeights);
  return neg(div(reduceSum(weighted), cast(sizeOf(hidden, 0), 'float32')));
}

/** log P of one token for each row: logits [M, V], tokens int64 [M] -> [M]. */
export function tokenLogProbabilities(logits: Value, tokens: Value): Value {
  const words = arange(sizeOf(logits, 1), logits.shape[1]!); // [V]
  const isToken = equal(unsqueeze(words, [0]), unsqueeze(tokens, [1])); // [M, V]
  return reduceSum(mul(logSoftmax(logits), cast(isToken, 'float32')), [1]);
}
