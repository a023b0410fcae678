/**
 * @file Determines what a stage reads by building its graph at minimal sizes and listing the graph's inputs and
 * weights. Anything it does not read may be missing.
 */

import type { DecoderConfig } from '../../backbones/index.js';
import { FORMER_PREFIX, type RobertaConfig } from '../../nn/index.js';
import { type EncoderReading, NO_AUDIO, withEncoderLayers } from '../encoder-layers.js';
import { phaseParameters } from '../phase-graphs.js';
import type { PhaseGraphs, StartingPoint } from '../system.js';
import type { EmoqRecipe } from './settings.js';
import { formerConfig } from './settings.js';
import { stage1Graphs } from './stage1.js';
import { stage2Graphs } from './stage2.js';

/** What a stage reads, per backbone. */
export interface StageNeeds {
  /** Features of the clips, and therefore the audio files and an encoder. */
  readonly audio: boolean;
  /** Tokens of the Former's text, and therefore RoBERTa's tokenizer. */
  readonly text: boolean;
  /** A Former, and therefore RoBERTa's config. */
  readonly former: boolean;
  /** RoBERTa's own weights: those that stay frozen, and those that training starts from. */
  readonly formerWeights: boolean;
  /** Prompts, and therefore the language model and its tokenizer. */
  readonly llm: boolean;
}

/** Arbitrary sizes that are consistent with each other. */
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
const OUTLINE_ENCODER: EncoderReading = { ...NO_AUDIO, width: 1 };
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
 */
export function stageNeeds(recipe: EmoqRecipe, phase: string, start: StartingPoint): StageNeeds {
  const former = { ...recipe.former, layers: 'all' as const, queries: 1, pooling_heads: 1, head_hidden: 1 };
  const labelTokenIds = recipe.labels.map(() => 0);
  const configs = { audio: OUTLINE_ENCODER, former: OUTLINE_ROBERTA, llm: OUTLINE_DECODER };
  const graphs = stageGraphs({ ...recipe, former }, phase, configs, labelTokenIds, undefined, () => {
    throw new Error('an outline has no weights');
  });
  const inputs = new Set(graphs.inputs.map(({ name }) => name));
  const { trainable, frozen } = phaseParameters(graphs);
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

/** The configs of the backbones that a stage reads. */
export interface BackboneConfigs {
  readonly audio: EncoderReading;
  readonly former: RobertaConfig | undefined;
  readonly llm: DecoderConfig | undefined;
}

/**
 * The graphs of a stage.
 * @param labelTokenIds first token of each label word; stage 2 only
 * @param trainingCounts utterances of each label in the training set, for the focal loss; default equal counts
 */
export function stageGraphs(
  recipe: EmoqRecipe,
  phase: string,
  { audio, former: roberta, llm }: BackboneConfigs,
  labelTokenIds: readonly number[],
  trainingCounts: readonly number[] | undefined,
  frozen: PhaseGraphs['frozen'],
): PhaseGraphs {
  const former = roberta && formerConfig(recipe, { hiddenSize: audio.width }, roberta);
  const graphs =
    phase === 'stage1'
      ? stage1Graphs(recipe, former!, trainingCounts ?? recipe.labels.map(() => 1), frozen)
      : stage2Graphs(recipe, former ?? { audioWidth: audio.width }, llm!, labelTokenIds, frozen);
  return withEncoderLayers(graphs, audio, recipe.encoder);
}
