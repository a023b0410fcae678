/** @file Stage 1 (paper section 2.4): the EmoQ-Former with an auxiliary head, trained by the MAL loss. */

import type { Value } from '../engine/onnx/index.js';
import { type AffectiveLossOptions, affectiveLoss } from './affective-losses.js';
import { auxiliaryHead } from './auxiliary-head.js';
import { emoqFormer, type FormerConfig } from './former/index.js';
import { type BatchValues, FORMER_PREFIX, formerViews, type InputViews } from './former/inputs.js';
import { type Dropout, under, type Weights } from './weights.js';

export interface Stage1Config {
  readonly former: FormerConfig;
  readonly inputs: InputViews;
  readonly headHidden: number;
  readonly classes: number;
}

/** Key prefix of the auxiliary head in checkpoints. */
export const HEAD_PREFIX = 'head.';

/** Embedding e'_q [N, d_h] and class logits [N, C]. */
export function stage1Forward(
  weights: Weights,
  config: Stage1Config,
  batch: BatchValues,
  dropout: Dropout,
): { embedding: Value; logits: Value } {
  const { former, inputs, headHidden: hidden, classes } = config;
  const embedding = emoqFormer(under(weights, FORMER_PREFIX), former, formerViews(batch, inputs), dropout);
  const head = { hidden, classes, dropout: former.dropout };
  return { embedding, logits: auxiliaryHead(under(weights, HEAD_PREFIX), head, embedding, dropout) };
}

/** The stage-1 objective on a batch that also has `labels` int64 [N]. */
export function stage1Loss(
  weights: Weights,
  config: Stage1Config,
  losses: AffectiveLossOptions,
  batch: BatchValues,
  dropout: Dropout,
): { loss: Value; contrastive: Value; focal: Value } {
  const { embedding, logits } = stage1Forward(weights, config, batch, dropout);
  return affectiveLoss(embedding, logits, batch.labels!, losses);
}
