/** @file Transcripts as words: without tags, and as what two of them must have in common to say the same. */

/** `Okay. [LAUGHTER] Bye.` -> `Okay. Bye.`: what stands in brackets is somebody's note, not speech. */
export function withoutTags(text: string): string {
  return text
    .replace(/\[[^[\]]*\]/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();
}

/** The words alone: no tags, capitals or punctuation. Equal for transcripts that say the same. */
export function spokenWords(text: string): string {
  return withoutTags(text)
    .normalize('NFKC')
    .toLowerCase()
    .replace(/['’]/g, '')
    .replace(/[^\p{L}\p{M}\p{N}]+/gu, ' ')
    .trim();
}

/** Words of what `spokenWords` returns. */
export function wordCount(words: string): number {
  return words === '' ? 0 : words.split(' ').length;
}
