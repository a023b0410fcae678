/**
 * @file What a stage reads, told by its own graph: it is built at the smallest sizes there are, and asked for its inputs
 * and weights. What it does not read need not be there.
 */

import type { DecoderConfig } from '../backbones/index.js';
import { FORMER_PREFIX, type RobertaConfig } from '../nn/index.js';
import type { Recipe } from '../recipe/index.js';
import { stageParameters } from './stage.js';
import { type StageKeys, startsFromStage1 } from './stage-order.js';
import { defineStage } from './stages.js';

export interface StageNeeds {
  /** Features of the clips, so the audio files and an encoder. */
  readonly audio: boolean;
  /** Tokens of the Former's text, so RoBERTa's tokenizer. */
  readonly text: boolean;
  /** A Former, so RoBERTa's config. */
  readonly former: boolean;
  /** Weights of RoBERTa itself: those that stay frozen, and those that training starts from. */
  readonly formerWeights: boolean;
  /** Prompts, so the language model and its tokenizer. */
  readonly llm: boolean;
}

/** Where trained parameters come from: the backbones, or a checkpoint that training made before. */
export type Start = 'backbones' | 'checkpoint';

/** The sizes are of no model: they only have to go together. */
const OUTLINE_ROBERTA: RobertaConfig = {
  vocabSize: 2,
  hiddenSize: 1,
  numHiddenLayers: 1,
  numAttentionHeads: 1,
  intermediateSize: 1,
  maxPositionEmbeddings: 4,
  typeVocabSize: 1,
  padTokenId: 0,
  layerNormEps: 1e-5,
  hiddenDropoutProb: 0,
  attentionProbsDropoutProb: 0,
};
const OUTLINE_DECODER: DecoderConfig = {
  family: 'qwen2',
  biases: [],
  queryKeyNorm: false,
  vocabSize: 2,
  hiddenSize: 2,
  numHiddenLayers: 1,
  numAttentionHeads: 1,
  numKeyValueHeads: 1,
  headDim: 2,
  intermediateSize: 1,
  rmsNormEps: 1e-5,
  ropeTheta: 1e4,
  tieWordEmbeddings: true,
  maxPositionEmbeddings: 4,
};

/**
 * What a stage of a recipe reads.
 * @param start whether its parameters start from the backbones
 * @throws InputError for a stage that the recipe does not have
 */
export function stageNeeds(recipe: Recipe, number: 1 | 2, start: Start): StageNeeds {
  const former = { ...recipe.former, queries: 1, pooling_heads: 1, head_hidden: 1 };
  const stage = defineStage(
    { ...recipe, former },
    number,
    { audioWidth: 1, former: OUTLINE_ROBERTA, llm: number === 2 ? OUTLINE_DECODER : undefined },
    { trainingCounts: recipe.labels.map(() => 1), labelTokenIds: recipe.labels.map(() => 0) },
    () => {
      throw new Error('an outline has no weights');
    },
  );
  const inputs = new Set(stage.inputs.map(({ name }) => name));
  const { trainable, frozen } = stageParameters(stage);
  const isFormers = ({ key }: { readonly key: string }): boolean => key.startsWith(FORMER_PREFIX);
  const hasFormer = [...trainable, ...frozen].some(isFormers);
  return {
    audio: inputs.has('audio_features'),
    text: inputs.has('input_ids'),
    former: hasFormer,
    formerWeights: frozen.some(isFormers) || (hasFormer && start === 'backbones'),
    llm: inputs.has('prompt_ids'),
  };
}

/** Where the training of a stage starts. */
export function trainingStart(recipe: StageKeys, number: 1 | 2): Start {
  return number === 2 && startsFromStage1(recipe) ? 'checkpoint' : 'backbones';
}
