/**
 * @file Settings of how a run learns, from the command line: runs with all of them end with the same bytes when they
 * are interrupted, and what they keep is what evaluation, export and bundles read.
 */

import { rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readSafetensors } from '../../src/engine/tensor/index.js';
import { csvRows, fileDigests, makeWorkspace, metricsOf, shortPrompt, toyRecipe } from './workspace.js';

const work = makeWorkspace('learning-settings');
afterAll(() => work.remove());

beforeAll(async () => {
  await work.toyCorpus(5, 8);
  work.file(
    'all.yaml',
    toyRecipe('toy', {
      max_audio_sec: 2,
      former: { layers: 1, queries: 4, pooling_heads: 4, head_hidden: 16, residual: 'mean' },
      prompt: shortPrompt,
      stage1: {
        ...{ epochs: 3, batch_size: 4, learning_rate: 2e-3, learning_rates: { roberta: 1e-4 } },
        ...{ schedule: 'cosine', average: 'ema:0.9', views: 2, scl_queue: 24, select: 'last' },
      },
      stage2: { epochs: 2, batch_size: 8, learning_rate: 1e-3, average: 'last:1', schedule: 'constant' },
      lora: { rank: 4, alpha: 8, use_rslora: true, init: 'pissa' },
    }),
  );
  await work.done('stage1', '--recipe', 'all.yaml', '--run', 'run');
});

const stage1 = (run: string): string[] => ['stage1', '--recipe', 'all.yaml', '--run', run];

describe('stage 1 with views, a queue, an average and a shorter Former', () => {
  it('killed and resumed ends with the same bytes', async () => {
    const command = work.start(...stage1('killed'));
    await command.says(/epoch 1\/3: loss/);
    command.signal('SIGKILL');
    await command.ended;
    expect((await work.done(...stage1('killed'))).stderr).toMatch(/^resuming after step \d+ of \d+$/m);
    expect(fileDigests(work, 'killed/stage1')).toEqual(fileDigests(work, 'run/stage1'));
    rmSync(work.path('killed'), { recursive: true });
  });

  it('in micro-batches too', async () => {
    const micro = (run: string) => [...stage1(run), '--set', 'stage1.accumulate=2'];
    const { stderr } = await work.done(...micro('micro'));
    expect(stderr).toContain('with each other and with scl_queue');
    const command = work.start(...micro('micro-killed'));
    await command.says(/epoch 1\/3: loss/);
    command.signal('SIGKILL');
    await command.ended;
    await work.done(...micro('micro-killed'));
    expect(fileDigests(work, 'micro-killed/stage1')).toEqual(fileDigests(work, 'micro/stage1'));
  });

  it('keeps the average, with the state beside it, and its rate falls as a cosine', async () => {
    const { tensors: checkpoint } = await readSafetensors(work.path('run/stage1/checkpoint.safetensors'));
    const { tensors: state } = await readSafetensors(work.path('run/stage1/training_state.safetensors'));
    for (const [key, value] of checkpoint) {
      expect(state.get(`average/${key}`), key).toEqual(value);
      if (value.shape.length === 2) expect(state.get(key), key).not.toEqual(value);
    }
    expect(state.get('memory/scl_queue.embeddings')!.shape[0]).toBe(24);
    // All of the queue is filled: 24 labels, each with one added.
    expect(Array.from(state.get('memory/scl_queue.labels')!.data, Number).every((label) => label >= 1)).toBe(
      true,
    );
    expect([...checkpoint.keys()].some((key) => key.includes('encoder.layer.1.'))).toBe(false);
    const rates = metricsOf(work, 'run/stage1').flatMap(({ learning_rate_used: rate }) => rate ?? []);
    const warm = Math.round(0.1 * rates.length);
    const middle = warm + (rates.length - warm) / 4;
    const wanted = 2e-3 * 0.5 * (1 + Math.cos(Math.PI / 4));
    expect(Math.abs(rates[Math.round(middle)]! / wanted - 1)).toBeLessThan(0.05);
  });

  it('does not resume as a run without them', async () => {
    const message = await work.refused(
      ...stage1('run'),
      '--set',
      'stage1.views=1',
      '--set',
      'stage1.average=none',
    );
    expect(message).toContain('stage1.views was 2, is 1');
    expect(message).toContain('stage1.average was "ema:0.9", is "none"');
  });
});

describe('stage 2 with a LoRA from principal singular vectors', () => {
  it('predicts from its run, and from its bundle, the same', async () => {
    await work.done('stage2', '--recipe', 'all.yaml', '--run', 'run');
    await work.done('eval', '--run', 'run');
    await work.done('export', 'bundle', '--run', 'run', '-o', 'bundle');
    const { tensors } = await readSafetensors(work.path('run/stage2/checkpoint.safetensors'));
    const starts = [...tensors.keys()].filter((key) => key.includes('_start'));
    expect(starts.length).toBeGreaterThan(0);
    for (const key of starts)
      expect(tensors.get(key.replace('_start', '')), key).not.toEqual(tensors.get(key));
    await work.done('predict', 'toy/manifest.csv', '--run', 'run', '-o', 'a.csv');
    await work.done('predict', 'toy/manifest.csv', '--bundle', 'bundle', '-o', 'b.csv');
    const [a, b] = [csvRows(work, 'a.csv'), csvRows(work, 'b.csv')];
    expect(a.length).toBeGreaterThan(30);
    expect(b).toHaveLength(a.length);
    a.forEach((row, index) => {
      for (const key of Object.keys(row).filter((name) => name.startsWith('prob_')))
        expect(Math.abs(Number(row[key]) - Number(b[index]![key])), key).toBeLessThan(2e-5);
    });
  });
});

describe('settings that do not go together', () => {
  it.each([
    ['stage1.average=last:2 stage1.patience=2 stage1.select=wf1', 'is over the last epochs of the plan'],
    ['stage1.average=ema:1', 'must be none, ema:D'],
    ['stage1.average=last:0', 'must be none, ema:D'],
    ['former.layers=9', 'former.layers 9 is more than the 2 layers'],
    ['former.layers=0', 'must be at least 1, not 0'],
    ['former.layers=none', 'must be all, or a number of layers'],
    ['inputs=text', 'former.residual: is the mean of audio frames, but inputs: text reads none'],
    ['stage1.views=3', 'stage1.views'],
    ['lora.init=svd', 'lora.init'],
  ])('%s', async (settings, message) => {
    const sets = settings.split(' ').flatMap((each) => ['--set', each]);
    expect(await work.refused(...stage1('other'), ...sets)).toContain(message);
  });
});
