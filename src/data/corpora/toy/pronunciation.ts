/**
 * @file The sounds of the toy language: random syllables, and words spelt aloud letter by letter, so that who hears a
 * letter can write it, in words that were never heard before too.
 */

import type { Random } from '../../../engine/tensor/index.js';
import { VALENCE_WORDS, type Valence } from './sentences.js';

/** How a syllable begins: voiced murmur, hiss, burst, or directly with the vowel. */
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
  /** The vowel glides from `from` to `to`. */
  readonly from: Formants;
  readonly to: Formants;
}

/** Cardinal vowels: rounded averages of adult formants from textbooks. */
const I: Formants = [300, 2200, 2950];
const E: Formants = [500, 1850, 2550];
const A: Formants = [750, 1250, 2500];
const O: Formants = [500, 900, 2450];
const U: Formants = [330, 850, 2300];
const SCHWA: Formants = [520, 1450, 2480];
const Y: Formants = [300, 1750, 2150];

const NONE: Onset = { onset: 'none', onsetNoiseHz: 0 };
const NASAL: Onset = { onset: 'nasal', onsetNoiseHz: 0 };
const hiss = (onsetNoiseHz: number): Onset => ({ onset: 'fricative', onsetNoiseHz });
const burst = (onsetNoiseHz: number): Onset => ({ onset: 'plosive', onsetNoiseHz });

const ONSETS: readonly Onset[] = [
  ...[NONE, NASAL],
  ...[hiss(2600), hiss(3800), hiss(5600)],
  ...[burst(1000), burst(1800), burst(4200)],
];
const VOWELS: readonly Formants[] = [I, E, A, O, U, SCHWA];

/** A random syllable, uniformly distributed. */
export function randomSyllable(random: Random): Syllable {
  return { ...random.pick(ONSETS), from: random.pick(VOWELS), to: random.pick(VOWELS) };
}

const letter = (onset: Onset, from: Formants, to: Formants = from): Syllable => ({ ...onset, from, to });

/** Each letter has one sound of its own: a vowel, a glide, or a consonant with the vowel that tells it from others. */
const LETTERS: Readonly<Record<string, Syllable>> = {
  a: letter(NONE, A),
  b: letter(burst(1000), E),
  c: letter(hiss(5600), I),
  d: letter(burst(1800), E),
  e: letter(NONE, E),
  f: letter(hiss(3800), E),
  g: letter(burst(1800), O),
  h: letter(hiss(2600), A),
  i: letter(NONE, I),
  j: letter(hiss(2600), O),
  k: letter(burst(1800), A),
  l: letter(NONE, I, SCHWA),
  m: letter(NASAL, O),
  n: letter(NASAL, E),
  o: letter(NONE, O),
  p: letter(burst(1000), A),
  q: letter(burst(1000), U),
  r: letter(NONE, SCHWA, O),
  s: letter(hiss(5600), SCHWA),
  t: letter(burst(4200), SCHWA),
  u: letter(NONE, U),
  v: letter(hiss(3800), O),
  w: letter(NONE, U, A),
  x: letter(hiss(2600), I),
  y: letter(NONE, Y),
  z: letter(hiss(5600), O),
};

/**
 * The toy language is sound-symbolic, as natural ones are to a small degree: the vowels of a word that carries a valence
 * glide towards that of its kind, so that a few hundred spoken sentences are enough to learn it by ear.
 */
const VOWEL_OF_VALENCE: Readonly<Record<Valence, Formants>> = { positive: I, negative: U };
/** How far they glide, as a share of the way. */
const GLIDE = 0.4;

/** A word that the voice says. */
export interface SpokenWord {
  /** As written, without punctuation. */
  readonly word: string;
  /** One for each letter. */
  readonly syllables: readonly Syllable[];
}

/** The words of a transcript and their sounds, which are the same in every mouth. */
export function spokenWords(text: string): SpokenWord[] {
  return text
    .split(/\s+/)
    .map((written) => written.replace(/[^a-z]/gi, ''))
    .filter((word) => word !== '')
    .map((word) => ({ word, syllables: pronounced(word.toLowerCase()) }));
}

function pronounced(word: string): Syllable[] {
  const valence = (['positive', 'negative'] as const).find((kind) => VALENCE_WORDS[kind].includes(word));
  const plain = [...word].map((character) => LETTERS[character]!);
  if (valence === undefined) return plain;
  const towards = VOWEL_OF_VALENCE[valence];
  return plain.map((sound) => ({
    ...sound,
    to: sound.to.map((hertz, formant) => hertz + GLIDE * (towards[formant]! - hertz)) as [
      number,
      number,
      number,
    ],
  }));
}
