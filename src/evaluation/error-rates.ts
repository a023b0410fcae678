/** @file Word and character error rates of recognised texts: Levenshtein distances to the reference. */

/** Edits from reference texts to recognised ones, and the length of the references. */
export interface EditCount {
  readonly edits: number;
  readonly of: number;
}

/** Edits in characters and in words. */
export interface TextEdits {
  readonly characters: EditCount;
  readonly words: EditCount;
}

/** Fewest insertions, deletions and substitutions that make one list of the other (Levenshtein, 1966). */
export function editDistance(from: readonly string[], to: readonly string[]): number {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column);
  from.forEach((item, index) => {
    const next = [index + 1];
    to.forEach((other, column) => {
      const replaced = row[column]! + (item === other ? 0 : 1);
      next.push(Math.min(replaced, row[column + 1]! + 1, next[column]! + 1));
    });
    row = next;
  });
  return row.at(-1)!;
}

/**
 * Edits from a reference to a recognised text, as jiwer counts them: words are what white space separates; characters
 * include the spaces between words. White space around the texts does not count, and runs of it count once.
 */
export function textEdits(reference: string, recognised: string): TextEdits {
  const [own, other] = [reference, recognised].map((text) => text.trim().replace(/\s+/gu, ' ')) as [
    string,
    string,
  ];
  const count = (split: (text: string) => string[]): EditCount => {
    const wanted = split(own);
    return { edits: editDistance(wanted, split(other)), of: wanted.length };
  };
  return {
    characters: count((text) => [...text]),
    words: count((text) => (text === '' ? [] : text.split(' '))),
  };
}

/** A text in lower case and without punctuation, except apostrophes within words, for comparing what was said. */
export function plainText(text: string): string {
  return text
    .toLowerCase()
    .replaceAll('’', "'")
    .replace(/(?<!\p{L})'|'(?!\p{L})/gu, ' ')
    .replace(/[^\p{L}\p{M}\p{N}'\s]/gu, ' ')
    .replace(/\s+/gu, ' ')
    .trim();
}

/** Edits per item of the reference, in percent; undefined without any. It may exceed 100. */
export function errorRate({ edits, of }: EditCount): number | undefined {
  return of === 0 ? undefined : (100 * edits) / of;
}
