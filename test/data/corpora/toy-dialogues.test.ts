/** @file The toy corpus of dialogues: two speakers in turn, labels that the turn before decides, nothing else that tells. */

import { describe, expect, it } from 'vitest';
import { VALENCE_WORDS } from '../../../src/data/corpora/toy/sentences.js';
import { planToyDialogues } from '../../../src/data/corpora/toy/toy-dialogues.js';
import { prepareToyCorpus } from '../../../src/data/corpora/toy/toy-preparation.js';

const options = { seed: 0, speakers: 20, utterancesPerSpeaker: 64, spoken: false };
const { utterances } = planToyDialogues(options);
const isGood = (text: string): boolean => VALENCE_WORDS.positive.some((word) => text.includes(word));

describe('toy dialogues', () => {
  it('have four turns by two speakers of one session, and as many utterances of each speaker as asked for', () => {
    expect(utterances).toHaveLength(20 * 64);
    for (let first = 0; first < utterances.length; first += 4) {
      const turns = utterances.slice(first, first + 4);
      expect(new Set(turns.map(({ dialogue }) => dialogue)).size).toBe(1);
      const [a, b, c, d] = turns.map(({ speaker }) => speaker);
      expect([a, b]).toEqual([c, d]);
      expect([a!.id === b!.id, a!.session === b!.session]).toEqual([false, true]);
      expect(turns.map(({ turn }) => turn)).toEqual([0, 1, 2, 3]);
    }
    expect(new Set(utterances.map(({ dialogue }) => dialogue)).size).toBe((20 * 64) / 4);
    for (const name of new Set(utterances.map(({ speaker }) => speaker.id)))
      expect(utterances.filter(({ speaker }) => speaker.id === name)).toHaveLength(64);
  });

  it('have the emotions that the words of the turn before make', () => {
    for (const [index, { turn, label }] of utterances.entries()) {
      if (turn === 0) expect(label).toBe('neutral');
      else expect(label).toBe(isGood(utterances[index - 1]!.text) ? 'happy' : 'sad');
    }
  });

  it('tell nothing by their own words, their voice or their place', () => {
    const answers = utterances.filter(({ turn }) => turn! > 0);
    const share = (of: typeof answers): number =>
      of.filter(({ label }) => label === 'happy').length / of.length;
    for (const part of [
      answers,
      answers.filter(({ text }) => isGood(text)),
      answers.filter(({ text }) => !isGood(text)),
      answers.filter(({ arousal }) => arousal === 'high'),
      ...[1, 2, 3].map((place) => answers.filter(({ turn }) => turn === place)),
    ]) {
      expect(part.length).toBeGreaterThan(300);
      expect(Math.abs(share(part) - 0.5)).toBeLessThan(0.08); // 2.8 standard deviations of 320
    }
  });

  it('need pairs of speakers, and are no raw release', async () => {
    expect(() => planToyDialogues({ ...options, speakers: 15 })).toThrow('give a multiple of 10');
    await expect(prepareToyCorpus({ out: 'x', raw: 'meld', dialogues: true })).rejects.toThrow(
      '--raw meld has dialogues of its own; leave out --dialogues',
    );
  });
});
