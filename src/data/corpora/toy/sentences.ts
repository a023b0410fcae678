/** @file Sentences and speakers of the toy corpus. One or two words of each sentence carry the valence. */

import { InputError } from '../../../base/index.js';
import { type Random, seededRandom } from '../../../engine/tensor/index.js';

export type Valence = 'positive' | 'negative';

/** Words that carry the valence, the same number for each; at least five letters. */
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

/** Possible fillers for each slot of a template, by valence. */
const SLOTS: Readonly<Record<string, Readonly<Record<Valence, readonly string[]>>>> = {
  N: { positive: NOUNS, negative: NOUNS },
  T: { positive: TIMES, negative: TIMES },
  D: { positive: DEGREES, negative: DEGREES },
  O: { positive: OPENERS, negative: OPENERS },
  V: VALENCE_WORDS,
};

/** N noun, T time, D degree, O opener, V valence word. Every template works for both valences. */
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

/** All words that occur in sentences, as written (openers and first words capitalised). */
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
 * An endless source of distinct sentences: no sentence repeats, so none is in two splits, while all share the same
 * words. Template and filler words do not depend on the valence.
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

export type ToySplit = 'train' | 'dev' | 'test';

/** Properties of a speaker's voice that do not depend on the emotion. */
export interface VoiceTraits {
  /** Resting pitch in Hz. */
  readonly basePitchHz: number;
  /** Formant frequencies relative to an average adult: above 1 for a short vocal tract. */
  readonly formantScale: number;
  /** Habitual rate in syllables per second. */
  readonly syllablesPerSec: number;
  /** Corner frequency of the source's low-pass in Hz: low for a dull voice, high for a bright one. */
  readonly sourceCornerHz: number;
  /** Aspiration noise relative to the pulses. */
  readonly breathiness: number;
  /** Relative change of the period from pulse to pulse. */
  readonly jitter: number;
}

export interface ToySpeaker {
  readonly id: string;
  readonly gender: 'F' | 'M';
  /** 1 to 5. */
  readonly session: number;
  readonly split: ToySplit;
  readonly voice: VoiceTraits;
}

export const SESSIONS = 5;

/** Sessions 1-3 train, 4 dev, 5 test: with 20 speakers, 12, 4 and 4 people, each in one split. */
const splitOfSession: readonly ToySplit[] = ['train', 'train', 'train', 'dev', 'test'];

/**
 * Draws `count` speakers, spread evenly over five sessions, alternating women and men.
 * @throws InputError unless the count is a whole number of at least 5 (one speaker per session)
 */
export function drawSpeakers(seed: number, count: number): ToySpeaker[] {
  if (!Number.isSafeInteger(count) || count < SESSIONS) {
    throw new InputError(
      `--speakers ${count}: the toy corpus has ${SESSIONS} sessions and needs a speaker in each; give a whole number of ${SESSIONS} or more`,
    );
  }
  return Array.from({ length: count }, (_, index) => {
    const session = (index % SESSIONS) + 1;
    const gender = (Math.floor(index / SESSIONS) + session) % 2 === 0 ? 'F' : 'M';
    return {
      id: `spk${String(index + 1).padStart(2, '0')}`,
      gender,
      session,
      split: splitOfSession[session - 1]!,
      voice: drawVoice(seed, index, gender),
    };
  });
}

function drawVoice(seed: number, index: number, gender: 'F' | 'M'): VoiceTraits {
  const random = seededRandom(seed, 'toy speaker', index);
  const between = (low: number, high: number): number => low + (high - low) * random.uniform();
  return {
    // The ranges are wide enough that one speaker's calm pitch is another's excited pitch.
    basePitchHz: gender === 'F' ? between(165, 225) : between(90, 140),
    formantScale: gender === 'F' ? between(1.06, 1.2) : between(0.9, 1.04),
    syllablesPerSec: between(3.9, 5.0),
    sourceCornerHz: between(1300, 2100),
    breathiness: between(0.015, 0.05),
    jitter: between(0.004, 0.015),
  };
}
