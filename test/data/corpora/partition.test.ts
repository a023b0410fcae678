import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../../src/base/index.js';
import {
  heldOutGroups,
  type Partition,
  partitionUtterances,
  type Utterance,
} from '../../../src/data/corpora/index.js';
import type { PartitionOptions } from '../../../src/data/corpora/partition.js';
import { assignFolds, assignSplits } from '../../../src/data/corpora/splits.js';
import { seededRandom } from '../../../src/engine/tensor/index.js';

const LABELS = ['neutral', 'angry', 'sad', 'happy'];

/** 20 utterances per speaker, with alternating labels. */
function corpus(
  speakers: string[],
  more: (speaker: string, i: number) => Partial<Utterance> = () => ({}),
): Utterance[] {
  return speakers.flatMap((speaker) =>
    Array.from({ length: 20 }, (_, i) => ({
      id: `${speaker}-${i}`,
      path: `/x/${speaker}-${i}.wav`,
      text: '',
      label: LABELS[i % 4]!,
      speaker,
      gender: '',
      session: '',
      split: '',
      durationSec: 1,
      ...more(speaker, i),
    })),
  );
}

/** Ten speakers as in IEMOCAP: a woman and a man in each of sessions 1 to 5. */
const dyads = ['1', '2', '3', '4', '5'].flatMap((n) => [`Ses0${n}F`, `Ses0${n}M`]);
const sessions = corpus(dyads, (speaker) => ({ session: speaker[4]! }));

const speakersOf = (utterances: Utterance[]): string[] =>
  [...new Set(utterances.map(({ speaker }) => speaker))].sort();
const sizes = ({ train, dev, test }: Partition): number[] => [train.length, dev.length, test.length];

describe('partition by split', () => {
  const split = corpus(['a', 'b', 'c'], (_, i) => ({ split: ['train', 'train', 'dev', 'test'][i % 4]! }));

  it('follows the column, in order, speakers shared or not', () => {
    const partition = partitionUtterances(split);
    expect(sizes(partition)).toEqual([30, 15, 15]);
    expect(partition.test.map(({ id }) => id).slice(0, 2)).toEqual(['a-3', 'a-7']);
  });

  it('takes validation from training where there is no dev split, if asked', () => {
    const noDev = split.map((u) => ({ ...u, split: u.split === 'dev' ? 'train' : u.split }));
    expect(sizes(partitionUtterances(noDev))).toEqual([45, 0, 15]);
    expect(sizes(partitionUtterances(noDev, { validation: 'stratified', validationShare: 0.2 }))).toEqual([
      36, 9, 15,
    ]);
  });

  it('refuses unknown and missing splits', () => {
    expect(() =>
      partitionUtterances(split.map((u) => ({ ...u, split: u.split.replace('dev', 'val') }))),
    ).toThrow(/utterance a-2 has split "val"; splits are train, dev and test/);
    expect(() => partitionUtterances(split.filter((u) => u.split !== 'test'))).toThrow(
      /no utterance has split "test"/,
    );
    expect(() => partitionUtterances([])).toThrow(InputError);
  });
});

