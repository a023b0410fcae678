import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  groupStatistics,
  groupUtterances,
  type LeakagePair,
  type Utterance,
} from '../../../src/data/corpora/index.js';
import { findLeakage, seenInTraining } from '../../../src/data/corpora/leakage.js';
import { readMeldAnnotations } from '../../../src/data/corpora/meld.js';
import { divisionOf } from '../../../src/data/corpora/statistics.js';
import { seededRandom } from '../../../src/engine/tensor/index.js';
import { put, toneWav } from './raw-trees.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq leak é-'));
afterAll(() => rmSync(folder, { recursive: true }));

const utterance = (id: string, split: string, more: Partial<Utterance> = {}): Utterance => ({
  id,
  path: join(folder, `${id}.wav`),
  text: '',
  label: 'neutral',
  speaker: '',
  gender: '',
  session: '',
  split,
  durationSec: 0,
  ...more,
});

/** Utterances of a dialogue, in order. */
const dialogue = (name: string, split: string, ...texts: string[]): Utterance[] =>
  texts.map((text, i) => utterance(`${name}_u${i}`, split, { text }));

async function pairOf(utterances: Utterance[], seen = 'train', heldOut = 'test'): Promise<LeakagePair> {
  const { pairs } = await findLeakage(utterances);
  return pairs.find((pair) => pair.seen === seen && pair.heldOut === heldOut)!;
}

