/** @file The EmoQ-Former's sizes. */

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