describe('partition by fold', () => {
  it.each([1, 2, 3, 4, 5])('fold %i holds out that session and no other', (fold) => {
    const { train, dev, test } = partitionUtterances(sessions, { fold });
    expect([train.length, dev.length, test.length]).toEqual([160, 0, 40]);
    expect(speakersOf(test)).toEqual([`Ses0${fold}F`, `Ses0${fold}M`]);
    expect(speakersOf(train)).toEqual(dyads.filter((speaker) => speaker[4] !== String(fold)));
  });

  it('holds out one speaker of the others for validation, chosen by the seed', () => {
    const chosen = new Set<string>();
    for (let seed = 0; seed < 12; seed++) {
      const { train, dev, test } = partitionUtterances(sessions, { fold: 2, validation: 'speaker', seed });
      expect(speakersOf(dev)).toHaveLength(1);
      expect([...speakersOf(train), ...speakersOf(dev), ...speakersOf(test)].sort()).toEqual(dyads);
      chosen.add(speakersOf(dev)[0]!);
    }
    expect(chosen.size).toBeGreaterThan(3);
  });

  const FOLDS = [1, 2, 3, 4, 5];
  const validators = (options: PartitionOptions): string[] =>
    FOLDS.map((fold) => {
      const { dev } = partitionUtterances(sessions, { fold, validation: 'speaker', ...options });
      expect(speakersOf(dev)).toHaveLength(1);
      return dev[0]!.speaker;
    });

  it('has another validation speaker in each fold, of another session, and trains on everybody in some fold', () => {
    const patterns = new Set<string>();
    for (let seed = 0; seed < 40; seed++) {
      const speakers = validators({ seed });
      expect(new Set(speakers).size).toBe(5);
      expect(new Set(speakers.map((speaker) => speaker[4])).size).toBe(5);
      const trained = FOLDS.flatMap((fold) =>
        speakersOf(partitionUtterances(sessions, { fold, validation: 'speaker', seed }).train),
      );
      // Each of the ten is trained on in all folds that do not test or validate on them: at least three.
      for (const speaker of dyads) {
        const times = trained.filter((name) => name === speaker).length;
        expect(times).toBe(speakers.includes(speaker) ? 3 : 4);
      }
      patterns.add(speakers.join());
    }
    expect(patterns.size).toBeGreaterThan(35);
  });

  it('goes on with the draw of earlier versions where a run was begun with it: by the seed alone', () => {
    for (const seed of [0, 1, 2, 3]) {
      const pick = (fold: number): string =>
        seededRandom(seed, 'validation speaker').pick(dyads.filter((name) => name[4] !== String(fold)));
      expect(validators({ seed, draw: 'without-fold' })).toEqual(FOLDS.map(pick));
    }
    expect(new Set(validators({ seed: 1, draw: 'without-fold' })).size).toBeLessThan(5);
    const options = { validation: 'stratified', seed: 3, draw: 'without-fold' } as const;
    const { dev } = partitionUtterances(sessions, { ...options, fold: 2 });
    const angry = sessions.filter(({ session, label }) => session !== '2' && label === 'angry');
    const shuffled = seededRandom(3, 'validation share', 'angry').shuffle([...angry]);
    expect(dev.filter(({ label }) => label === 'angry').map(({ id }) => id)).toEqual(
      angry.filter((each) => shuffled.slice(0, 4).includes(each)).map(({ id }) => id),
    );
  });

  it.each(['none', 'speaker', 'stratified'] as const)(
    'tests the same utterances whatever the draw and the seed of validation, here %s',
    (validation) => {
      for (const fold of FOLDS) {
        const tested = sessions.filter(({ session }) => session === String(fold));
        for (const draw of ['by-fold', 'without-fold'] as const)
          expect(partitionUtterances(sessions, { fold, validation, draw, seed: 7 }).test).toEqual(tested);
      }
    },
  );

  it('without a fold validates on the speaker that it always did', () => {
    const split = sessions.map((each) => ({ ...each, split: each.session === '5' ? 'test' : 'train' }));
    const { dev } = partitionUtterances(split, { validation: 'speaker', seed: 4 });
    expect(speakersOf(dev)).toEqual([seededRandom(4, 'validation speaker').pick(dyads.slice(0, 8))]);
  });

  it('passes over a session without named speakers, and with two sessions takes the other', () => {
    const nameless = sessions.map((each) => (each.session === '3' ? { ...each, speaker: '' } : each));
    for (const fold of FOLDS) {
      const { dev } = partitionUtterances(nameless, { fold, validation: 'speaker', seed: 2 });
      expect(speakersOf(dev)).toHaveLength(1);
      expect(['', '3', String(fold)]).not.toContain(dev[0]!.session);
    }
    const two = sessions.filter(({ session }) => session < '3');
    for (const fold of [1, 2]) {
      const { dev, train } = partitionUtterances(two, { fold, validation: 'speaker', seed: 2 });
      expect([dev[0]!.session, speakersOf(train).length]).toEqual([String(3 - fold), 1]);
    }
  });

  it('takes other shares of each label in each fold', () => {
    const ids = FOLDS.map((fold) =>
      partitionUtterances(sessions, { fold, validation: 'stratified', seed: 3 }).dev.map(({ id }) => id),
    );
    // Sessions 4 and 5 are at the same positions in the training part of folds 1 to 3: with the seed alone, the same
    // ones are drawn.
    const late = ids.slice(0, 3).map((own) => own.filter((id) => id > 'Ses04').join());
    expect(new Set(late).size).toBe(3);
  });

  it('takes a share of each label for validation, the same for one seed', () => {
    const options = { fold: 2, validation: 'stratified', validationShare: 0.1, seed: 3 } as const;
    const { train, dev } = partitionUtterances(sessions, options);
    expect(LABELS.map((label) => dev.filter((u) => u.label === label).length)).toEqual([4, 4, 4, 4]);
    expect(train.length).toBe(144);
    expect(partitionUtterances(sessions, options).dev).toEqual(dev);
    expect(partitionUtterances(sessions, { ...options, seed: 4 }).dev).not.toEqual(dev);
  });

  it('keeps the number of a session where another is missing, and orders named ones', () => {
    const without2 = sessions.filter(({ session }) => session !== '2');
    expect(speakersOf(partitionUtterances(without2, { fold: 3 }).test)).toEqual(['Ses03F', 'Ses03M']);
    expect(() => partitionUtterances(without2, { fold: 2 })).toThrow(
      /fold 2 does not exist: the corpus has the sessions 1, 3, 4, 5/,
    );
    const named = corpus(['x', 'y'], (speaker) => ({ session: `room ${speaker}` }));
    expect(speakersOf(partitionUtterances(named, { fold: 2 }).test)).toEqual(['y']);
    const many = corpus(['a'], (_, i) => ({ session: String(i + 1) }));
    expect(heldOutGroups(many).names.slice(8, 11)).toEqual(['9', '10', '11']);
  });

  it('refuses a speaker of the test session who is also heard in training', () => {
    const leaked = sessions.map((u) => (u.id === 'Ses04M-7' ? { ...u, speaker: 'Ses02F' } : u));
    expect(() => partitionUtterances(leaked, { fold: 2 })).toThrow(
      /speaker Ses02F is in session 2 \(Ses02F-0\) and in session 4 \(Ses04M-7\)/,
    );
    expect(() => partitionUtterances(leaked, { fold: 4 })).toThrow(/speaker Ses02F/);
    expect(sizes(partitionUtterances(leaked, { fold: 1 }))).toEqual([160, 0, 40]);
  });

  it('refuses to guess: no fold given, no such fold, no session', () => {
    expect(() => partitionUtterances(sessions)).toThrow(/has sessions but no splits: .*a fold \(1 to 5\)/);
    expect(() => partitionUtterances(sessions, { fold: 6 })).toThrow(/fold 6 does not exist/);
    expect(() => partitionUtterances(corpus(['a', 'b']), { fold: 1 })).toThrow(
      /utterance a-0 has no session/,
    );
  });
});

