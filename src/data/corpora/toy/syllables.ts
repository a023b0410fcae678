/** @file The toy voice's syllables: an onset consonant and a vowel, random ones and those that spell a word. */

import { type Random, seededRandom } from '../../../engine/tensor/index.js';

/** How a syllable begins: voiced murmur, hiss, burst, or straight with the vowel. */
export type OnsetKind = 'none' | 'nasal' | 'fricative' | 'plosive';

/** One consonant-vowel syllable, for a vocal tract of average length. */
export interface Syllable {
  readonly onset: OnsetKind;
  /** Centre of the hiss or burst in Hz; unused for the voiced onsets. */
  readonly onsetNoiseHz: number;
  /** First three formants of the vowel in Hz. */
  readonly formantsHz: readonly [number, number, number];
}

/** Cardinal vowels: rounded averages of the adult formants that textbooks print for i, e, a, o, u and schwa. */
const VOWELS: readonly (readonly [number, number, number])[] = [
  [300, 2200, 2950],
  [500, 1850, 2550],
  [750, 1250, 2500],
  [500, 900, 2450],
  [330, 850, 2300],
  [520, 1450, 2480],
];

const ONSETS: readonly { readonly onset: OnsetKind; readonly onsetNoiseHz: number }[] = [
  { onset: 'none', onsetNoiseHz: 0 },
  { onset: 'nasal', onsetNoiseHz: 0 },
  { onset: 'fricative', onsetNoiseHz: 3200 },
  { onset: 'fricative', onsetNoiseHz: 5200 },
  { onset: 'plosive', onsetNoiseHz: 1500 },
  { onset: 'plosive', onsetNoiseHz: 3800 },
];

/** Any syllable of the inventory, each as likely as the others. */
export function randomSyllable(random: Random): Syllable {
  return { ...random.pick(ONSETS), formantsHz: random.pick(VOWELS) };
}

/**
 * The syllables that the voice says for one word: one for words of up to four letters, else two. They depend on the
 * word's letters alone, so every speaker of every corpus says a word alike.
 */
export function syllablesOfWord(word: string): Syllable[] {
  const letters = word.toLowerCase().replace(/[^a-z]/g, '');
  const random = seededRandom('toy word', letters);
  return Array.from({ length: letters.length <= 4 ? 1 : 2 }, () => randomSyllable(random));
}

/** The syllables of a whole transcript, word by word. */
export function syllablesOfText(text: string): Syllable[] {
  return text
    .split(/\s+/)
    .filter((word) => /[a-z]/i.test(word))
    .flatMap(syllablesOfWord);
}
