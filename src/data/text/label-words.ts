/** @file Emotion words as token ids: what the model is trained to answer and what prediction reads off (eqs. 7-9). */

import { InputError } from '../../base/index.js';
import { type ChatTemplate, turnTokenId } from './chat-template.js';
import type { TextTokenizer } from './tokenizer.js';

/**
 * The token ids of each label word with a leading space, as it follows "Emotion:". Prediction compares the words by
 * their first tokens, so these must differ.
 * @throws InputError naming an empty word, or two words that begin with the same token.
 */
export function resolveLabelWords(tokenizer: TextTokenizer, words: readonly string[]): number[][] {
  const wordOfFirstId = new Map<number, string>();
  return words.map((word) => {
    if (word.trim() === '' || word !== word.trim()) {
      throw new InputError(`label word "${word}" is empty or has spaces around it`);
    }
    const ids = tokenizer.encode(` ${word}`, { specialTokens: false, behind: 'text' });
    const rival = wordOfFirstId.get(ids[0]!);
    if (rival !== undefined) {
      throw new InputError(
        `label words "${rival}" and "${word}" begin with the same token "${tokenizer.decode(ids.slice(0, 1))}" in ${tokenizer.source}; choose other words`,
      );
    }
    wordOfFirstId.set(ids[0]!, word);
    return ids;
  });
}

/** The answer that training asks for: the label word's tokens, then the end of the assistant's turn. */
export function answerIds(
  tokenizer: TextTokenizer,
  chat: ChatTemplate,
  wordIds: readonly number[],
): number[] {
  return [...wordIds, turnTokenId(tokenizer, chat, chat.end)];
}