describe('splits made from a seed', () => {
  const many = corpus(Array.from({ length: 10 }, (_, i) => `s${i}`));

  it('keep speakers whole, near the shares, the same for one seed', () => {
    const made = assignSplits(many, { seed: 1 });
    const partition = partitionUtterances(made);
    expect(sizes(partition)).toEqual([140, 20, 40]);
    const speakers = [partition.train, partition.dev, partition.test].flatMap(speakersOf);
    expect(speakers.length).toBe(10);
    expect(assignSplits(many, { seed: 1 })).toEqual(made);
    expect(assignSplits(many, { seed: 2 })).not.toEqual(made);
    expect(partitionUtterances(many, { seed: 1 })).toEqual(partition);
  });

  it('leave something for each split with three speakers, and refuse two', () => {
    expect(sizes(partitionUtterances(assignSplits(corpus(['a', 'b', 'c']))))).toEqual([20, 20, 20]);
    expect(() => assignSplits(corpus(['a', 'b']))).toThrow(/need at least 3 speakers, there are 2/);
    expect(sizes(partitionUtterances(assignSplits(corpus(['a', 'b']), { devShare: 0 })))).toEqual([
      20, 0, 20,
    ]);
  });

  it('divide each label where no speaker is known, and refuse a half-filled column', () => {
    const partition = partitionUtterances(assignSplits(corpus(['a', 'b'], () => ({ speaker: '' }))));
    expect(LABELS.map((label) => partition.test.filter((u) => u.label === label).length)).toEqual([
      2, 2, 2, 2,
    ]);
    expect(sizes(partition)).toEqual([28, 4, 8]);
    const half = corpus(['a', 'b', 'c'], (speaker) => (speaker === 'b' ? { speaker: '' } : {}));
    expect(() => assignSplits(half)).toThrow(/utterance b-0 has no speaker while others have one/);
  });

  it('make folds of about one size with whole speakers', () => {
    const folded = assignFolds(many, 5, 7);
    for (let fold = 1; fold <= 5; fold++) {
      const { train, test } = partitionUtterances(folded, { fold });
      expect([train.length, test.length]).toEqual([160, 40]);
    }
    expect(() => assignFolds(many, 11)).toThrow(/need at least 11 speakers/);
    expect(() => assignFolds(many, 1)).toThrow(/whole number from 2/);
  });
});

