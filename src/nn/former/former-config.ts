/** @file The EmoQ-Former's sizes. */

import { cast, type Value } from '../../engine/onnx/index.js';
import type { GraphInput } from '../../engine/training/index.js';

/** The sizes of a RoBERTa, as its config.json gives them. */
export interface RobertaConfig {
  vocabSize: number;
  hiddenSize: number;
  numHiddenLayers: number;
  numAttentionHeads: number;
  intermediateSize: number;
  /** Rows of the position table; positions begin at padTokenId + 1, so texts are shorter by that much. */
  maxPositionEmbeddings: number;
  typeVocabSize: number;
  padTokenId: number;
  layerNormEps: number;
  hiddenDropoutProb: number;
  attentionProbsDropoutProb: number;
}

export interface FormerConfig {
  /** The RoBERTa that it starts from: width, depth, heads, vocabulary. */
  readonly roberta: RobertaConfig;
  /** Width d_a of the audio features. */
  readonly audioWidth: number;
  /** Learned queries N_q (not in the paper: 32, as BLIP-2). */
  readonly queries: number;
  /** Queries attend to the audio in layers 0, n, 2n, ... (not in the paper: 2, as BLIP-2). */
  readonly crossAttentionEvery: number;
  readonly poolingHeads: number;
  readonly dropout: number;
  readonly attentionDropout: number;
  /** Train RoBERTa's word embeddings too; else they are read in place and stay as they are. */
  readonly trainWordEmbeddings: boolean;
}

/** The only weight that stays frozen unless the config says otherwise. */
export const WORD_EMBEDDINGS_KEY = 'embeddings.word_embeddings.weight';

/** True for layers whose queries attend to the audio. */
export function hasCrossAttention(config: FormerConfig, layer: number): boolean {
  return layer % config.crossAttentionEvery === 0;
}

/** The two views of an utterance; one may be absent (the audio-only and text-only ablations), not both. */
export interface FormerInputs {
  /** HuBERT features E_a [N, L_a, d_a], float32, with mask int64 [N, L_a] (1 = real frame). */
  readonly audio?: MaskedSequence | undefined;
  /** RoBERTa token ids int64 [N, L_t], with mask int64 [N, L_t]. */
  readonly text?: MaskedSequence | undefined;
}

export interface MaskedSequence {
  readonly values: Value;
  readonly mask: Value;
}

/** Which views of an utterance the system is given (paper, table 4). */
export type InputViews = 'both' | 'audio' | 'text';

export type BatchValues = Readonly<Record<string, Value>>;

/** Key prefix of the Former in checkpoints. */
export const FORMER_PREFIX = 'former.';

/** What the Former reads of a batch: features are float16 on the way in and float32 inside. */
export function formerInputs(audioWidth: number, views: InputViews): GraphInput[] {
  const audio: GraphInput[] = [
    { name: 'audio_features', dtype: 'float16', shape: ['batch', 'frames', audioWidth] },
    { name: 'frame_mask', dtype: 'int64', shape: ['batch', 'frames'] },
  ];
  const text: GraphInput[] = [
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
