/** @file The words that a model reads beside noisy clips: its utterance's own, and those of the turns before it. */

import { describe, expect, it } from 'vitest';
import type { Alter } from '../../src/data/audio/index.js';
import { historiesOf, type Manifest, type Utterance } from '../../src/data/corpora/index.js';
import { type NoiseConditions, noisyUtterances } from '../../src/inference/utterance-predictions.js';

/** Five turns of a dialogue, and one of another; the second has no label of interest. */
const rows: Utterance[] = ['one', 'two', 'three', 'four', 'five', 'other'].map((text, index) => ({
  ...{ id: `u${index + 1}`, path: `u${index + 1}.wav`, text: `given ${text}`, recognised: text },
  ...{ dialogue: text === 'other' ? 'b' : 'a', turn: index, speaker: 'A', gender: '', label: 'sad' },
  ...{ session: '', split: 'test', durationSec: 1 },
}));
const manifest = { csvPath: 'm.csv', lineOf: new Map(), info: {}, utterances: rows } as unknown as Manifest;
const view = { stripTags: false, history: 2 };
const read = rows.map((row) => ({ ...row, text: row.recognised! }));
const clean = historiesOf(manifest, read, { history: 2, text: 'recognised' });
const [first, , third, , fifth] = read.map((row) => ({ ...row, history: clean.get(row.id)! })) as [
  ...[Utterance, Utterance, Utterance, Utterance, Utterance],
];

const alter: Alter = async (content) => ({ key: content, speed: 1, apply: async (samples) => samples });
const levels = [20, 0].map((snrDb) => ({ snrDb, alter }));
const at = (id: string, snrDb: number): string => `${id}\u00a0(SNR ${snrDb} dB)`;

/** Hears the id of a clip with its ratio, and nothing in the fourth at 0 dB. */
function listener(asked: string[] = []): NonNullable<NoiseConditions['recognise']> {
  return async (clips) => {
    asked.push(...clips.map(({ id, path }) => `${id} ${path}`));
    return clips.map(({ id }) => (id === at('u4', 0) ? ' ' : `heard ${id}`));
  };
}

describe('noisyUtterances', () => {
  it('keep their words without a recogniser', async () => {
    const noisy = await noisyUtterances([first, third], { levels, manifest }, view);
    expect(noisy.map((level) => level.map(({ id, text }) => [id, text]))).toEqual(
      [20, 0].map((snrDb) => [
        [at('u1', snrDb), 'one'],
        [at('u3', snrDb), 'three'],
      ]),
    );
    expect(noisy[1]![1]).toMatchObject({ path: 'u3.wav', alter, history: third.history });
    expect(third.history!.map(({ text }) => text)).toEqual(['one', 'two']);
  });

  it('and the turns before them, whatever their labels, have the words that are recognised', async () => {
    const asked: string[] = [];
    const noisy = await noisyUtterances(
      [first, third, fifth],
      { levels, recognise: listener(asked), manifest },
      view,
    );
    // All of their dialogue, and nothing of another.
    expect(asked).toEqual(
      [20, 0].flatMap((snrDb) => ['u1', 'u2', 'u3', 'u4', 'u5'].map((id) => `${at(id, snrDb)} ${id}.wav`)),
    );
    const said = noisy.map((level) =>
      level.map(({ text, history }) => [text, history!.map((turn) => turn.text)]),
    );
    const heard = (id: string, snrDb: number): string => `heard ${at(id, snrDb)}`;
    expect(said[0]).toEqual([
      [heard('u1', 20), []],
      [heard('u3', 20), [heard('u1', 20), heard('u2', 20)]],
      [heard('u5', 20), [heard('u3', 20), heard('u4', 20)]],
    ]);
    // A turn in which nothing is heard is none: the one before takes its place.
    expect(said[1]![2]).toEqual([heard('u5', 0), [heard('u2', 0), heard('u3', 0)]]);
    expect(noisy[0]![1]!.history![1]).toMatchObject({ id: 'u2', speaker: 'A' });
  });

  it('are recognised alone where the model reads no earlier turns', async () => {
    const asked: string[] = [];
    const noise = { levels: levels.slice(0, 1), recognise: listener(asked), manifest };
    const [[only]] = (await noisyUtterances([third], noise, { ...view, history: 0 })) as unknown as [
      [Utterance],
    ];
    expect(asked).toEqual([`${at('u3', 20)} u3.wav`]);
    expect(only.text).toBe(`heard ${at('u3', 20)}`);
  });

  it('lose their tags as in training', async () => {
    const recognise = async (clips: readonly unknown[]): Promise<string[]> =>
      clips.map(() => '[LAUGHTER] no');
    const of = async (stripTags: boolean): Promise<Utterance> => {
      const noisy = await noisyUtterances(
        [third],
        { levels, recognise, manifest },
        { stripTags, history: 2 },
      );
      return noisy[0]![0]!;
    };
    const stripped = await of(true);
    expect([stripped.text, stripped.history![0]!.text]).toEqual(['no', 'no']);
    expect((await of(false)).text).toBe('[LAUGHTER] no');
  });
});
