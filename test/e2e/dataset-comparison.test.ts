/** @file `emoq compare`: all finished experiments on a dataset, whatever their systems. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeWorkspace, toyRecipe } from './workspace.js';

const work = makeWorkspace('dataset-comparison');
afterAll(() => work.remove());

const labels = ['neutral', 'happy', 'angry', 'sad'];
const probe = (changes: object): string =>
  JSON.stringify({
    ...{ system: 'linear-probe', manifest: 'toy/manifest.csv', labels },
    backbones: { encoder: 'toy/backbones/hubert' },
    probe: { epochs: 4, learning_rate: 0.03, select: 'last' },
    paper: { table: 1, wa: 61.5, ua: 62.5, wf1: 63.5, best_earlier: { wa: 51.5, ua: null, wf1: null } },
    ...changes,
  });
const compared = async (...options: string[]) =>
  JSON.parse((await work.done('compare', '--recipe', 'toy.yaml', '--json', ...options)).stdout);

beforeAll(async () => {
  await work.toyCorpus(8, 12);
  work.file('toy.yaml', probe({}));
  work.file('mlp.yaml', probe({ probe: { epochs: 2, learning_rate: 0.03, hidden: 8, select: 'last' } }));
  work.file('three.yaml', probe({ labels: labels.slice(0, 3) }));
  const former = { queries: 4, pooling_heads: 4, head_hidden: 64 };
  work.file(
    'former.yaml',
    toyRecipe('toy', { former, stage1: { epochs: 1, batch_size: 8, select: 'last' }, max_audio_sec: 2 }),
  );
  await work.done('train', '--recipe', 'toy.yaml');
  await work.done('train', '--recipe', 'mlp.yaml', '--seeds', '1,2');
  await work.done('train', '--recipe', 'three.yaml');
  await work.done('stage1', '--recipe', 'former.yaml');
});

describe('the comparison of a dataset', () => {
  it('has every experiment with its labels, scored if it was not, and the paper', async () => {
    const { dataset, against, rows, paper } = await compared('--resamples', '200');
    expect([dataset, against, paper]).toEqual(['toy', 'toy', { wa: 0.615, ua: 0.625, wf1: 0.635 }]);
    const found = rows.map(({ row, system, seeds, n }: Record<string, unknown>) => [row, system, seeds, n]);
    const [{ n }] = rows;
    expect(found).toEqual([
      ['former', 'emoq', undefined, n],
      ['mlp', 'linear-probe', [1, 2], 2 * n], // of both seeds
      ['toy', 'linear-probe', undefined, n],
    ]);
    const result = JSON.parse(work.read('runs/toy/probe/results.json').toString());
    const own = rows[2];
    expect([own.wa, own.wf1, own.difference]).toEqual([result.wa, result.wf1, null]);
    expect(own.intervals.wa.low).toBeLessThanOrEqual(own.wa);
    const [former] = rows;
    expect(former.difference.wa.difference).toBeCloseTo(former.wa - own.wa, 10);
    expect(former.difference.wa.p).toBeGreaterThan(0);
  });

  it('compares with the experiment that is named', async () => {
    const { against, rows } = await compared('--resamples', '200', '--against', 'runs/mlp');
    expect(against).toBe('mlp');
    expect(rows.map(({ difference }: { difference: unknown }) => difference === null)).toEqual([
      ...[false, true, false],
    ]);
    expect(await work.refused('compare', '--recipe', 'toy.yaml', '--against', 'runs/three')).toContain(
      '--against runs/three is none of the experiments on toy: runs/former, runs/mlp, runs/toy',
    );
  });

  it('is a table to read or to paste', async () => {
    const text = (await work.done('compare', '--recipe', 'toy.yaml', '--resamples', '200')).stdout;
    expect(text).toMatch(/^Runs on toy\n\s+system\s+WA %/);
    expect(text).toMatch(/paper, table 1\s+61\.5\s+62\.5\s+63\.5/);
    expect(text).toMatch(/best earlier in the paper\s+51\.5\s+-\s+-/);
    expect(text).toContain('Difference from "toy", in points');
    const latex = (await work.done('compare', '--recipe', 'toy.yaml', '--format', 'latex')).stdout;
    expect(latex).toContain('\\begin{tabular}{llrrrrr}');
  });

  it('is refused where nothing is on the dataset', async () => {
    work.file('none.yaml', probe({ labels: ['happy', 'sad'] }));
    expect(await work.refused('compare', '--recipe', 'none.yaml')).toContain('no finished run in runs is on');
    expect(await work.refused('compare', '--recipe', 'toy.yaml', '--root', 'gone')).toContain(
      'there is no folder gone',
    );
  });

  it('says which run it cannot read, and goes on', async () => {
    work.file('runs/broken/probe/run.json', work.read('runs/toy/probe/run.json'));
    work.file('runs/broken/probe/recipe.yaml', 'labels: 7\n');
    const { stderr, stdout } = await work.done(
      'compare',
      '--recipe',
      'toy.yaml',
      '--resamples',
      '200',
      '--json',
    );
    expect(stderr).toMatch(/runs\/broken\/probe.*recipe\.yaml is cut off/);
    expect(JSON.parse(stdout).rows).toHaveLength(3);
  });
});
