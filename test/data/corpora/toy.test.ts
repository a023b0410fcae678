/** @file The toy corpus is a fair test: its emotion is in voice and words together, and nowhere else. */

import { beforeAll, describe, expect, it } from 'vitest';
import { encodeWav } from '../../../src/data/audio/index.js';
import { sentenceWords } from '../../../src/data/corpora/toy/index.js';
import { VALENCE_WORDS } from '../../../src/data/corpora/toy/sentences.js';
import {
  planToyCorpus,
  renderUtterance,
  TOY_CLASSES,
  type ToyLabel,
  type ToyPlan,
  type ToyUtterance,
  utteranceSec,
} from '../../../src/data/corpora/toy/toy-corpus.js';
import { bestAccuracy, guessingBound, type Row, wordAccuracy } from './classifiers.js';

const DEFAULTS = { seed: 0, speakers: 20, utterancesPerSpeaker: 32, spoken: false };

interface Sounding extends ToyUtterance {
  readonly place: number;
  readonly samples: Float32Array;
  readonly peak: number;
  readonly fileBytes: number;
  readonly voice: readonly number[];
}

const plan = planToyCorpus(DEFAULTS);
let rows: Sounding[];
beforeAll(() => {
  rows = plan.utterances.map((utterance, place) => {
    const samples = renderUtterance(plan, utterance);
    const fileBytes = encodeWav(samples, 16_000).length;
    return { ...utterance, place, samples, peak: peakOf(samples), fileBytes, voice: voiceFeatures(samples) };
  });
});

const valenceOf = (label: ToyLabel): string => TOY_CLASSES.find((corner) => corner.label === label)!.valence;
const targets = {
  label: ({ label }: ToyUtterance): string => label,
  arousal: ({ arousal }: ToyUtterance): string => arousal,
  valence: ({ label }: ToyUtterance): string => valenceOf(label),
};
const classesOf = { label: 4, arousal: 2, valence: 2 };
type Target = keyof typeof targets;

/** Rows of the training speakers and of all others, for a classifier. */
function divided<T>(target: Target, features: (row: Sounding) => T): Record<'train' | 'unseen', Row<T>[]> {
  const fit = (row: Sounding): Row<T> => ({ features: features(row), label: targets[target](row) });
  return {
    train: rows.filter(({ speaker }) => speaker.split === 'train').map(fit),
    unseen: rows.filter(({ speaker }) => speaker.split !== 'train').map(fit),
  };
}

function peakOf(samples: Float32Array): number {
  return samples.reduce((peak, sample) => Math.max(peak, Math.abs(sample)), 0);
}

/** Simple acoustic features (brightness, pitch and pace), none of them learned. */
function voiceFeatures(samples: Float32Array): number[] {
  let power = 0;
  let change = 0;
  for (let i = 1; i < samples.length; i++) {
    power += samples[i]! ** 2;
    change += (samples[i]! - samples[i - 1]!) ** 2;
  }
  const frames: number[] = [];
  for (let start = 0; start + 400 <= samples.length; start += 160) {
    let energy = 0;
    for (let i = start; i < start + 400; i++) energy += samples[i]! ** 2;
    frames.push(energy);
  }
  const loud = 0.1 * Math.max(...frames);
  const onsets = frames.filter((frame, index) => frame > loud && (frames[index - 1] ?? 0) <= loud).length;
  return [Math.log(change / power), onsets / samples.length, Math.log(pitchLag(samples))];
}

/** Pitch period in samples at 4 kHz, by autocorrelation over the whole clip. */
function pitchLag(samples: Float32Array): number {
  const slow = new Float64Array(Math.floor(samples.length / 4));
  for (let i = 0; i < slow.length; i++)
    slow[i] = samples[4 * i]! + samples[4 * i + 1]! + samples[4 * i + 2]! + samples[4 * i + 3]!;
  const product = (lag: number): number => {
    let sum = 0;
    for (let i = lag; i < slow.length; i++) sum += slow[i]! * slow[i - lag]!;
    return sum;
  };
  let best = 9;
  let bestProduct = Number.NEGATIVE_INFINITY;
  for (let lag = 9; lag <= 50; lag++) {
    const value = product(lag);
    if (value > bestProduct) [best, bestProduct] = [lag, value];
  }
  return best;
}

