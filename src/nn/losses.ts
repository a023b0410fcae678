/**
 * @file Multi-objective affective learning (paper section 2.2): supervised contrastive and focal loss. Also the losses
 * of the language model.
 */

import {
  add,
  and,
  arange,
  cast,
  clip,
  concat,
  constant,
  countAlong,
  type Dim,
  div,
  equal,
  exp,
  gather,
  logSoftmax,
  matmul,
  max,
  mul,
  multiplyDims,
  neg,
  not,
  pow,
  reduceMean,
  reduceSum,
  reshape,
  sizeOf,
  slice,
  softmax,
  sub,
  transpose,
  unsqueeze,
  type Value,
} from '../engine/onnx/index.js';
import { float32 } from '../engine/tensor/index.js';

/** Embeddings of earlier batches, which anchors are compared with too. */
export interface EmbeddingQueue {
  /** [Q, d], rows of unit length, the newest first; rows that have not been filled yet are zeros. */
  readonly embeddings: Value;
  /** float32 [Q]: label + 1, and 0 where there is no embedding yet. */
  readonly labels: Value;
}

/**
 * Supervised contrastive loss (eq. 4; Khosla et al., 2020). For anchor i: the mean over its positives j (same label, j
 * != i) of -log( exp(e_i.e_j / tau) / sum over k != i of exp(e_i.e_k / tau) ); then the mean over the batch. An anchor
 * without positives contributes 0.
 * @param embeddings e'_q [N, d], rows of unit length
 * @param labels int64 [N]
 * @param queue further j and k for every anchor (Wang et al., 2020); they are no anchors, and have no gradient
 * @returns scalar
 */
export function supervisedContrastiveLoss(
  embeddings: Value,
  labels: Value,
  temperature: number,
  queue?: EmbeddingQueue,
): Value {
  if (queue !== undefined) return queuedContrastiveLoss(embeddings, labels, temperature, queue);
  const similarities = mul(matmul(embeddings, transpose(embeddings, [1, 0])), 1 / temperature); // [N, N]
  const rows = arange(sizeOf(labels, 0), labels.shape[0]!);
  const self = equal(unsqueeze(rows, [1]), unsqueeze(rows, [0])); // [N, N]
  // exp(-1e9) is exactly 0, which removes the anchor itself from its denominator.
  const others = add(similarities, mul(cast(self, 'float32'), -1e9));
  const logProbabilities = logSoftmax(others);
  const positives = cast(and(equal(unsqueeze(labels, [1]), unsqueeze(labels, [0])), not(self)), 'float32');
  const perAnchor = div(
    reduceSum(mul(logProbabilities, positives), [1]),
    max(reduceSum(positives, [1]), 1), // |P(i)|, 1 where there are none
  );
  return neg(reduceMean(perAnchor));
}

function queuedContrastiveLoss(
  embeddings: Value,
  labels: Value,
  temperature: number,
  queue: EmbeddingQueue,
): Value {
  const keys = concat([embeddings, queue.embeddings], 0); // [N + Q, d]
  const similarities = mul(matmul(embeddings, transpose(keys, [1, 0])), 1 / temperature); // [N, N + Q]
  const own = queueLabels(labels);
  const others = concat([own, queue.labels], 0); // [N + Q]
  const rows = arange(sizeOf(labels, 0), labels.shape[0]!);
  const columns = arange(sizeOf(others, 0), others.shape[0]!);
  const self = equal(unsqueeze(rows, [1]), unsqueeze(columns, [0])); // [N, N + Q]
  const absent = unsqueeze(cast(equal(others, 0), 'float32'), [0]);
  const excluded = max(cast(self, 'float32'), absent);
  const logProbabilities = logSoftmax(add(similarities, mul(excluded, -1e9)));
  const positives = cast(and(equal(unsqueeze(own, [1]), unsqueeze(others, [0])), not(self)), 'float32');
  const perAnchor = div(
    reduceSum(mul(logProbabilities, positives), [1]),
    max(reduceSum(positives, [1]), 1), // |P(i)|, 1 where there are none
  );
  return neg(reduceMean(perAnchor));
}

const queueLabels = (labels: Value): Value => add(cast(labels, 'float32'), 1);

/** A queue with a batch before its earlier entries, of which the oldest drop out. */
export function queuedAfter(embeddings: Value, labels: Value, queue: EmbeddingQueue): EmbeddingQueue {
  const [size] = queue.labels.shape as [number];
  const first = (newer: Value, older: Value): Value => slice(concat([newer, older], 0), 0, 0, size);
  return {
    embeddings: first(embeddings, queue.embeddings),
    labels: first(queueLabels(labels), queue.labels),
  };
}

/**
 * Mean cross-entropy of a batch.
 * @param logits [N, C]
 * @param labels int64 [N]
 * @returns scalar
 */
export function crossEntropy(logits: Value, labels: Value): Value {
  return neg(reduceMean(tokenLogProbabilities(logits, labels)));
}

/**
 * Focal loss (eq. 5; Lin et al., 2020): mean of -alpha_y (1 - p_y)^gamma log p_y.
 * @param logits [N, C]
 * @param labels int64 [N]
 * @param alpha class weights in [0, 1], C of them
 * @returns scalar
 */
