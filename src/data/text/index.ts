/** @file Tokenizers, the prompt, label words, and toy tokenizers. */

export { buildByteLevelTokenizer } from './byte-level-bpe.js';
export { historyLine, latestLines } from './history.js';
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
  HISTORY_SLOT,
  type PromptTemplate,
  resolveLabelWords,
} from './prompt.js';
export { type TokenizedWord, tokenizedWords } from './tokenized-words.js';
export { loadTokenizer, type TextTokenizer } from './tokenizer.js';
