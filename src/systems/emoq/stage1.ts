/** @file Stage 1 (paper section 2.4): the EmoQ-Former with an auxiliary head, trained with the MAL loss. */

import { gelu, softmax, type Value } from '../../engine/onnx/index.js';
import { normalArray, seededRandom, type Tensor, tensor } from '../../engine/tensor/index.js';
import type { ParameterShape } from '../../engine/training/index.js';
import {
  type AffectiveLossOptions,
  affectiveLoss,
  type BatchValues,
  type Dropout,
  dense,
  type EmbeddingQueue,
  emoqFormer,
  FORMER_PREFIX,
  type FormerConfig,
  formerAttention,
  formerInputs,
  formerViews,
  freshParameter,
  hasCrossAttention,
  type InputViews,
  noDropout,
  queuedAfter,
  under,
  type Weights,
} from '../../nn/index.js';
import { affectiveLossOptions } from '../affective-loss.js';
import type { PhaseAttention, PhaseGraphs } from '../system.js';
import type { EmoqRecipe } from './settings.js';
import { trainsFormerKey } from './settings.js';

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

/** The same with a queue of earlier embeddings, and that of the next step. */
export function queuedStage1Loss(
  weights: Weights,
  config: Stage1Config,
  losses: AffectiveLossOptions,
  batch: BatchValues,
  dropout: Dropout,
  queue: EmbeddingQueue,
): ReturnType<typeof stage1Loss> & { readonly queue: EmbeddingQueue } {
  const { embedding, logits } = stage1Forward(weights, config, batch, dropout);
  const labels = batch.labels!;
  return {
    ...affectiveLoss(embedding, logits, labels, losses, queue),
    queue: queuedAfter(embedding, labels, queue),
  };
}

/** Names of the queue in the memory of a training step. */
const QUEUE = { embeddings: 'scl_queue.embeddings', labels: 'scl_queue.labels' } as const;

/** Class logits z [N, C] of embeddings e'_q [N, d]. */
export function auxiliaryHead(
  weights: Weights,
  { hidden, classes, dropout: rate }: { hidden: number; classes: number; dropout: number },
  embeddings: Value,
  dropout: Dropout,
): Value {
  const inner = dropout(gelu(dense(weights, 'dense', embeddings, hidden)), rate, 'head');
  return dense(weights, 'out_proj', inner, classes);
}

/**
 * Initial values. e'_q has unit length rather than unit variance, so the first layer starts with standard deviation 1,
 * which gives its outputs unit variance.
 */
export function initialHead(
  parameters: readonly ParameterShape[],
  seed: number,
): Map<string, Tensor<'float32'>> {
  return new Map(
    parameters.map(({ key, shape }) => [
      key,
      key === 'dense.weight'
        ? tensor('float32', shape, normalArray(seededRandom(seed, 'head'), shape[0]! * shape[1]!, 1))
        : freshParameter(`head.${key}`, shape, seed),
    ]),
  );
}

/** What the queries of the Former of either stage attend to. */
export function stageAttention(former: FormerConfig, views: InputViews): PhaseAttention {
  const joint = former.roberta.numHiddenLayers;
  const crossing = Array.from({ length: joint }, (_, layer) => hasCrossAttention(former, layer));
  return {
    inputs: formerInputs(former.audioWidth, views),
    layers: { joint, frames: views === 'text' ? 0 : crossing.filter(Boolean).length },
    shares: (weights, batch) =>
      formerAttention(under(weights, FORMER_PREFIX), former, formerViews(batch, views)),
  };
}

/**
 * Stage 1 of a recipe as a phase: Former and auxiliary head, trained with the MAL loss.
 * @param trainingCounts utterances per label in the training set, used to compute alpha
 */
export function stage1Graphs(
  recipe: EmoqRecipe,
  former: FormerConfig,
  trainingCounts: readonly number[],
  frozen: PhaseGraphs['frozen'],
): PhaseGraphs {
  const config: Stage1Config = {
    former,
    inputs: recipe.inputs,
    headHidden: recipe.former.head_hidden,
    classes: recipe.labels.length,
  };
  const losses = affectiveLossOptions(recipe.stage1, trainingCounts);
  const queued = recipe.stage1.scl_weight > 0 ? recipe.stage1.scl_queue : 0;
  const queueShapes = [
    { name: QUEUE.embeddings, shape: [queued, former.roberta.hiddenSize] },
    { name: QUEUE.labels, shape: [queued] },
  ];
  return {
    name: 'stage1',
    inputs: formerInputs(former.audioWidth, config.inputs),
    targets: [{ name: 'labels', dtype: 'int64', shape: ['batch'] }],
    isTrainable: (key) => trainsFormerKey(recipe, key),
    frozen,
    ...(queued > 0 && { memory: queueShapes }),
    loss: (weights, batch, dropout, memory = {}) => {
      const parts = ({ contrastive, focal }: ReturnType<typeof stage1Loss>) => ({
        contrastive_loss: contrastive,
        focal_loss: focal,
      });
      const { [QUEUE.embeddings]: embeddings, [QUEUE.labels]: labels } = memory;
      if (embeddings === undefined || labels === undefined) {
        const made = stage1Loss(weights, config, losses, batch, dropout);
        return { loss: made.loss, reported: parts(made) };
      }
      const made = queuedStage1Loss(weights, config, losses, batch, dropout, { embeddings, labels });
      const { queue, loss } = made;
      return {
        loss,
        reported: parts(made),
        memory: { [QUEUE.embeddings]: queue.embeddings, [QUEUE.labels]: queue.labels },
      };
    },
    forward: (weights, batch) => {
      const { embedding, logits } = stage1Forward(weights, config, batch, noDropout);
      return { probabilities: softmax(logits), embedding };
    },
    attention: stageAttention(former, config.inputs),
  };
}
