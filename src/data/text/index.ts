/** @file Tokenizers, the prompt, label words, and toy tokenizers. */

export { buildByteLevelTokenizer } from './byte-level-bpe.js';
export {
  answerIds,
  buildPrompt,
  builtInUserPart,
  type ChatPiece,
  type ChatTemplate,
  type ChatTurn,
  checkPromptTemplate,
  DEFAULT_PROMPT,
  genderWord,
  type PromptTemplate,
  resolveLabelWords,
} from './prompt.js';
export { loadTokenizer, type TextTokenizer } from './tokenizer.js';
