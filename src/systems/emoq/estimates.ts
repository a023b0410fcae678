/** @file How many tokens utterances have, for want of a tokenizer. */

import { DEFAULT_PROMPT, type PromptTemplate } from '../../data/text/index.js';
import type { ExampleLengths } from '../system.js';
import { labelWords } from './examples.js';
import { recipePrompt } from './run-prompt.js';
import type { EmoqRecipe } from './settings.js';

const [CHARACTERS_PER_TOKEN, TEXT_ENDS, ANSWER_TOKENS] = [
  4.5, // English, spaces included
  2, // <s> and </s>
  2, // a label word and the end of the turn
];
/** Tokens of the default prompt, and of a middling transcript in it. */
const [PROMPT_TOKENS, TRANSCRIPT_TOKENS] = [128, 32];

/** What of an utterance a stage reads. */
interface Reads {
  readonly text: boolean;
  readonly llm: boolean;
}

/** Tokens of an utterance as far as its characters tell. */
export function estimatedLengths(recipe: EmoqRecipe, reads: Reads, text: string): ExampleLengths {
  const tokens = Math.round(text.length / CHARACTERS_PER_TOKEN);
  return {
    inputs: {
      text: reads.text ? Math.min(tokens + TEXT_ENDS, recipe.max_text_tokens) : 0,
      ...(reads.llm && { prompt: promptTokens(recipe, recipe.inputs === 'audio' ? 0 : tokens) }),
    },
    targets: reads.llm ? { answers: ANSWER_TOKENS } : {},
  };
}

/** Those of an utterance of 30 words, and the recipe's prompt around them. */
export function middlingLengths(recipe: EmoqRecipe, reads: Reads): ExampleLengths {
  return {
    inputs: {
      text: reads.text ? Math.min(TRANSCRIPT_TOKENS, recipe.max_text_tokens) : 0,
      ...(reads.llm && { prompt: promptTokens(recipe, TRANSCRIPT_TOKENS) - ANSWER_TOKENS }),
    },
    targets: reads.llm ? { answers: ANSWER_TOKENS } : {},
  };
}

/** Tokens of the recipe's prompt: what it adds to the transcript goes by its length beside the default one's. */
function promptTokens(recipe: EmoqRecipe, transcriptTokens: number): number {
  const labels = labelWords(recipe).join(', ');
  const lengthOf = ({ system, user, answer }: PromptTemplate): number =>
    [system, user, answer].join('\n').replaceAll('{labels}', labels).length;
  // The built-in texts of one input alone are a few tokens shorter than those of both.
  const share = lengthOf(recipePrompt({ ...recipe, inputs: 'both' })) / lengthOf(DEFAULT_PROMPT);
  return Math.round(transcriptTokens + (PROMPT_TOKENS - TRANSCRIPT_TOKENS) * share);
}