export function focalLoss(logits: Value, labels: Value, alpha: readonly number[], gamma: number): Value {
  const { graph } = logits;
  const logProbabilities = logSoftmax(logits); // [N, C]
  const classes = arange(sizeOf(logits, 1), logits.shape[1]!);
  const oneHot = cast(equal(unsqueeze(labels, [1]), unsqueeze(classes, [0])), 'float32');
  const logP = reduceSum(mul(logProbabilities, oneHot), [1]); // [N]
  const weights = gather(constant(graph, float32([alpha.length], alpha)), labels, 0);
  if (gamma === 0) return neg(reduceMean(mul(weights, logP)));
  // Clipped above 0, where the derivative of x^gamma is not finite for gamma < 1.
  const hardness = pow(clip(sub(1, exp(logP)), 1e-12, 1), gamma);
  return neg(reduceMean(mul(mul(weights, hardness), logP)));
}

export interface AffectiveLossOptions {
  readonly temperature: number;
  readonly gamma: number;
  readonly alpha: readonly number[];
  /** Weight of the contrastive loss: 1, or 0 for the ablation without it. */
  readonly contrastiveWeight: number;
  /** Weight lambda of the focal loss (eq. 6). */
  readonly focalWeight: number;
}

/** L_MAL = L_SCL + lambda L_focal (eq. 6), and its two terms. */
export function affectiveLoss(
  embeddings: Value,
  logits: Value,
  labels: Value,
  options: AffectiveLossOptions,
  queue?: EmbeddingQueue,
): { loss: Value; contrastive: Value; focal: Value } {
  const contrastive = supervisedContrastiveLoss(embeddings, labels, options.temperature, queue);
  const focal = focalLoss(logits, labels, options.alpha, options.gamma);
  const loss = add(mul(contrastive, options.contrastiveWeight), mul(focal, options.focalWeight));
  return { loss, contrastive, focal };
}

/**
 * Class weights alpha from the training set's class counts, scaled so that the rarest class gets 1: inverse frequency,
 * or with `beta` the inverse effective number of samples (1 - beta^n) / (1 - beta) (Cui et al., 2019). Beta 0 weighs
 * all classes equally; beta near 1 approaches inverse frequency. A class without training utterances also gets 1.
 * @param beta in [0, 1)
 */
export function classWeights(counts: readonly number[], beta?: number): number[] {
  // 1 - beta^n without the loss of digits for beta near 1.
  const size = (count: number): number => (beta === undefined ? count : -Math.expm1(count * Math.log(beta)));
  const present = counts.filter((count) => count > 0);
  const rarest = present.length > 0 ? size(Math.min(...present)) : 1;
  return counts.map((count) => (count > 0 ? rarest / size(count) : 1));
}

/** q = softmax over the logits of the C label words only (paper, eq. 9): [N, C] -> [N, C]. */
export function emotionSoftmax(labelLogits: Value): Value {
  return softmax(labelLogits);
}

/** Answers of a batch: A positions for each of N utterances; padding has weight 0. */
export interface Answers {
  /** Last hidden states of the language model: float32 [N, L, d]. */
  readonly hidden: Value;
  /** int64 [N * A]: rows of hidden as [N * L, d], each the one before the token to predict. Padding: any row. */
  readonly answerPositions: Value;
  /** int64 [N * A]: the target tokens. Padding: any token. */
  readonly answerTokens: Value;
  /** w, float32 [N * A]: higher for emotion words, 0 for padding. */
  readonly answerWeights: Value;
}

/**
 * L_CE = -(1 / N) sum_ij w_ij log P(t_ij) (paper, eq. 7).
 * @param toLogits the output matrix: [N * A, d] -> [N * A, V]; applied to the answer positions only
 * @returns float32 scalar
 */
export function answerLoss(answers: Answers, toLogits: (hidden: Value) => Value): Value {
  const { hidden, answerPositions, answerTokens, answerWeights } = answers;
  const [batch, length, width] = hidden.shape as [Dim, Dim, Dim];
  const rows = reshape(hidden, [multiplyDims(batch, length), width]);
  const logits = toLogits(gather(rows, answerPositions, 0));
  const weighted = mul(tokenLogProbabilities(logits, answerTokens), answerWeights);
  return neg(div(reduceSum(weighted), countAlong(hidden, [0], 'float32')));
}

/**
 * Mean cross-entropy over the frames of a batch that count.
 * @param logits [N, L, V]
 * @param labels int64 [N, L]; any where the mask is 0
 * @param mask int64 [N, L]: 1 on frames that count
 * @returns scalar
 */
export function frameCrossEntropy(logits: Value, labels: Value, mask: Value): Value {
  const size = logits.shape[2] as number;
  const rows = multiplyDims(logits.shape[0]!, logits.shape[1]!);
  const logP = tokenLogProbabilities(reshape(logits, [rows, size]), reshape(labels, [rows]));
  const counted = reshape(cast(mask, 'float32'), [rows]);
  return neg(div(reduceSum(mul(logP, counted)), reduceSum(counted)));
}

/** log P of one token for each row: logits [M, V], tokens int64 [M] -> [M]. */
export function tokenLogProbabilities(logits: Value, tokens: Value): Value {
  const words = arange(sizeOf(logits, 1), logits.shape[1]!); // [V]
  const isToken = equal(unsqueeze(words, [0]), unsqueeze(tokens, [1])); // [M, V]
  return reduceSum(mul(logSoftmax(logits), cast(isToken, 'float32')), [1]);
}
