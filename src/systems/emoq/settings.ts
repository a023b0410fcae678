/** @file The keys of an EmoQ recipe: every one with its range, its default, what it means, and whether the paper gives it. */

import { z } from 'zod';
import { InputError } from '../../base/index.js';
import {
  atLeast,
  audioKeys,
  below1,
  checkpointKeys,
  corpusKeys,
  DEFAULT_SYSTEM,
  divisionKeys,
  encoderKeys,
  optimizerKeys,
  ours,
  paper,
  paperKeys,
  type Recipe,
  seedKeys,
  selectionKeys,
  text,
  whole,
} from '../settings.js';

/** Projections that every family of language models has. */
export const DEFAULT_LORA_TARGETS: readonly string[] = ['q_proj', 'k_proj', 'v_proj', 'o_proj'];

export const emoqSchema = z.strictObject({
  ...corpusKeys,
  label_words: ours(
    'label -> emotion word in the answer; default the label itself',
    z.record(text(), text()).default({}),
  ),
  ...divisionKeys,
  backbones: z
    .strictObject({
      ...encoderKeys,
      former: paper('RoBERTa that the Former starts from', text().default('FacebookAI/roberta-base')),
      llm: paper(
        'language model, Qwen2, Qwen3 or Llama: a Hugging Face name or a folder',
        text().default('Qwen/Qwen2.5-7B-Instruct'),
      ),
    })
    .prefault({}),
  inputs: paper('what the system is given (table 4)', z.enum(['both', 'audio', 'text']).default('both')),
  fusion: paper(
    'former, or none: audio frames go into the prompt without the EmoQ-Former (table 4)',
    z.enum(['former', 'none']).default('former'),
  ),
  ...checkpointKeys,
  ...audioKeys,
  max_text_tokens: ours('longer transcripts are cut to this', whole(1).max(32768).default(128)),
  ...seedKeys,
  former: z
    .strictObject({
      queries: ours('number of learned queries N_q (eq. 1)', whole(1).default(32)),
      cross_attention_every: ours('a cross-attention (eq. 3) in every how many layers', whole(1).default(2)),
      pooling_heads: ours('heads of the attentive pooling', whole(1).default(8)),
      dropout: ours('dropout of hidden states', below1().default(0.1)),
      attention_dropout: ours('dropout of attention weights', below1().default(0.1)),
      train_word_embeddings: ours("train RoBERTa's word embeddings too", z.boolean().default(false)),
      head_hidden: ours('hidden width of the auxiliary MLP head', whole(1).default(768)),
    })
    .prefault({}),
  projector: z
    .strictObject({
      hidden: ours('hidden width of the projector; 0 is a single linear layer', whole(0).default(0)),
      slots: ours(
        'without a Former: the most slots that a clip takes in the prompt, frames averaged to fit',
        whole(1).max(4096).default(64),
      ),
    })
    .prefault({}),
  lora: z
    .strictObject({
      rank: paper('rank r', whole(1).default(16)),
      alpha: ours('scale: the update is (alpha / r) B A', z.number().gt(0).default(32)),
      dropout: paper('dropout before A', below1().default(0.1)),
      targets: ours(
        'projections of the LLM that are adapted',
        // Which names there are the models' families say.
        z
          .array(text())
          .min(1)
          .default([...DEFAULT_LORA_TARGETS]),
      ),
    })
    .prefault({}),
  prompt: z
    .strictObject({
      system: ours(
        'system part, with {labels}; null is the built-in text, "" leaves it out',
        z.string().nullable().default(null),
      ),
      user: ours(
        'user part, with {labels} {speaker} {gender} {transcript} <AUDIO>; null is the built-in text',
        text().nullable().default(null),
      ),
      speaker: ours(
        'what {speaker} is: the name, the gender, none, or auto: the name where the test knows it from training',
        z.enum(['auto', 'name', 'gender', 'none']).default('auto'),
      ),
      answer: paper('how the assistant part begins', text().default('Emotion:')),
    })
    .prefault({}),
  stage1: z
    .strictObject({
      ...optimizerKeys({ epochs: 10 }),
      scl_weight: paper(
        'weight of the contrastive loss (eq. 6); 0 leaves it out (table 5)',
        atLeast(0).default(1),
      ),
      scl_temperature: paper('tau of the contrastive loss (eq. 4)', z.number().gt(0).default(0.07)),
      focal_weight: paper(
        'lambda, weight of the focal loss (eq. 6); 0 leaves it out (table 5)',
        atLeast(0).default(1),
      ),
      focal_gamma: paper('gamma of the focal loss (eq. 5)', atLeast(0).default(2)),
      focal_alpha: ours(
        'class weights of the focal loss, from the training counts: inverse frequency, or effective number',
        z.enum(['inverse', 'effective']).default('inverse'),
      ),
      focal_alpha_beta: ours(
        'beta of the effective number (Cui et al., 2019): 0 weighs classes alike, near 1 inversely',
        below1().default(0.999),
      ),
      ...selectionKeys(),
    })
    .prefault({}),
  stage2: z
    .strictObject({
      ...optimizerKeys({ epochs: 3 }),
      emotion_token_weight: ours(
        'weight of emotion-word tokens in the loss (eq. 7)',
        z.number().gt(0).default(5),
      ),
      from_stage1: paper(
        "start from stage 1's Former; false is end to end (table 6)",
        z.boolean().default(true),
      ),
      ...selectionKeys(),
    })
    .prefault({}),
  ...paperKeys,
});

/** A resolved EmoQ recipe: every key has its value. */
export type EmoqRecipe = z.output<typeof emoqSchema>;

/** A recipe as EmoQ's. @throws InputError where it is of another system, beginning with `what` */
export function requireEmoq(recipe: Recipe, what: string): EmoqRecipe {
  if (recipe.system === DEFAULT_SYSTEM) return recipe as EmoqRecipe;
  throw new InputError(`${what} is of system ${recipe.system}, not of ${DEFAULT_SYSTEM}`);
}

/** The part of a recipe that decides the Former. */
export type FormerSettings = Pick<EmoqRecipe, 'backbones' | 'inputs' | 'fusion' | 'seed' | 'former'>;

/** The defaults of every recipe. */
export function defaultFormerSettings(): FormerSettings {
  return emoqSchema.pick({ backbones: true, inputs: true, fusion: true, seed: true, former: true }).parse({});
}