describe('leakage between splits', () => {
  it('is looked for from each split to those after it, with numbers and first ids of shared speakers', async () => {
    const speakers = (split: string, ...names: string[]) =>
      names.map((speaker, i) => utterance(`${split}${i}`, split, { speaker }));
    const report = await findLeakage([
      ...speakers('test', 'ann', 'bob', 'ann', ''),
      ...speakers('dev', 'cyd', ''),
      ...speakers('train', 'bob', 'cyd', 'ann', ''),
    ]);
    expect(report.division).toBe('split');
    expect(
      report.pairs.map(({ seen, heldOut, utterances, speakers: shared }) => [
        seen,
        heldOut,
        utterances,
        shared.count,
        shared.utterances,
      ]),
    ).toEqual([
      ['train', 'dev', 2, 1, 1],
      ['train', 'test', 4, 2, 3],
      ['dev', 'test', 4, 0, 0],
    ]);
    expect(report.pairs[1]!.speakers.examples).toEqual([
      { what: 'ann', seen: ['train2'], heldOut: ['test0', 'test2'] },
      { what: 'bob', seen: ['train0'], heldOut: ['test1'] },
    ]);
  });

  it('finds the same words whatever the capitals, marks and tags, and tells sentences from greetings', async () => {
    const { texts, longTexts } = await pairOf([
      utterance('a', 'train', { text: 'Hey!' }),
      utterance('b', 'train', { text: 'I’ve never seen this before... [LAUGHTER]' }),
      utterance('c', 'train', { text: 'Was it you?' }),
      utterance('d', 'train', { text: '[BREATHING]' }),
      utterance('e', 'test', { text: "i've NEVER seen - this before" }),
      utterance('f', 'test', { text: 'Hey' }),
      utterance('g', 'test', { text: 'hey...' }),
      utterance('h', 'test', { text: 'It was you.' }),
      utterance('i', 'test', { text: '[BREATHING]' }),
    ]);
    expect([texts.count, texts.utterances]).toEqual([2, 3]);
    expect(texts.examples[0]).toEqual({ what: 'ive never seen this before', seen: ['b'], heldOut: ['e'] });
    expect([longTexts.count, longTexts.utterances]).toEqual([1, 1]);
  });

  it('finds a scene that is in both, across the borders of dialogues, and whole dialogues however short', async () => {
    const scene = ['What is wrong with you?', 'Nothing!', 'I got this pain in my stomach.', 'See a doctor.'];
    const { passages } = await pairOf([
      ...dialogue('d1', 'train', 'Hello.', 'Yes.', ...scene, 'No.'),
      ...dialogue('d2', 'train', 'Hey.', 'Hi.'),
      ...dialogue('d3', 'train', 'Fine.', 'Yes.', 'No.'),
      ...dialogue('d4', 'test', 'So.', scene[0]!, scene[1]!),
      ...dialogue('d5', 'test', scene[2]!, scene[3]!, 'Oh.'),
      ...dialogue('d6', 'test', 'Hey!', 'Hi!'),
      ...dialogue('d7', 'test', 'Well.', 'Yes.', 'No.'), // two short ones in a row are chance
    ]);
    expect([passages.count, passages.utterances]).toEqual([2, 6]);
    expect(passages.examples.map(({ seen, heldOut }) => [seen, heldOut])).toEqual([
      [
        ['d1_u2', 'd1_u3', 'd1_u4', 'd1_u5'],
        ['d4_u1', 'd4_u2', 'd5_u0', 'd5_u1'],
      ],
      [
        ['d2_u0', 'd2_u1'],
        ['d6_u0', 'd6_u1'],
      ],
    ]);
  });

  it('sees no passages in a corpus of two fixed sentences', async () => {
    const random = seededRandom(1);
    const said = (speaker: string, split: string) =>
      Array.from({ length: 300 }, (_, i) =>
        utterance(`${speaker}-${i}`, split, {
          text: `The ${random.pick(['dogs', 'kids'])} are sitting by the door.`,
        }),
      );
    const { passages, longTexts } = await pairOf([...said('a', 'train'), ...said('b', 'test')]);
    expect([passages.count, longTexts.count, longTexts.utterances]).toEqual([0, 2, 300]);
  });

  it('finds the same audio by its bytes alone, and says what it could not compare', async () => {
    const other = toneWav(300, 0.3);
    other.writeInt16LE(7, 44); // as long as its neighbour, and different only at its beginning
    put(join(folder, 'one.wav'), toneWav(300, 0.3));
    put(join(folder, 'almost.wav'), other);
    put(join(folder, `it's "two".wav`), toneWav(300, 0.3));
    put(join(folder, 'longer.wav'), toneWav(300, 0.4));
    const report = await findLeakage([
      utterance('one', 'train'),
      utterance('almost', 'test'),
      utterance(`it's "two"`, 'test'),
      utterance('longer', 'test'),
      utterance('gone', 'test'),
    ]);
    expect(report.audio).toEqual({ compared: 4, missing: 1 });
    const [{ audio }] = report.pairs as [LeakagePair];
    expect(audio.count).toBe(1);
    expect(audio.examples[0]).toMatchObject({ seen: ['one'], heldOut: [`it's "two"`] });
    const again = utterance('again', 'test', { path: join(folder, 'one.wav') });
    expect((await pairOf([utterance('one', 'train'), again])).audio.examples).toMatchObject([
      { seen: ['one'], heldOut: ['again'] },
    ]);
  });
});

describe('leakage between sessions', () => {
  const session = (id: string, name: string, more: Partial<Utterance>) =>
    utterance(id, '', { session: name, ...more });

  it('is looked for from all other sessions to each', async () => {
    const { division, pairs } = await findLeakage([
      session('a', '1', { speaker: 'x', text: 'The same five words here.' }),
      session('b', '2', { speaker: 'y', text: 'Something else.' }),
      session('c', '10', { speaker: 'x', text: 'the same five words here' }),
    ]);
    expect(division).toBe('session');
    expect(
      pairs.map(({ seen, heldOut, speakers, longTexts }) => [seen, heldOut, speakers.count, longTexts.count]),
    ).toEqual([
      ['others', '1', 1, 1],
      ['others', '2', 0, 0],
      ['others', '10', 1, 1],
    ]);
  });

  it('is not looked for in one session, or in a corpus that is not divided', async () => {
    expect((await findLeakage([session('a', '1', {})])).pairs).toEqual([]);
    expect(await findLeakage([utterance('a', '')])).toMatchObject({ division: undefined, pairs: [] });
  });
});

