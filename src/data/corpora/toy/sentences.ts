/** @file The toy corpus's sentences: one or two words carry the valence, the rest is neutral. */

import type { Random } from '../../../engine/tensor/index.js';

export type Valence = 'positive' | 'negative';

/** Words that carry the valence, as many of each; at least five letters, so that the spoken voice gives each two syllables. */
export const VALENCE_WORDS: Readonly<Record<Valence, readonly string[]>> = {
  positive: [
    'wonderful',
    'lovely',
    'great',
    'perfect',
    'brilliant',
    'delightful',
    'pleasant',
    'excellent',
    'beautiful',
    'charming',
    'fantastic',
    'splendid',
    'marvelous',
    'superb',
    'graceful',
    'cheerful',
  ],
  negative: [
    'terrible',
    'awful',
    'rotten',
    'horrible',
    'dreadful',
    'disastrous',
    'miserable',
    'pathetic',
    'repulsive',
    'dismal',
    'hideous',
    'painful',
    'appalling',
    'nasty',
    'hopeless',
    'dreary',
  ],
};

const NOUNS =
  'dinner letter garden journey ticket picture movie kitchen report station meeting concert jacket coffee music table window lesson street party hotel phone story present apartment'.split(
    ' ',
  );
const TIMES = 'today yesterday again tonight lately before'.split(' ');
const DEGREES = 'really very so quite pretty simply'.split(' ');
const OPENERS = ['Well', 'Look', 'Okay', 'Listen'];

/** What may stand in each slot of a template, by valence. */
const SLOTS: Readonly<Record<string, Readonly<Record<Valence, readonly string[]>>>> = {
  N: { positive: NOUNS, negative: NOUNS },
  T: { positive: TIMES, negative: TIMES },
  D: { positive: DEGREES, negative: DEGREES },
  O: { positive: OPENERS, negative: OPENERS },
  V: VALENCE_WORDS,
};

/** N noun, T time, D degree, O opener, V a word of valence. Every template serves both valences alike. */
const TEMPLATES = [
  'The N was D V T.',
  'We had a V N T.',
  'That N looks V and V.',
  'What a V N you found T.',
  'I think the N is D V.',
  'My N turned out V T.',
  'It was a V N with a V N.',
  'O, the N is V.',
  'You know, that N was D V T.',
  'O, my N and your N are V.',
  'This is a D V N.',
  'They said the N is V, and the N is V.',
];

/** Every word that a sentence can hold, as it is written (openers and first words with their capital). */
export function sentenceWords(): string[] {
  const fixed = TEMPLATES.flatMap((template) => template.match(/[A-Za-z]+/g) ?? []);
  const words = [...fixed.filter((word) => !(word in SLOTS)), 'an'];
  return [
    ...new Set([
      ...words,
      ...Object.values(SLOTS).flatMap((choices) => [...choices.positive, ...choices.negative]),
    ]),
  ];
}

/**
 * An endless source of distinct sentences: none comes twice, so that none is in two splits, while all share the words.
 * Template and filler words do not depend on the valence.
 */
export function sentenceSource(random: Random): (valence: Valence) => string {
  const used = new Set<string>();
  return (valence) => {
    for (;;) {
      const text = random
        .pick(TEMPLATES)
        .replace(/\b[NTDOV]\b/g, (slot) => random.pick(SLOTS[slot]![valence]))
        .replace(/\ba (?=[aeiou])/g, 'an ');
      if (used.has(text)) continue;
      used.add(text);
      return text;
    }
  };
}
