/** @file Weights that a checkpoint holds and its model does not read: adapters that nobody merged, and what is left over. */

import { InputError, quoted } from '../../base/index.js';
import type { Checkpoint } from './checkpoint.js';

/** Keys of PEFT's adapters beside, or around, the weights that they adapt. */
const ADAPTER =
  /^base_model\.model\.|\.base_layer\.|\.(?:lora_[A-Z]|lora_embedding_[AB]|lora_magnitude_vector|ia3_l|oft_r|hada_w\d_[ab]|modules_to_save)(?:\.|$)/;

/** @throws InputError where an adapter lies among the weights, which would not be applied */
export function refuseAdapters({ dir, weights }: Pick<Checkpoint, 'dir' | 'weights'>): void {
  const key = [...weights.keys()].find((name) => ADAPTER.test(name));
  if (key === undefined) return;
  throw new InputError(
    `checkpoint ${dir} holds an adapter that is not merged into its weights (${quoted(key)}); merge it first, with PEFT's merge_and_unload, and give the merged checkpoint`,
  );
}

/** Parts of published checkpoints that the encoders' and the language model's own outputs do not depend on. */
const HARMLESS: Readonly<Record<string, readonly RegExp[]>> = {
  hubert: [
    /^(?:hubert\.)?masked_spec_embed$/, // of masking in training
    /^(?:lm_head|classifier|projector|quantizer|project_q|project_hid|final_proj)\./, // heads of other tasks
    /^(?:layer_weights|label_embs_concat)$/,
  ],
  roberta: [
    /^(?:roberta\.)?pooler\./,
    /^(?:roberta\.)?embeddings\.(?:position_ids|token_type_ids)$/, // counted, not learned
    /^(?:lm_head|classifier|qa_outputs|cls)(?:\.|$)/,
  ],
  qwen2: [
    /(?:^|\.)rotary_emb\.inv_freq$/, // computed from the config
    /^lm_head\.weight$/, // unread only where it is the word embeddings
    /^(?:score|v_head|classifier|qa_outputs)\./,
  ],
};

/**
 * Says which weights a model leaves unread that may matter; undefined where it leaves none.
 * @param read keys that the model reads, as they are stored
 */
export function unreadWeights(
  { dir, weights }: Pick<Checkpoint, 'dir' | 'weights'>,
  modelType: keyof typeof HARMLESS & string,
  read: ReadonlySet<string>,
): string | undefined {
  const stored = new Set([...weights.values()].map(({ key }) => key));
  const unread = [...stored].filter(
    (key) => !read.has(key) && !HARMLESS[modelType]!.some((pattern) => pattern.test(key)),
  );
  if (unread.length === 0) return undefined;
  const [which, are] =
    unread.length === 1
      ? [`a weight, ${quoted(unread[0])},`, 'it is']
      : [`${unread.length} weights, such as ${quoted(unread[0])},`, 'they are'];
  return `${dir} holds ${which} that a ${modelType} of its config.json does not have; ${are} not used: make sure that config.json and weights belong together`;
}
