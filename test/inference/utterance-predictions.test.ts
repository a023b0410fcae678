/** @file The words that a model reads beside noisy clips: its utterance's own, and those of the turns before it. */

import { describe, expect, it } from 'vitest';
import type { Alter } from '../../src/data/audio/index.js';
import type { Utterance } from '../../src/data/corpora/index.js';
import { noisyUtterances } from '../../src/inference/utterance-predictions.js';

const utterance = (id: string, text: string, history: Utterance['history'] = []): Utterance => ({
  ...{ id, text, history, path: `${id}.wav`, label: 'sad', speaker: 'A', gender: '' },
  ...{ session: '', split: 'test', durationSec: 1 },
});
const turn = ({ id, text }: Utterance) => ({ id, text, speaker: 'A', gender: '' });
const first = utterance('u1', 'one');
const unlabelled = utterance('u2', 'two');
const third = utterance('u3', 'three', [turn(first), turn(unlabelled)]);
const manifest = { utterances: [first, unlabelled, third] };

const alter: Alter = async (content) => ({ key: content, speed: 1, apply: async (samples) => samples });
const levels = [20, 0].map((snrDb) => ({ snrDb, alter }));

describe('noisyUtterances', () => {
  it('keep their words without a recogniser', async () => {
    const noisy = await noisyUtterances([first, third], { levels }, false, manifest);
    expect(noisy.map((level) => level.map(({ id, text }) => [id, text]))).toEqual([
      [
        ['u1\u00a0(SNR 20 dB)', 'one'],
        ['u3\u00a0(SNR 20 dB)', 'three'],
      ],
      [
        ['u1\u00a0(SNR 0 dB)', 'one'],
        ['u3\u00a0(SNR 0 dB)', 'three'],
      ],
    ]);
    expect(noisy[1]![1]).toMatchObject({ path: 'u3.wav', alter, history: third.history });
    expect(await noisyUtterances([first], undefined, false, manifest)).toEqual([]);
  });

  it('and the turns before them, whatever their labels, have the words that are recognised', async () => {
    const asked: string[][] = [];
    const noisy = await noisyUtterances(
      [first, third],
      {
        levels,
        async recognise(clips) {
          asked.push(clips.map(({ id, path }) => `${id} ${path}`));
          return clips.map(({ id }) => (id.startsWith('u2') && id.includes('(SNR 0') ? ' ' : `heard ${id}`));
        },
      },
      false,
      manifest,
    );
    expect(asked).toEqual([
      ['20', '0'].flatMap((level) =>
        ['u1', 'u3', 'u2'].map((id) => `${id}\u00a0(SNR ${level} dB) ${id}.wav`),
      ),
    ]);
    expect(noisy[0]![1]).toMatchObject({
      text: 'heard u3\u00a0(SNR 20 dB)',
      history: [{ text: 'heard u1\u00a0(SNR 20 dB)' }, { text: 'heard u2\u00a0(SNR 20 dB)', speaker: 'A' }],
    });
    // A turn in which nothing was recognised is left out.
    expect(noisy[1]![1]!.history!.map(({ text }) => text)).toEqual(['heard u1\u00a0(SNR 0 dB)']);
  });

  it('lose their tags as in training', async () => {
    const recognise = async (clips: readonly unknown[]): Promise<string[]> =>
      clips.map(() => '[LAUGHTER] no');
    const of = (stripTags: boolean) => noisyUtterances([third], { levels, recognise }, stripTags, manifest);
    const [[stripped]] = (await of(true)) as unknown as [[Utterance]];
    expect([stripped.text, stripped.history![0]!.text]).toEqual(['no', 'no']);
    const [[kept]] = (await of(false)) as unknown as [[Utterance]];
    expect(kept.text).toBe('[LAUGHTER] no');
  });
});