describe('statistics of a group', () => {
  it('have quantiles as NumPy has them, speakers with a name, and lengths that are known', () => {
    const group = [0.5, 4, 1, 0, 2.5, 3].map((durationSec, i) =>
      utterance(`u${i}`, '', { durationSec, speaker: ['ann', 'bob', ''][i % 3]! }),
    );
    // numpy.quantile([0.5, 1, 2.5, 3, 4], [0, 0.25, 0.5, 0.75, 0.95, 1])
    expect(groupStatistics(group)).toEqual({
      utterances: 6,
      speakers: 2,
      durationSec: 11,
      lengthSec: { min: 0.5, p25: 1, median: 2.5, p75: 3, p95: expect.closeTo(3.8, 12), max: 4 },
    });
    expect(groupStatistics([utterance('a', '')]).lengthSec).toBeUndefined();
  });

  it('come by split in the order of use, by session in numbers', () => {
    const splits = ['test', 'train', 'dev', 'extra'].map((split) => utterance(split, split));
    expect([...groupUtterances(splits, 'split').keys()]).toEqual(['extra', 'train', 'dev', 'test']);
    expect(divisionOf(splits)).toBe('split');
    const sessions = ['10', '9', '1'].map((session) => utterance(session, '', { session }));
    expect([...groupUtterances(sessions, 'session').keys()]).toEqual(['1', '9', '10']);
    expect(divisionOf(sessions)).toBe('session');
  });
});

const meld = process.env.EMOQ_REAL_DATA && join(process.env.EMOQ_REAL_DATA, 'meld');
const present = meld !== undefined && existsSync(join(meld, 'train_sent_emo.csv'));
if (!present)
  console.log('skipped: the known leakage of MELD, because EMOQ_REAL_DATA names no folder with meld/');

describe.runIf(present)('the annotations of MELD', () => {
  const utterances: Utterance[] = [];
  const episodes = new Map<string, string>();
  beforeAll(async () => {
    const labels = ['neutral', 'joy', 'surprise', 'anger', 'sadness', 'disgust', 'fear'];
    for (const split of ['train', 'dev', 'test']) {
      for (const row of await readMeldAnnotations(join(meld!, `${split}_sent_emo.csv`), labels)) {
        const id = `${split}_dia${row.dialogue}_utt${row.utterance}`;
        utterances.push(utterance(id, split, { text: row.text, speaker: row.speaker }));
        episodes.set(id, row.episode);
      }
    }
  });

  it('have the episodes and speakers of the training in nearly all of the test', () => {
    const parts = seenInTraining(utterances, 'split', {
      speakers: ({ speaker }) => speaker,
      sessions: ({ session }) => session,
      episodes: ({ id }) => episodes.get(id)!,
      dialogues: () => '',
    });
    // Counted with Python's csv: 1,109 of dev and 2,610 of test.
    expect(
      parts.map(({ heldOut, utterances: all, kinds: { speakers, episodes: met } }) => [
        heldOut,
        all,
        speakers!.utterances,
        met!.utterances,
      ]),
    ).toEqual([
      ['dev', 1109, 1072, 1096],
      ['test', 2610, 2501, 2609],
    ]);
    expect(parts[1]!.kinds).toMatchObject({ sessions: null, dialogues: null });
    expect(parts[1]!.kinds.speakers!.share).toBeCloseTo(0.95824, 5);
  });

  it('share dialogues between splits, as is known, and one scene of five utterances', async () => {
    const { pairs } = await findLeakage(utterances);
    const ends = (ids: string[]): string => [...new Set([ids[0], ids.at(-1)])].join(' to ');
    const passages = pairs.flatMap((pair) =>
      pair.passages.examples.map(({ seen, heldOut }) => `${ends(seen)} = ${ends(heldOut)}`),
    );
    expect(passages).toEqual([
      'train_dia12_utt4 to train_dia12_utt8 = test_dia84_utt0 to test_dia85_utt1',
      'train_dia19_utt0 to train_dia19_utt1 = test_dia63_utt0 to test_dia63_utt1',
      'dev_dia55_utt0 = test_dia148_utt0',
    ]);
    expect(pairs.map(({ speakers }) => speakers.examples[0]!.what.length > 0)).toEqual([true, true, true]);
  });
});
