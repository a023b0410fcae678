/** @file Door of the text room: tokenizers, the prompt, emotion words, and toy tokenizers. */

export { builtInUserPart, DEFAULT_PROMPT, type PromptCase, type UserPart } from './built-in-prompts.js';
export { type ByteLevelOptions, type ByteLevelTokenizer, buildByteLevelTokenizer } from './byte-level-bpe.js';
export { answerIds, resolveLabelWords } from './label-words.js';
export {
  buildPrompt,
  checkPromptTemplate,
  genderWord,
  type Prompt,
  type PromptTemplate,
  type PromptValues,
} from './prompt.js';
export { createTokenizer, loadTokenizer, type TextTokenizer } from './tokenizer.js';