describe('folds that hold out speakers', () => {
  const loso = { folding: { rule: 'speaker', seed: 0 } } as const;
  const TEN = Array.from({ length: 10 }, (_, index) => index + 1);

  it('test each speaker once, and validate on a speaker of their own', () => {
    for (const seed of [0, 1, 2, 3]) {
      const parts = TEN.map((fold) =>
        partitionUtterances(sessions, { ...loso, fold, validation: 'speaker', seed }),
      );
      expect(parts.flatMap(({ test }) => speakersOf(test))).toEqual(dyads);
      expect(new Set(parts.map(({ dev }) => dev[0]!.speaker)).size).toBe(10);
      for (const { train, dev, test } of parts) {
        expect([speakersOf(dev).length, speakersOf(test).length]).toEqual([1, 1]);
        expect([...speakersOf(train), ...speakersOf(dev), ...speakersOf(test)].sort()).toEqual(dyads);
      }
    }
  });

  it('are numbered by the order of the names, also where names are numbers', () => {
    const actors = corpus(['1012', '1002', '30']);
    expect(
      [1, 2, 3].flatMap((fold) => speakersOf(partitionUtterances(actors, { ...loso, fold }).test)),
    ).toEqual(['30', '1002', '1012']);
    expect(() => partitionUtterances(actors, { ...loso, fold: 4 })).toThrow(
      /fold 4 does not exist: the corpus has the speakers 30, 1002, 1012/,
    );
  });

  it('or groups of them: the same for every seed of a run, each validated on a speaker of another group', () => {
    const folding = { rule: 'speakers:3', seed: 0 } as const;
    const testedWith = (seed: number): string[][] =>
      [1, 2, 3].map((fold) => {
        const options = { folding, fold, seed, validation: 'speaker' } as const;
        const { train, dev, test } = partitionUtterances(sessions, options);
        expect(speakersOf(dev)).toHaveLength(1);
        expect([...speakersOf(train), ...speakersOf(dev), ...speakersOf(test)].sort()).toEqual(dyads);
        return speakersOf(test);
      });
    const tested = testedWith(1);
    expect(tested.flat().sort()).toEqual(dyads);
    expect(tested.map((speakers) => speakers.length).sort()).toEqual([3, 3, 4]);
    for (const seed of [2, 3, 4]) expect(testedWith(seed)).toEqual(tested);
    const asked = [5, 6, 7, 8].map((seed) => heldOutGroups(sessions, 'speakers:3', seed));
    const divisions = asked.map(({ of }) => sessions.map(of).join());
    expect(new Set(divisions).size).toBeGreaterThan(1);
    expect(heldOutGroups([...sessions].reverse(), 'speakers:3').of(sessions[0]!)).toBe(
      heldOutGroups(sessions, 'speakers:3').of(sessions[0]!),
    );
  });

  it('take turns of the other side out of histories, where speakers share dialogues', () => {
    const said = (speaker: string) => ({ speaker, gender: '', text: `by ${speaker}` });
    const history = [said('Ses01F'), said('Ses01M'), said('')];
    const talking = sessions.map((each) => (each.session === '1' ? { ...each, history } : each));
    const { train, test } = partitionUtterances(talking, { ...loso, fold: 1 });
    const heard = (utterances: Utterance[], of: string) =>
      utterances
        .filter(({ speaker }) => speaker === of)
        .flatMap((each) => each.history!.map(({ text }) => text));
    expect(new Set(heard(test, 'Ses01F'))).toEqual(new Set(['by Ses01F']));
    expect(new Set(heard(train, 'Ses01M'))).toEqual(new Set(['by Ses01M']));
    // A session holds its dialogues whole.
    const { test: whole } = partitionUtterances(talking, { fold: 1 });
    expect(whole.every((each) => each.history === history)).toBe(true);
  });

  it('are refused without speakers, or with fewer of them than folds', () => {
    const nameless = corpus(['a', 'b'], () => ({ speaker: '' }));
    expect(() => partitionUtterances(nameless, { ...loso, fold: 1 })).toThrow(
      'folds: speaker keeps speakers apart, but the corpus names no speakers; fill in the column "speaker", or choose other folds',
    );
    const half = corpus(['a', 'b', 'c'], (speaker) => (speaker === 'b' ? { speaker: '' } : {}));
    expect(() => heldOutGroups(half, 'speakers:2')).toThrow(
      /utterance b-0 has no speaker \(20 of 60 have none\)/,
    );
    expect(() => heldOutGroups(sessions, 'speakers:11')).toThrow(/need at least 11 speakers, there are 10/);
    const alone = corpus(['a']);
    expect(() => partitionUtterances(alone, { ...loso, fold: 1 })).toThrow(/speaker a is the only one/);
  });
});

