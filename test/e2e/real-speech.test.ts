/** @file Stage 1 from the command line on real recordings: the loss halves, and HuBERT is asked once for each clip. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
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

  it('halves its training loss, and encodes nothing twice', { timeout: 240_000 }, async () => {
    await work.done('prepare-toy', '--out', 'toy', '--speakers', '5', '--utterances', '4');
    const { stdout } = await work.done('prepare-csv', corpus!, '--name', 'ravdess');
    expect(stdout).toContain('224 utterances');
    work.file(
      'ravdess.yaml',
      toyRecipe('toy', {
        manifest: 'data/ravdess/manifest.csv',
        former: { queries: 8, pooling_heads: 4, head_hidden: 64, dropout: 0, attention_dropout: 0 },
        stage1: { epochs: 40, batch_size: 16, learning_rate: 1e-3 },
      }),
    );
    await work.done('stage1', '--dataset', 'ravdess');
    const losses = epochLosses('runs/ravdess/stage1');
    console.log(
      `RAVDESS, mean training loss: ${losses[0]!.toFixed(3)} at first, ${losses.at(-1)!.toFixed(3)} at last`,
    );
    expect(losses).toHaveLength(40);
    expect(losses.at(-1)!).toBeLessThan(losses[0]! / 2);

    const cached = listing(work.path('../features'));
    expect(Object.keys(cached).filter((name) => name.endsWith('.safetensors')).length).toBeGreaterThan(150);
    await work.done('stage1', '--dataset', 'ravdess', '--run', 'again', '--set', 'stage1.epochs=1');
    expect(listing(work.path('../features'))).toEqual(cached);
  });
});

it.skipIf(present)('stage 1 on real speech needs EMOQ_REAL_DATA', () => {
  console.log(
    'skipped: stage 1 on real speech, because EMOQ_REAL_DATA names no folder with ravdess/metadata.csv',
  );
});
