/** @file The toy voice's syllables: an onset consonant and a vowel, random ones and those that spell a word. */

import { type Random, seededRandom } from '../../../engine/tensor/index.js';
import { VALENCE_WORDS } from './sentences.js';

/** How a syllable begins: voiced murmur, hiss, burst, or straight with the vowel. */
export type OnsetKind = 'none' | 'nasal' | 'fricative' | 'plosive';

interface Onset {
  readonly onset: OnsetKind;
  /** Centre of the hiss or burst in Hz; unused for the voiced onsets. */
  readonly onsetNoiseHz: number;
}

/** First three formants of a vowel in Hz, for a vocal tract of average length. */
export type Formants = readonly [number, number, number];

/** One consonant-vowel syllable. */
export interface Syllable extends Onset {
  /** The vowel glides from one to the other. */
  readonly from: Formants;
  readonly to: Formants;
}

/** Cardinal vowels: rounded averages of the adult formants that textbooks print. */
const I: Formants = [300, 2200, 2950];
const E: Formants = [500, 1850, 2550];
const A: Formants = [750, 1250, 2500];
const O: Formants = [500, 900, 2450];
const U: Formants = [330, 850, 2300];
const SCHWA: Formants = [520, 1450, 2480];

const MURMURS: readonly Onset[] = [
  { onset: 'none', onsetNoiseHz: 0 },
  { onset: 'nasal', onsetNoiseHz: 0 },
];
const HISSES: readonly Onset[] = [
  { onset: 'fricative', onsetNoiseHz: 2600 },
  { onset: 'fricative', onsetNoiseHz: 3800 },
  { onset: 'fricative', onsetNoiseHz: 5600 },
];
const BURSTS: readonly Onset[] = [
  { onset: 'plosive', onsetNoiseHz: 1000 },
  { onset: 'plosive', onsetNoiseHz: 1800 },
  { onset: 'plosive', onsetNoiseHz: 4200 },
];

interface Inventory {
  readonly onsets: readonly Onset[];
  readonly vowels: readonly Formants[];
}

const EVERY_SOUND: Inventory = {
  onsets: [...MURMURS, ...HISSES, ...BURSTS],
  vowels: [I, E, A, O, U, SCHWA],
};
/**
 * The toy language is sound-symbolic, as natural ones are by a trace: words of one valence share sounds, so that a few
 * hundred spoken sentences are enough to learn it by ear. Other words use every sound.
 */
const SOUNDS_OF_VALENCE: Readonly<Record<keyof typeof VALENCE_WORDS, Inventory>> = {
  positive: { onsets: HISSES, vowels: [I, E] },
  negative: { onsets: BURSTS, vowels: [O, U] },
};

/** Any syllable, each as likely as the others. */
export function randomSyllable(random: Random, { onsets, vowels }: Inventory = EVERY_SOUND): Syllable {
  return { ...random.pick(onsets), from: random.pick(vowels), to: random.pick(vowels) };
}

/**
 * The syllables that the voice says for one word: one for words of up to four letters, else two. They depend on the
 * word's letters alone, so every speaker of every corpus says a word alike.
 */
export function syllablesOfWord(word: string): Syllable[] {
  const letters = word.toLowerCase().replace(/[^a-z]/g, '');
  const random = seededRandom('toy word', letters);
  const inventory = VALENCE_WORDS.positive.includes(letters)
    ? SOUNDS_OF_VALENCE.positive
    : VALENCE_WORDS.negative.includes(letters)
      ? SOUNDS_OF_VALENCE.negative
      : EVERY_SOUND;
  return Array.from({ length: letters.length <= 4 ? 1 : 2 }, () => randomSyllable(random, inventory));
}

/** The syllables of a whole transcript, word by word. */
export function syllablesOfText(text: string): Syllable[] {
  return text
    .split(/\s+/)
    .filter((word) => /[a-z]/i.test(word))
    .flatMap(syllablesOfWord);
}
