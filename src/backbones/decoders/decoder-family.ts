/** @file What a family of decoder language models is. */

import type { ChatTemplate } from '../../data/text/index.js';
import type { BackboneFamily } from '../backbone-family.js';
import type { DecoderConfig, Projection } from './decoder-config.js';

export interface DecoderFamily extends BackboneFamily<DecoderConfig> {
  /** Projections that a LoRA may adapt, by their checkpoint names. */
  readonly loraTargets: readonly Projection[];
  /**
   * How a chat is written for a checkpoint of the family.
   * @param dir its folder, where its tokenizer and its chat template are
   * @throws InputError where the template is of a kind that emoq does not know
   */
  chatTemplate(dir: string): Promise<ChatTemplate>;
}

/** Weights that all families' published checkpoints may hold beside those of the model. */
export const harmlessDecoderWeights: readonly RegExp[] = [
  /(?:^|\.)rotary_emb\.inv_freq$/, // computed from the config
  /^lm_head\.weight$/, // unread only where it is the word embeddings
  /^(?:score|v_head|classifier|qa_outputs)\./,
];