describe('a toy corpus', () => {
  it('has as many utterances of each class for each speaker', () => {
    for (const { id } of plan.speakers) {
      const own = plan.utterances.filter(({ speaker }) => speaker.id === id);
      for (const { label } of TOY_CLASSES) expect(own.filter((row) => row.label === label)).toHaveLength(8);
    }
  });

  it('keeps speakers and sessions in one split each, women and men in all', () => {
    const splits = { train: [1, 2, 3], dev: [4], test: [5] };
    for (const [split, sessions] of Object.entries(splits)) {
      const members = plan.speakers.filter((speaker) => speaker.split === split);
      expect([...new Set(members.map(({ session }) => session))].sort()).toEqual(sessions);
      for (const session of sessions) {
        const genders = members.filter((speaker) => speaker.session === session).map(({ gender }) => gender);
        expect(genders.sort()).toEqual(['F', 'F', 'M', 'M']);
      }
    }
    expect(new Set(plan.speakers.map(({ id }) => id)).size).toBe(20);
  });

  it('says no sentence twice, and says in dev and test only words that train has', () => {
    const texts = plan.utterances.map(({ text }) => text);
    expect(new Set(texts).size).toBe(640);
    const wordsOf = (train: boolean): Set<string> =>
      new Set(
        plan.utterances
          .filter(({ speaker }) => (speaker.split === 'train') === train)
          .flatMap(({ text }) => text.match(/[A-Za-z]+/g) ?? []),
      );
    const taught = wordsOf(true);
    expect([...wordsOf(false)].filter((word) => !taught.has(word))).toEqual([]);
    expect([...taught].filter((word) => !sentenceWords().includes(word))).toEqual([]);
  });

  it('is made of clips between 1.2 and 2.5 s that neither clip nor fall silent', () => {
    for (const { samples, peak } of rows) {
      expect(samples.length).toBeGreaterThanOrEqual(1.2 * 16_000 - 1);
      expect(samples.length).toBeLessThanOrEqual(2.5 * 16_000 + 1);
      expect(peak).toBeGreaterThan(0.3);
      expect(peak).toBeLessThan(0.85);
    }
  });

  it.each([
    ['seed', 1.5],
    ['speakers', 4],
    ['speakers', 7.5],
    ['speakers', Number.NaN],
    ['utterancesPerSpeaker', 6],
    ['utterancesPerSpeaker', 0],
    ['utterancesPerSpeaker', 4000],
  ])('is refused with %s %d', (key, value) => {
    expect(() => planToyCorpus({ ...DEFAULTS, [key]: value })).toThrow(/^[^\n]*give [^\n]*$/);
  });
});

