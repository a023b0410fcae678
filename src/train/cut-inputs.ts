/** @file What of the inputs a model does not get: the ends of long clips and of long transcripts, in words. */

import type { Example } from './examples.js';
import type { StageModel } from './experiment.js';

/** Whether the Former does not get the transcript whole. */
export function isCutText({ cutTokens = 0 }: Example): boolean {
  return cutTokens > 0;
}

export function countCutTexts(examples: readonly Example[]): number {
  return examples.filter(isCutText).length;
}

/** A line for clips and one for transcripts, where some of them are cut. */
export function cutNotes(
  { recipe, maxTextTokens }: Pick<StageModel, 'recipe' | 'maxTextTokens'>,
  { clips, texts, total }: { readonly clips: number; readonly texts: number; readonly total: number },
): string[] {
  const { max_audio_sec, max_text_tokens } = recipe;
  const limit =
    maxTextTokens < max_text_tokens ? `the positions of ${recipe.backbones.former}` : 'max_text_tokens';
  return [
    ...(clips > 0 ? [`cut to ${max_audio_sec} s (max_audio_sec): ${clips} of ${total} clips`] : []),
    ...(texts > 0
      ? [`cut to ${maxTextTokens} tokens for the Former (${limit}): ${texts} of ${total} transcripts`]
      : []),
  ];
}
