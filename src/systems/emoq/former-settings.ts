/** @file The Former that a recipe describes, and which stages it has: the one place that decides it. */

import { InputError } from '../../base/index.js';
import { FORMER_PREFIX, type FormerConfig, type RobertaConfig, WORD_EMBEDDINGS_KEY } from '../../nn/index.js';
import type { EmoqRecipe } from './settings.js';

/** The Former of a recipe. @throws InputError when its sizes do not go together */
export function formerConfig(
  recipe: Pick<EmoqRecipe, 'former' | 'backbones'>,
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
export function trainsFormerKey({ former }: Pick<EmoqRecipe, 'former'>, key: string): boolean {
  return former.train_word_embeddings || key !== FORMER_PREFIX + WORD_EMBEDDINGS_KEY;
}

/** What decides about the stages; an {@link EmoqRecipe} is one. */
export type StageKeys = Pick<EmoqRecipe, 'inputs' | 'fusion'> & {
  readonly stage2: Pick<EmoqRecipe['stage2'], 'from_stage1'>;
};

/** Whether there is a stage 1 to train and to score: it trains the Former, of text alone too. */
export function hasStage1({ fusion }: Pick<EmoqRecipe, 'fusion'>): boolean {
  return fusion === 'former';
}

/** Whether stage 2 has a Former: not of text alone, where the prompt says it all, nor without fusion. */
export function hasFormer({ inputs, fusion }: Pick<EmoqRecipe, 'inputs' | 'fusion'>): boolean {
  return inputs !== 'text' && fusion === 'former';
}

/** Whether stage 2 starts from the Former of stage 1: where it has one, and the recipe wants it so. */
export function startsFromStage1(recipe: StageKeys): boolean {
  return hasFormer(recipe) && recipe.stage2.from_stage1;
}