describe('no label leaks', () => {
  const leaks: [string, (row: Sounding) => number[]][] = [
    ['the length of a clip', ({ samples }) => [samples.length]],
    ['the size of its file', ({ fileBytes }) => [fileBytes]],
    ['its largest sample', ({ peak }) => [peak]],
    ['the place in the order', ({ place }) => [place]],
    ['the place, counted in cycles', ({ place }) => [2, 3, 4, 5, 8, 16, 32].map((cycle) => place % cycle)],
    ['the text of the id', ({ id }) => [...id].map((character) => character.charCodeAt(0))],
    [
      'the label of the row before',
      ({ place }) => TOY_CLASSES.map(({ label }) => (rows[place - 1]?.label === label ? 1 : 0)),
    ],
    ['the length of the text', ({ text }) => [text.length, text.split(' ').length]],
    [
      'the speaker',
      ({ speaker }) => [speaker.session, speaker.voice.basePitchHz, speaker.voice.formantScale],
    ],
  ];
  it.each(leaks)('through %s', (_name, features) => {
    for (const target of Object.keys(targets) as Target[]) {
      const { train, unseen } = divided(target, features);
      expect(bestAccuracy(train, unseen), target).toBeLessThan(
        guessingBound(classesOf[target], unseen.length),
      );
    }
  });

  it('through the length of a clip that speaks its text', () => {
    const spoken = planToyCorpus({ ...DEFAULTS, spoken: true });
    for (const target of Object.keys(targets) as Target[]) {
      const { train, unseen } = divided(target, ({ place }) => [
        utteranceSec(spoken, spoken.utterances[place]!),
      ]);
      expect(bestAccuracy(train, unseen), target).toBeLessThan(
        guessingBound(classesOf[target], unseen.length),
      );
    }
  });

  it('and the search finds a leak that is there', () => {
    const { train, unseen } = divided('arousal', ({ samples, arousal }) => [
      samples.length + (arousal === 'high' ? 10_000 : 0),
    ]);
    expect(bestAccuracy(train, unseen)).toBeGreaterThan(guessingBound(2, unseen.length));
  });

  it('ids count up in corpus order and say nothing else', () => {
    expect(plan.utterances.map(({ id }) => id)).toEqual(
      plan.utterances.map((_, place) => `toy_${String(place + 1).padStart(5, '0')}`),
    );
  });

  it.each([false, true])(
    'an utterance in the other arousal has the same length and peak (spoken: %s)',
    (spoken) => {
      const some: ToyPlan = planToyCorpus({ ...DEFAULTS, spoken });
      for (const utterance of some.utterances.slice(0, 12)) {
        const heard = renderUtterance(some, utterance);
        const other = renderUtterance(some, {
          ...utterance,
          arousal: utterance.arousal === 'high' ? 'low' : 'high',
        });
        expect(other.length).toBe(heard.length);
        expect(peakOf(other)).toBeCloseTo(peakOf(heard), 2);
        expect(other).not.toEqual(heard);
      }
    },
  );
});

describe('what carries the emotion', () => {
  it('the voice tells arousal on unseen speakers, and not valence', () => {
    const arousal = divided('arousal', ({ voice }) => voice);
    expect(bestAccuracy(arousal.train, arousal.unseen)).toBeGreaterThan(0.9);
    const valence = divided('valence', ({ voice }) => voice);
    expect(bestAccuracy(valence.train, valence.unseen)).toBeLessThan(guessingBound(2, valence.unseen.length));
  });

  it('the words tell valence, and not arousal', () => {
    const valence = divided('valence', ({ text }) => text);
    expect(wordAccuracy(valence.train, valence.unseen)).toBeGreaterThan(0.97);
    const arousal = divided('arousal', ({ text }) => text);
    expect(wordAccuracy(arousal.train, arousal.unseen)).toBeLessThan(guessingBound(2, arousal.unseen.length));
  });

  it('so neither alone tells more than half of the four classes', () => {
    const bound = 0.5 + 3 * Math.sqrt(0.25 / 256);
    const voice = divided('label', ({ voice }) => voice);
    expect(bestAccuracy(voice.train, voice.unseen)).toBeLessThan(bound);
    const words = divided('label', ({ text }) => text);
    expect(wordAccuracy(words.train, words.unseen)).toBeLessThan(bound);
  });

  it('the words of both valences have the same form: as many, none short', () => {
    const { positive, negative } = VALENCE_WORDS;
    expect(positive.length).toBe(negative.length);
    for (const word of [...positive, ...negative]) expect(word.length).toBeGreaterThan(4);
    expect(new Set([...positive, ...negative]).size).toBe(positive.length + negative.length);
  });

  it('the sound depends on speaker and arousal alone, and with `spoken` on the words too', () => {
    const spoken = planToyCorpus({ ...DEFAULTS, spoken: true });
    for (const index of [0, 1, 2]) {
      const other = { ...plan.utterances[index]!, text: 'We had a nasty dinner.', label: 'angry' as const };
      expect(renderUtterance(plan, other)).toEqual(rows[index]!.samples);
      expect(renderUtterance(spoken, other)).not.toEqual(renderUtterance(spoken, spoken.utterances[index]!));
    }
  });
});
