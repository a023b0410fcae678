/** @file The linear probe beside a run's scores: fitted where its features are in the cache, left out where not. */

import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { csvRows, makeWorkspace } from './workspace.js';

const work = makeWorkspace('probe-baseline');
afterAll(() => work.remove());

beforeAll(() => work.smallRun('good'));

const results = () =>
  JSON.parse(work.read('good/stage1/results.json').toString()) as {
    baselines: { probe?: { wa: number }; majority: { wa: number } };
  };

describe('emoq eval of a run', () => {
  it('prints what a linear probe makes of the same features, and keeps its predictions', async () => {
    const { stdout } = await work.done('eval', '--run', 'good/stage1');
    const row = stdout.split('\n').find((line) => line.startsWith('linear probe'));
    expect(row).toMatch(/mean of the same features/);
    const rows = csvRows(work, 'good/stage1/linear-probe.csv');
    const own = csvRows(work, 'good/stage1/predictions.csv');
    expect(rows.map(({ id, reference }) => [id, reference])).toEqual(
      own.map(({ id, reference }) => [id, reference]),
    );
    const right = rows.filter(({ reference, label }) => reference === label).length / rows.length;
    expect(results().baselines.probe!.wa).toBeCloseTo(right, 9);
    expect(row).toContain((100 * right).toFixed(1));
    for (const each of rows) {
      const sum = Object.entries(each)
        .filter(([name]) => name.startsWith('prob_'))
        .reduce((total, [, value]) => total + Number(value), 0);
      expect(sum).toBeCloseTo(1, 5);
    }
  });

  it('gives its figures as data, and compares the run with it', async () => {
    const { stdout } = await work.done('eval', '--run', 'good/stage1', '--format', 'csv');
    expect(stdout).toMatch(/,probe,,wa,0?\.?\d/);
    const compared = await work.done('eval', '--compare', 'good/stage1', 'good/stage1/linear-probe.csv');
    expect(compared.stdout).toContain('linear-probe.csv');
  });

  it('compares a stage 1 with a trained probe, which has no stages', async () => {
    const recipe = {
      ...{
        system: 'linear-probe',
        manifest: 'toy/manifest.csv',
        labels: ['neutral', 'happy', 'angry', 'sad'],
      },
      ...{ backbones: { encoder: 'toy/backbones/hubert' }, probe: { epochs: 1, select: 'last' } },
    };
    work.file('probe.yaml', JSON.stringify(recipe));
    await work.done('train', '--recipe', 'probe.yaml');
    await work.done('eval', '--recipe', 'probe.yaml');
    const compare = ['eval', '--compare', 'good', 'runs/probe'];
    const { stdout } = await work.done(...compare, '--stage', '1', '--json');
    const { a, b } = JSON.parse(stdout) as Record<'a' | 'b', { wa: number }>;
    const wa = (run: string): number => JSON.parse(work.read(`${run}/results.json`).toString()).wa;
    expect([a.wa, b.wa]).toEqual([wa('good/stage1'), wa('runs/probe/probe')]);
    expect(await work.refused(...compare)).toContain('no run in good/stage2');
  });

  it('says why there is none where a class has no training utterance', async () => {
    const lines = work.read('toy/manifest.csv').toString().split('\n');
    const known = lines.filter((line) => !/,sad,.*,train,/.test(line));
    expect(known.length).toBeLessThan(lines.length);
    work.file('toy/without.csv', known.join('\n'));
    const recipe = ['--recipe', 'small.yaml', '--set', 'manifest=toy/without.csv', '--run', 'without'];
    await work.done('stage1', ...recipe);
    const { stdout, stderr } = await work.done('eval', '--run', 'without/stage1');
    expect(stderr).toContain('no linear probe beside it, because no training utterance is sad\n');
    expect(stdout).not.toContain('linear probe');
  });

  it('is the same every time', async () => {
    const before = work.read('good/stage1/linear-probe.csv');
    rmSync(work.path('good/stage1/linear-probe.csv'));
    await work.done('eval', '--run', 'good/stage1');
    expect(work.read('good/stage1/linear-probe.csv')).toEqual(before);
  });

  it('leaves it out where features of the training set are not in the cache', async () => {
    rmSync(join(work.dir, '..', 'features'), { recursive: true });
    expect(existsSync(work.path('good/stage1/linear-probe.csv'))).toBe(true); // of an earlier scoring
    const { stdout, stderr } = await work.done('eval', '--run', 'good/stage1'); // encodes the test set
    expect(stdout).not.toContain('linear probe');
    expect(stderr).toContain(
      'good/stage1: no linear probe beside it, because not all features of its corpus are in the cache (emoq features makes them)\n',
    );
    expect(results().baselines.probe).toBeUndefined();
    expect(existsSync(work.path('good/stage1/linear-probe.csv'))).toBe(false);
  });
});
