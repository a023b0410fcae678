/** @file Tokenizers, the prompt, emotion words, and toy tokenizers. */

export { builtInUserPart, DEFAULT_PROMPT } from './built-in-prompts.js';
export { buildByteLevelTokenizer } from './byte-level-bpe.js';
export type { ChatPiece, ChatTemplate, ChatTurn } from './chat-template.js';
export { answerIds, resolveLabelWords } from './label-words.js';
export { buildPrompt, checkPromptTemplate, genderWord, type PromptTemplate } from './prompt.js';
export { loadTokenizer, type TextTokenizer } from './tokenizer.js';
