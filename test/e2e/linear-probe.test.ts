/** @file A linear probe from recipe to report: trained by `emoq train`, scored, compared and used like any system. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeWorkspace } from './workspace.js';

const work = makeWorkspace('probe');
afterAll(() => work.remove());

const json = (name: string) => JSON.parse(work.read(name).toString());
const recipe = (changes: object): string =>
  JSON.stringify({
    system: 'linear-probe',
    manifest: 'toy/manifest.csv',
    labels: ['neutral', 'happy', 'angry', 'sad'],
    backbones: { encoder: 'toy/backbones/hubert' },
    probe: { epochs: 15, learning_rate: 0.03, select: 'wa', ...changes },
  });

beforeAll(async () => {
  await work.toyCorpus(12, 32);
  work.file('probe.yaml', recipe({}));
  work.file('mlp.yaml', recipe({ hidden: 16, epochs: 2 }));
  for (const name of ['probe', 'mlp']) await work.done('train', '--recipe', `${name}.yaml`);
});

describe('a linear probe', () => {
  it('is one phase, whose run says what it is', () => {
    const { system, phase, status, started_from, prompt, backbones, parameters } =
      json('runs/probe/probe/run.json');
    expect({ system, phase, status, started_from, prompt }).toEqual({
      ...{ system: 'linear-probe', phase: 'probe', status: 'finished' },
      ...{ started_from: null, prompt: null },
    });
    expect(Object.keys(backbones)).toEqual(['encoder']);
    expect(parameters).toEqual({ trainable: 2 * 64 + 4 * 64 + 4, frozen: 0 });
    expect(work.read('runs/probe/probe/recipe.yaml').toString()).toContain('system: linear-probe\n');
  });

  it('is scored on its test set, where audio alone distinguishes two of four classes', async () => {
    await work.done('eval', '--recipe', 'probe.yaml');
    const { wa, n, metadata } = json('runs/probe/probe/results.json');
    expect(metadata).toMatchObject({ system: 'linear-probe', phase: 'probe', split: 'test' });
    expect(n).toBe(64);
    expect(wa).toBeGreaterThan(0.35); // chance is 0.25
    expect(wa).toBeLessThan(0.75);
  });

  it('is compared with another, listed, reported, and judges recordings', async () => {
    await work.done('eval', '--recipe', 'mlp.yaml');
    const { stdout } = await work.done('eval', '--compare', 'runs/mlp', 'runs/probe');
    expect(stdout).toContain('A is runs/mlp, B is runs/probe; n = 64');
    const { runs } = JSON.parse((await work.done('runs', '--json')).stdout) as {
      runs: { run: string; phase: string }[];
    };
    expect(runs.map(({ run, phase }) => [run, phase])).toEqual([
      ['runs/mlp/probe', 'probe'],
      ['runs/probe/probe', 'probe'],
    ]);
    const report = await work.done('report', '--recipe', 'probe.yaml', '--mistakes', '0');
    expect(report.stdout.trim()).toBe('runs/probe/probe/report.html');
    const page = work.read('runs/probe/probe/report.html').toString();
    for (const part of ['probe, probe', 'There is no prompt', 'Probe, training loss'])
      expect(page).toContain(part);
    await work.done('predict', 'toy/manifest.csv', '-o', 'emotions.csv', '--run', 'runs/probe');
    const lines = work.read('emotions.csv').toString().trim().split('\n');
    expect(lines).toHaveLength(385);
  });

  it('is compared over all its seeds and folds', async () => {
    const folds = ['--set', 'folds=speakers:2', '--set', 'validation=none', '--set', 'probe.select=last'];
    for (const name of ['probe', 'mlp']) {
      const run = ['--recipe', `${name}.yaml`, '--run', `folds-${name}`, ...folds];
      await work.done('train', ...run, '--seeds', '1,2', '--folds', '2');
      await work.done('eval', ...run, '--seeds', '1,2', '--folds', '2');
    }
    const { stdout } = await work.done('eval', '--compare', 'folds-mlp', 'folds-probe', '--json');
    const result = JSON.parse(stdout) as Record<'a' | 'b', { wa: number }> & { n: number };
    expect(result.n).toBe(384);
    expect(result.a.wa).toBeCloseTo(json('folds-mlp/probe-seeds.json').mean.wa, 12);
    expect(result.b.wa).toBeCloseTo(json('folds-probe/probe-seeds.json').mean.wa, 12);
    expect(result.a.wa).not.toBe(result.b.wa);
  });

  it('is left as it is when it is trained again', async () => {
    const before = work.read('runs/probe/probe/checkpoint.safetensors');
    const { stderr } = await work.done('train', '--recipe', 'probe.yaml');
    expect(stderr).toContain('probe is already finished');
    expect(work.read('runs/probe/probe/checkpoint.safetensors')).toEqual(before);
  });

  it.each([
    [['stage1', '--recipe', 'probe.yaml'], 'is of system linear-probe, which has no stage1; it has probe'],
    [['eval', '--recipe', 'probe.yaml', '--stage', '1'], 'has no stage 1; leave out --stage 1'],
    [
      ['train', '--recipe', 'probe.yaml', '--set', 'system=linear'],
      'must be one of emoq, linear-probe, qieemo, not "linear"',
    ],
    [['train', '--recipe', 'probe.yaml', '--set', 'lora.rank=4'], 'unknown key'],
    [
      ['export', 'former', '--run', 'runs/probe', '--out', 'f.onnx'],
      'is of system linear-probe, not of emoq',
    ],
  ])('refuses %j in one line', async (args, problem) => {
    expect(await work.refused(...args)).toContain(problem);
  });
});
