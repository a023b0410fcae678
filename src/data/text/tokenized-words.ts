/** @file Which tokens of a text belong to which of its words. */

import { InputError, quoted } from '../../base/index.js';
import type { TextTokenizer } from './tokenizer.js';

/** A word of a text, in the sense of what stands between white space. */
export interface TokenizedWord {
  readonly word: string;
  /** Places of its tokens among those of the text, special ones counted, in ascending order. */
  readonly tokens: readonly number[];
}

/**
 * The words of a text with their tokens. Tokenizers split a text at white space before anything else, so that the tokens
 * up to the end of a word are those of the text that ends there; a space that is a token of its own belongs to the word
 * behind it.
 * @throws InputError for a tokenizer that reads words together, as then no token belongs to one
 */
export function tokenizedWords(tokenizer: TextTokenizer, text: string): TokenizedWord[] {
  const plain = tokenizer.encode(text, { specialTokens: false });
  const whole = tokenizer.encode(text);
  const before = placeOf(plain, whole);
  let start = 0;
  return [...text.matchAll(/\S+/gu)].map(({ 0: word, index }) => {
    const read = tokenizer.encode(text.slice(0, index + word.length), { specialTokens: false });
    if (before === undefined || read.length < start || read.some((id, place) => id !== plain[place])) {
      throw new InputError(
        `tokenizer ${tokenizer.source} does not read ${quoted(word)} apart from the words around it, so that no attention can be shown for it`,
      );
    }
    const tokens = Array.from({ length: read.length - start }, (_, i) => before + start + i);
    start = read.length;
    return { word, tokens };
  });
}

/** Where one list of ids is within another; undefined if it is not. */
function placeOf(part: readonly number[], whole: readonly number[]): number | undefined {
  for (let place = 0; place + part.length <= whole.length; place++) {
    if (part.every((id, index) => whole[place + index] === id)) return place;
  }
  return undefined;
}
