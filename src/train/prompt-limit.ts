/** @file How long a prompt may be: the positions that the language model has. */

import type { DecoderConfig } from '../backbones/index.js';
import type { Recipe } from '../recipe/index.js';
import { hasFormer } from '../systems/index.js';
import type { ExamplePrompt } from './examples.js';

/** What keeps a language model from reading a prompt with its answer, in words; undefined where nothing does. */
export function promptProblem(
  recipe: Recipe,
  { maxPositionEmbeddings: most }: Pick<DecoderConfig, 'maxPositionEmbeddings'>,
  { ids, audioPosition, answer }: ExamplePrompt,
): string | undefined {
  // Without a Former each frame has a slot; how many a clip takes is known with its features: the most that it may.
  const slots = audioPosition >= 0 && !hasFormer(recipe) ? recipe.projector.slots : 1;
  const tokens = ids.length - 1 + slots + answer.length;
  if (tokens <= most) return undefined;
  return `its prompt of ${tokens} tokens is longer than the ${most} that ${recipe.backbones.llm} reads (max_position_embeddings)`;
}
