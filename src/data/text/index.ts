/** @file Door of the text room: tokenizers, the prompt, emotion words, and toy tokenizers. */

export { type ByteLevelOptions, type ByteLevelTokenizer, buildByteLevelTokenizer } from './byte-level-bpe.js';
export { answerIds, resolveLabelWords } from './label-words.js';
export {
  buildPrompt,
  checkPromptTemplate,
  DEFAULT_PROMPT,
  type Prompt,
  type PromptTemplate,
  type PromptValues,
  UNFUSED_PROMPT,
} from './prompt.js';
export { createTokenizer, loadTokenizer, type TextTokenizer } from './tokenizer.js';
