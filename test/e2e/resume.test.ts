/** @file Stopped, killed or repeated: a training run ends with the same bytes. */

import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { eventTimes } from '../../src/training/runs/event-file.js';
import { fileDigests, listing, makeWorkspace, shortPrompt, toyRecipe } from './workspace.js';

const work = makeWorkspace('resume');
afterAll(() => work.remove());

// Dropout is on, because its masks must be restored after an interruption. An epoch has 72 steps, more than a run of
// the graph (64), so a run is stopped within an epoch.
const recipe = toyRecipe('toy', {
  former: { queries: 4, pooling_heads: 4, head_hidden: 64 },
  prompt: shortPrompt,
  stage1: { epochs: 3, batch_size: 2, learning_rate: 1e-3 },
  stage2: { epochs: 2, batch_size: 8, learning_rate: 1e-3 },
});
const train = (run: string): string[] => ['stage1', '--recipe', 'small.yaml', '--run', run];

const digests = (run: string): Record<string, string> => fileDigests(work, run);

let expected: Record<string, string>;

beforeAll(async () => {
  work.file('small.yaml', recipe);
  await work.toyCorpus(10, 24);
  await work.done(...train('whole'));
  expected = digests('whole/stage1');
  await work.done(...train('again'));
});

describe('a training run', () => {
  it('with the same seed again ends in the same bytes, and with another in others', async () => {
    expect(digests('again/stage1')).toEqual(expected);
    const { stderr } = await work.done(...train('other'), '--set', 'seed=2', '--set', 'stage1.epochs=1');
    expect(stderr).not.toContain('warning');
    expect(firstLoss('other')).not.toBe(firstLoss('whole'));
  });

  it('stopped by Ctrl-C saves, says how to resume, and ends with the same bytes', async () => {
    const command = work.start(...train('stopped'));
    await command.says(/epoch 1\/3: loss/);
    command.signal('SIGINT');
    const { code, stderr } = await command.ended;
    expect(code).toBe(130);
    expect(stderr).toContain('finishing the current steps and saving; press Ctrl-C again to exit at once\n');
    const stopped =
      /stage 1 stopped after step (\d+) of 216; saved in stopped\/stage1\. Run the same command again to resume\n$/;
    const step = Number(stopped.exec(stderr)?.[1]);
    expect(step, stderr).toBeGreaterThanOrEqual(72);
    expect(step).toBeLessThan(216);
    console.log(`stopped after step ${step}, ${step % 72} steps into an epoch`);
    await work.refused('stage2', '--recipe', 'small.yaml', '--run', 'stopped');
    const { stderr: resumed } = await work.done(...train('stopped'));
    expect(resumed).toContain(`resuming after step ${step} of 216\n`);
    expect(resumed).not.toContain('epoch 1/3');
    expect(digests('stopped/stage1')).toEqual(expected);
  });

  it('killed resumes from its last saved state, and ends with the same bytes', async () => {
    const command = work.start(...train('killed'));
    await command.says(/epoch 2\/3: loss/);
    command.signal('SIGKILL');
    expect(await command.ended).toMatchObject({ code: null, signal: 'SIGKILL' });
    // Left by a process killed in the middle of a write.
    work.file('killed/stage1/training_state.safetensors.99999-0123abcd.tmp', 'half a state');
    const { stderr } = await work.done(...train('killed'));
    const [, step] = /^resuming after step (144|216) of 216$/m.exec(stderr)!;
    expect(digests('killed/stage1')).toEqual(expected);
    // The last saved line of the killed process is kept, before that of its successor.
    const timings = timingsOf('killed');
    expect(timings).toMatchObject([
      { state: 'running', from_step: 0, to_step: Number(step), device: 'cpu' },
      { state: 'finished', from_step: Number(step), to_step: 216 },
    ]);
    expect(timings[0]!.utterances).toBe(2 * Number(step));
    const times = timings.flatMap(({ started, ended }) => [started, ended]);
    expect(times.toSorted()).toEqual(times);
    for (const { wallTimeSec } of eventTimes(
      work.read('killed/stage1/tensorboard/events.out.tfevents.0.emoq'),
    )) {
      expect(wallTimeSec * 1000).toBeGreaterThan(Date.parse(times[0]!));
      expect(wallTimeSec * 1000).toBeLessThanOrEqual(Date.parse(times.at(-1)!));
    }
    expect(Object.keys(listing(work.path('killed'))).filter((name) => name.includes('tmp'))).toEqual([]);
  });

  it('of micro-batches, killed, ends in the same bytes too', async () => {
    const settings = ['stage1.batch_size=8', 'stage1.accumulate=4', 'stage1.epochs=2'];
    const micro = [...train('micro'), ...settings.flatMap((setting) => ['--set', setting])];
    const { stderr } = await work.done(...micro);
    expect(stderr).toContain(
      'warning: stage1.accumulate 4: the contrastive loss compares the 2 utterances of a micro-batch, not the 8 of the batch\n',
    );
    const whole = digests('micro/stage1');
    rmSync(work.path('micro'), { recursive: true });
    const command = work.start(...micro);
    await command.says(/epoch 1\/2: loss/);
    command.signal('SIGKILL');
    await command.ended;
    expect((await work.done(...micro)).stderr).toMatch(/^resuming after step (18|36) of 36$/m);
    expect(digests('micro/stage1')).toEqual(whole);
  });

  it('killed before it saved anything starts again, with another recipe too', async () => {
    const command = work.start(...train('early'), '--set', 'stage1.batch_size=1');
    await command.says(/computing on cpu/);
    await vi.waitUntil(() => existsSync(work.path('early/stage1/run.json')), { timeout: 1_800_000 });
    command.signal('SIGKILL');
    await command.ended;
    const { stderr } = await work.done(...train('early'), '--set', 'stage1.epochs=1');
    expect(stderr).not.toContain('going on');
    expect(JSON.parse(work.read('early/stage1/run.json').toString())).toMatchObject({
      status: 'finished',
      steps: 72,
    });
  });

  it('under way keeps a second process out, and leaves at once at the second Ctrl-C', async () => {
    const command = work.start(...train('left'), '--set', 'stage1.epochs=500');
    await command.says(/epoch 1\/500: loss/);
    const second = await work.run(...train('left'), '--set', 'stage1.epochs=500');
    expect(second).toMatchObject({ code: 2, stdout: '' });
    expect(second.stderr).toMatch(
      /^error: process \d+ on \S+ is training in left\/stage1 already; wait for it/m,
    );
    command.signal('SIGINT');
    await command.says(/press Ctrl-C again/);
    command.signal('SIGINT');
    const { code, signal, stderr } = await command.ended; // long before its 500 epochs
    expect(code === 130 || signal === 'SIGINT' || /stopped after step/.test(stderr)).toBe(true);
  });

  it('that is finished says so and changes nothing', async () => {
    const before = listing(work.dir);
    const { stdout, stderr } = await work.done(...train('whole'));
    expect(stdout).toBe('whole/stage1/checkpoint.safetensors\n');
    expect(stderr).toBe(
      'stage 1 is already finished; delete whole/stage1 or use another --run to train it again\n',
    );
    expect(listing(work.dir)).toEqual(before);
  });

  it('of another recipe is not trained over: the keys that differ are named', async () => {
    const message = await work.refused(...train('whole'), '--set', 'stage1.epochs=4', '--set', 'lora.rank=8');
    expect(message).toContain('whole/stage1 holds a run of another recipe: ');
    expect(message).toContain('stage1.epochs was 3, is 4');
    expect(message).toContain('lora.rank was 16, is 8');
    const manifest = work.path('toy/manifest.csv');
    const original = readFileSync(manifest);
    writeFileSync(manifest, `${original.toString().trimEnd()}\n\n`);
    const changed = await work.refused(...train('whole'));
    expect(changed).toContain('the manifest has changed');
    expect(await work.refused('eval', '--run', 'whole', '--stage', '1')).toContain('has changed since');
    writeFileSync(manifest, original);
  });

  it('of stage 2 stops and resumes as well', async () => {
    const stage2 = (run: string): string[] => ['stage2', '--recipe', 'small.yaml', '--run', run];
    await work.done(...stage2('whole'));
    const command = work.start(...stage2('again'));
    await command.says(/epoch 1\/2: loss/);
    command.signal('SIGINT');
    const { code, stderr } = await command.ended;
    if (code === 0) console.log('stage 2 was done before Ctrl-C reached it');
    else expect(stderr).toMatch(/stage 2 stopped after step \d+ of 36; saved in again\/stage2\./);
    await work.done(...stage2('again'));
    expect(digests('again/stage2')).toEqual(digests('whole/stage2'));
  });
});

interface Timing {
  started: string;
  ended: string;
  utterances: number;
}

function timingsOf(run: string): Timing[] {
  const lines = work.read(`${run}/stage1/timings.jsonl`).toString().trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as Timing);
}

function firstLoss(run: string): number {
  const [line] = work.read(`${run}/stage1/metrics.jsonl`).toString().split('\n');
  return (JSON.parse(line!) as { loss: number }).loss;
}