/** From test/reference/folds.py: utterances by [speaker][label], and how evenly scikit-learn divides them. */
const reference = JSON.parse(readFileSync(new URL('../../fixtures/folds.json', import.meta.url), 'utf8')) as {
  cases: { folds: number; counts: number[][]; size_spread: number; label_spread: number }[];
};

describe('groups of speakers', () => {
  const spreads = reference.cases.map(({ folds, counts }) => {
    const utterances = counts.flatMap((row, speaker) =>
      row.flatMap((count, label) =>
        corpus([`s${speaker}`], (_, i) => ({ id: `${speaker}-${label}-${i}`, label: LABELS[label]! }))
          .slice(0, 1)
          .flatMap((each) => Array.from({ length: count }, (_, i) => ({ ...each, id: `${each.id}-${i}` }))),
      ),
    );
    const { names, of } = heldOutGroups(utterances, `speakers:${folds}`);
    const sharesOf = (members: Utterance[]): number[] =>
      names.map((name) => members.filter((each) => of(each) === name).length / members.length);
    const spread = (shares: number[]): number =>
      Math.max(...shares.map((share) => Math.abs(share * folds - 1)));
    return {
      size: spread(sharesOf(utterances)),
      label: Math.max(
        ...LABELS.map((label) => spread(sharesOf(utterances.filter((each) => each.label === label)))),
      ),
    };
  });
  const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

  it("are at least as even in utterances as scikit-learn's, and on average in labels", () => {
    for (const [index, { size }] of spreads.entries()) {
      expect(size).toBeLessThanOrEqual(reference.cases[index]!.size_spread);
    }
    expect(mean(spreads.map(({ label }) => label))).toBeLessThan(
      mean(reference.cases.map((each) => each.label_spread)),
    );
  });
});
