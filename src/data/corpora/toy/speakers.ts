/** @file The toy corpus's speakers: each has a voice of their own, and a place in a session and a split. */

import { InputError } from '../../../base/index.js';
import { seededRandom } from '../../../engine/tensor/index.js';

export type ToySplit = 'train' | 'dev' | 'test';

/** What stays the same in a person's voice, whatever they feel. */
export interface VoiceTraits {
  /** Resting pitch in Hz. */
  readonly basePitchHz: number;
  /** Formant frequencies relative to an average adult: a short vocal tract is above 1. */
  readonly formantScale: number;
  /** Habitual rate in syllables per second. */
  readonly syllablesPerSec: number;
  /** Corner of the source's low-pass in Hz: a dull voice is low, a bright one high. */
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

/** Sessions 1-3 train, 4 dev, 5 test: with 20 speakers that is 12, 4 and 4 people, nobody in two splits. */
const splitOfSession: readonly ToySplit[] = ['train', 'train', 'train', 'dev', 'test'];

/**
 * Draws `count` speakers, spread evenly over five sessions, women and men in turn.
 * @throws InputError for a count that is not a whole number of at least 5 (one speaker for each session).
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
