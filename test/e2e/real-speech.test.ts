/**
 * @file Stage 1 from the command line on real recordings, with speaker-independent folds: the loss halves, and HuBERT
 * encodes each clip once.
 */

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { listing, makeWorkspace, metricsOf, realData, toyRecipe } from './workspace.js';

const corpus = realData && join(realData, 'ravdess', 'metadata.csv');
const present = corpus !== undefined && existsSync(corpus);

describe.runIf(present)('stage 1 on real speech (RAVDESS)', () => {
  const work = makeWorkspace('speech');
  afterAll(() => work.remove());

  /** Mean training loss of every epoch. */
  function epochLosses(run: string): number[] {
    const byEpoch = new Map<number, number[]>();
    for (const { epoch, loss } of metricsOf(work, run)) {
      if (loss !== undefined) byEpoch.set(epoch!, [...(byEpoch.get(epoch!) ?? []), loss]);
    }
    return [...byEpoch.values()].map((losses) => losses.reduce((sum, loss) => sum + loss, 0) / losses.length);
  }

  it('halves its training loss, and encodes nothing twice', async () => {
    await work.toyCorpus(5, 4);
    // In addition to the FLAC clips, four unmodified WAV files: 48 kHz, one and two channels, with their own label.
    const metadata = readFileSync(corpus!, 'utf8').trim();
    const original = (name: string, label: string, speaker: string): string =>
      `original/${name}.wav,${label},${speaker},M,normal,Kids are talking by the door.`;
    const originals = [
      original('03-01-02-01-01-02-01', 'calm', 'actor_01'),
      original('03-01-02-01-02-02-05', 'calm', 'actor_05'),
      original('03-01-03-02-02-01-02', 'happy', 'actor_02'),
      original('03-01-05-02-01-01-01', 'angry', 'actor_01'),
    ];
    const rows = [...metadata.split('\n').slice(1), ...originals].map((row) => join(dirname(corpus!), row));
    work.file('all.csv', [metadata.split('\n')[0]!, ...rows, ''].join('\n'));
    const options = ['--name', 'ravdess', '--folds', '4', '--seed', '3', '--label-map', 'calm=neutral'];
    const { stdout } = await work.done('prepare-csv', 'all.csv', ...options);
    expect(stdout).toContain('228 utterances');
    const { parts, leakage } = JSON.parse(
      (await work.done('stats', '--manifest', 'data/ravdess/manifest.csv', '--json')).stdout,
    ) as {
      parts: Record<string, { speakers: number }>;
      leakage: { pairs: { speakers: { count: number }; texts: { count: number } }[] };
    };
    expect(Object.values(parts).map(({ speakers }) => speakers)).toEqual([2, 2, 2, 2]);
    // No speaker is in two folds; all say the same two sentences.
    expect(leakage.pairs.map(({ speakers, texts }) => [speakers.count, texts.count])).toEqual(
      Array(4).fill([0, 2]),
    );
    work.file(
      'speech.yaml',
      toyRecipe('toy', {
        manifest: 'data/ravdess/manifest.csv',
        folds: 'session',
        former: { queries: 8, pooling_heads: 4, head_hidden: 64, dropout: 0, attention_dropout: 0 },
        stage1: { epochs: 40, batch_size: 16, learning_rate: 1e-3 },
      }),
    );
    await work.done('stage1', '--recipe', 'speech.yaml', '--run', 'runs/ravdess', '--fold', '1');
    const losses = epochLosses('runs/ravdess/stage1/fold-1');
    console.log(
      `RAVDESS, mean training loss: ${losses[0]!.toFixed(3)} at first, ${losses.at(-1)!.toFixed(3)} at last`,
    );
    expect(losses).toHaveLength(40);
    expect(losses.at(-1)!).toBeLessThan(losses[0]! / 2);

    const cached = listing(work.path('../features'));
    expect(Object.keys(cached).filter((name) => name.endsWith('.safetensors')).length).toBeGreaterThan(150);
    await work.done(
      'stage1',
      '--recipe',
      'speech.yaml',
      '--fold',
      '1',
      '--run',
      'again',
      '--set',
      'stage1.epochs=1',
    );
    expect(listing(work.path('../features'))).toEqual(cached);
  });
});

it.skipIf(present)('stage 1 on real speech needs EMOQ_REAL_DATA', () => {
  console.log(
    'skipped: stage 1 on real speech, because EMOQ_REAL_DATA names no folder with ravdess/metadata.csv',
  );
});
