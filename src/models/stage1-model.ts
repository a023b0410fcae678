/** @file Stage 1 (paper section 2.4): the EmoQ-Former with an auxiliary head, trained by the MAL loss. */

import { cast, type Dim, type Value } from '../engine/onnx/index.js';
import type { DType } from '../engine/tensor/index.js';
import { type AffectiveLossOptions, affectiveLoss } from './affective-losses.js';
import { auxiliaryHead } from './auxiliary-head.js';
import { emoqFormer, type FormerConfig, type FormerInputs } from './former/index.js';
import { type Dropout, under, type Weights } from './weights.js';

/** Which views of an utterance the system is given (paper, table 4). */
export type InputViews = 'both' | 'audio' | 'text';

/** An input of one batch; symbolic axes differ from batch to batch. */
export interface ModelInput {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly Dim[];
}

export interface Stage1Config {
  readonly former: FormerConfig;
  readonly inputs: InputViews;
  readonly headHidden: number;
  readonly classes: number;
}

export type BatchValues = Readonly<Record<string, Value>>;

/** Key prefixes of the two parts in checkpoints. */
export const FORMER_PREFIX = 'former.';
export const HEAD_PREFIX = 'head.';

/** What the Former reads of a batch: features are float16 on the way in and float32 inside. */
export function formerInputs(audioWidth: number, views: InputViews): ModelInput[] {
  const audio: ModelInput[] = [
    { name: 'audio_features', dtype: 'float16', shape: ['batch', 'frames', audioWidth] },
    { name: 'frame_mask', dtype: 'int64', shape: ['batch', 'frames'] },
  ];
  const text: ModelInput[] = [
    { name: 'input_ids', dtype: 'int64', shape: ['batch', 'text'] },
    { name: 'attention_mask', dtype: 'int64', shape: ['batch', 'text'] },
  ];
  return [...(views !== 'text' ? audio : []), ...(views !== 'audio' ? text : [])];
}

/** The Former's inputs out of a batch. */
export function formerViews(batch: BatchValues, views: InputViews): FormerInputs {
  return {
    audio:
      views === 'text'
        ? undefined
        : { values: cast(batch.audio_features!, 'float32'), mask: batch.frame_mask! },
    text: views === 'audio' ? undefined : { values: batch.input_ids!, mask: batch.attention_mask! },
  };
}

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
