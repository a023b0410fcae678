/** @file The two stages of a recipe, from the configs of its backbones; weights are touched only where they are given. */

import type { DecoderConfig } from '../backbones/index.js';
import { InputError } from '../base/index.js';
import type { Graph } from '../engine/onnx/index.js';
import { softmax } from '../engine/onnx/index.js';
import {
  classWeights,
  FORMER_PREFIX,
  type FormerConfig,
  formerInputs,
  noDropout,
  type RobertaConfig,
  type Weights,
  WORD_EMBEDDINGS_KEY,
} from '../nn/index.js';
import type { Recipe } from '../recipe/index.js';
import {
  answerInputs,
  type Stage1Config,
  type Stage2Config,
  stage1Forward,
  stage1Loss,
  stage2Forward,
  stage2Inputs,
  stage2Loss,
} from '../systems/index.js';
import type { Stage } from './stage.js';
import { hasStage1 } from './stage-order.js';

/** What a stage's models are built from: of each backbone that the stage reads. */
export interface BackboneConfigs {
  /** Width of the encoder's features; 0 where none are read. */
  readonly audioWidth: number;
  readonly former: RobertaConfig | undefined;
  readonly llm: DecoderConfig | undefined;
}

/** The Former of a recipe. @throws InputError when its sizes do not go together */
export function formerConfig(
  recipe: Pick<Recipe, 'former' | 'backbones'>,
  encoder: { readonly hiddenSize: number },
  roberta: RobertaConfig,
): FormerConfig {
  const { queries, cross_attention_every, pooling_heads, dropout, attention_dropout, train_word_embeddings } =
    recipe.former;
  if (roberta.hiddenSize % pooling_heads !== 0) {
    throw new InputError(
      `former.pooling_heads ${pooling_heads} does not divide the width ${roberta.hiddenSize} of ${recipe.backbones.former}`,
    );
  }
  return {
    roberta,
    audioWidth: encoder.hiddenSize,
    queries,
    crossAttentionEvery: cross_attention_every,
    poolingHeads: pooling_heads,
    dropout,
    attentionDropout: attention_dropout,
    trainWordEmbeddings: train_word_embeddings,
  };
}

/** Word embeddings stay frozen unless the recipe trains them; everything else of the Former is trained. */
function trainsFormerKey({ former }: Pick<Recipe, 'former'>, key: string): boolean {
  return former.train_word_embeddings || key !== FORMER_PREFIX + WORD_EMBEDDINGS_KEY;
}

/** What a stage is defined by beside its recipe and its models. */
export interface StageTask {
  /** Utterances per label in the training set, from which the focal loss has its class weights. */
  readonly trainingCounts: readonly number[];
  /** First token of each label word; stage 2 alone. */
  readonly labelTokenIds: readonly number[];
}

/** Stage 1 or 2 of a recipe. @throws InputError for one that the recipe does not have */
export function defineStage(
  recipe: Recipe,
  number: 1 | 2,
  { audioWidth, former: roberta, llm }: BackboneConfigs,
  { trainingCounts, labelTokenIds }: StageTask,
  frozen: (graph: Graph) => Weights,
): Stage {
  const former = roberta && formerConfig(recipe, { hiddenSize: audioWidth }, roberta);
  if (number === 1) return defineStage1(recipe, former, trainingCounts, frozen);
  return defineStage2(recipe, former ?? { audioWidth }, llm!, labelTokenIds, frozen);
}

/**
 * Stage 1: Former and auxiliary head under the MAL loss.
 * @param trainingCounts utterances per label in the training set, from which alpha is computed
 * @throws InputError for a recipe without a Former
 */
function defineStage1(
  recipe: Recipe,
  former: FormerConfig | undefined,
  trainingCounts: readonly number[],
  frozen: (graph: Graph) => Weights,
): Stage {
  if (!hasStage1(recipe) || former === undefined) {
    throw new InputError(
      `recipe ${recipe.name} has no Former to train in stage 1 (fusion is none); run stage2 alone`,
    );
  }
  const config: Stage1Config = {
    former,
    inputs: recipe.inputs,
    headHidden: recipe.former.head_hidden,
    classes: recipe.labels.length,
  };
  const { scl_temperature, focal_gamma, scl_weight, focal_weight } = recipe.stage1;
  const { focal_alpha, focal_alpha_beta } = recipe.stage1;
  const losses = {
    temperature: scl_temperature,
    gamma: focal_gamma,
    alpha: classWeights(trainingCounts, focal_alpha === 'effective' ? focal_alpha_beta : undefined),
    contrastiveWeight: scl_weight,
    focalWeight: focal_weight,
  };
  return {
    number: 1,
    inputs: formerInputs(former.audioWidth, config.inputs),
    targets: [{ name: 'labels', dtype: 'int64', shape: ['batch'] }],
    isTrainable: (key) => trainsFormerKey(recipe, key),
    frozen,
    loss: (weights, batch, dropout) => {
      const { loss, contrastive, focal } = stage1Loss(weights, config, losses, batch, dropout);
      return { loss, reported: { contrastive_loss: contrastive, focal_loss: focal } };
    },
    forward: (weights, batch) => {
      const { embedding, logits } = stage1Forward(weights, config, batch, noDropout);
      return { probabilities: softmax(logits), embedding };
    },
  };
}

/** Stage 2: Former (where the recipe has one), projector and LoRA under token-weighted cross-entropy. */
function defineStage2(
  recipe: Recipe,
  former: Stage2Config['former'],
  llm: DecoderConfig,
  labelTokenIds: readonly number[],
  frozen: (graph: Graph) => Weights,
): Stage {
  const config: Stage2Config = {
    former,
    inputs: recipe.inputs,
    fusion: recipe.fusion,
    llm,
    lora: recipe.lora,
    projectorHidden: recipe.projector.hidden,
    labelTokenIds,
  };
  return {
    number: 2,
    inputs: stage2Inputs(config),
    targets: answerInputs,
    isTrainable: (key) => !/^(model|lm_head)\./.test(key) && trainsFormerKey(recipe, key),
    frozen,
    loss: (weights, batch, dropout) => ({ loss: stage2Loss(weights, config, batch, dropout), reported: {} }),
    forward: (weights, batch) => stage2Forward(weights, config, batch, noDropout),
  };
}
