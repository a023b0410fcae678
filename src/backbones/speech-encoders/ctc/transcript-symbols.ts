/** @file From a transcript to the symbols of a CTC head, which a recogniser is trained to give. */

import type { CtcVocabulary } from './vocabulary.js';

/** A transcript in symbols. */
export interface TranscriptSymbols {
  /** Ids; the blank is not among them. */
  readonly ids: readonly number[];
  /** Letters and digits that the vocabulary does not have; left out, like all punctuation that it does not have. */
  readonly unknown: readonly string[];
}

/**
 * Spells a transcript: each run of white space is the word delimiter, each other character its own symbol, in upper or
 * lower case if the vocabulary has only that.
 */
export function transcriptSymbols(text: string, { symbols, delimiter }: CtcVocabulary): TranscriptSymbols {
  const ids: number[] = [];
  const unknown: string[] = [];
  const idOf = new Map(symbols.map((symbol, id) => [symbol, id]));
  const between = idOf.get(delimiter);
  for (const [index, word] of text.normalize('NFC').trim().split(/\s+/u).entries()) {
    const spelt: number[] = [];
    for (const letter of word) {
      const id = [letter, letter.toUpperCase(), letter.toLowerCase()]
        .map((form) => (form === delimiter ? undefined : idOf.get(form)))
        .find((found) => found !== undefined);
      if (id !== undefined) spelt.push(id);
      else if (/[\p{L}\p{N}]/u.test(letter)) unknown.push(letter);
    }
    if (spelt.length === 0) continue;
    if (index > 0 && ids.length > 0 && between !== undefined) ids.push(between);
    ids.push(...spelt);
  }
  return { ids, unknown };
}
