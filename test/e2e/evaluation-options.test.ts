/** @file Options of commands on trained runs take effect or are rejected; none is silently ignored. */

import { cpSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listing, makeWorkspace, shortPrompt, toyRecipe } from './workspace.js';

const work = makeWorkspace('evaluation-options');
afterAll(() => work.remove());

const settings = {
  former: { queries: 4, pooling_heads: 4, head_hidden: 64 },
  prompt: shortPrompt,
  stage1: { epochs: 1, batch_size: 16, learning_rate: 1e-3 },
  stage2: { epochs: 1, batch_size: 16, learning_rate: 1e-3, from_stage1: false },
};

beforeAll(async () => {
  work.file('words.yaml', toyRecipe('toy', { ...settings, inputs: 'text' }));
  work.file('other.yaml', toyRecipe('toy', { ...settings, inputs: 'text' }));
  await work.toyCorpus(10, 4);
  await work.done('stage1', '--recipe', 'words.yaml');
  await work.done('stage2', '--recipe', 'words.yaml');
});

describe('a run that is named', () => {
  it.each([
    [['--recipe', 'other.yaml'], /names the recipe other, and the run in runs\/words\/stage2 is of words/],
    [['--dataset', 'meld7'], /--dataset meld7 names the recipe meld7, and the run in .* is of words/],
    [['--set', 'stage2.epochs=9'], /--set cannot change a trained run: .*stage2\.epochs was 1; leave it out/],
    [['--set', 'seed=2', '--set', 'labels=[happy, sad]'], /labels was \[.*\]; seed was 1/],
    [['--recipe', 'words.yaml', '--set', 'inputs=both'], /inputs was "text"/],
    [['--set', 'nonsense=1'], /--set nonsense=1: unknown key/],
    [['--manifest', 'none.csv'], /none\.csv does not exist/],
    [['--fold', '2'], /the run in runs\/words\/stage2 has no folds/],
    [['--folds', '5'], /recipe words has no folds; leave out --folds$/],
    [['--seeds', '1'], /runs\/words holds no runs of seeds/],
  ])('by eval and report is not scored as something else with %j', async (options, message) => {
    expect(await work.refused('eval', '--run', 'runs/words', ...options)).toMatch(message);
    expect(await work.refused('report', '--run', 'runs/words', ...options)).toMatch(message);
  });

  it('takes options that say what it is, and gives the same figures', async () => {
    const { stdout } = await work.done('eval', '--run', 'runs/words', '--json');
    for (const options of [
      ['--recipe', 'words.yaml'],
      ['--set', 'stage2.epochs=1', '--set', 'seed=1'],
      ['--manifest', 'toy/manifest.csv'],
      ['--stage', '2', '--threads', '1'],
    ]) {
      const again = await work.done('eval', '--run', 'runs/words', ...options, '--json');
      expect(JSON.parse(again.stdout), options.join(' ')).toMatchObject({
        wa: (JSON.parse(stdout) as { wa: number }).wa,
        name: 'words',
      });
      expect(again.stderr).not.toContain('as it was trained');
    }
  });

  it('is found by a recipe that has changed since with a warning, and not by a --set', async () => {
    work.file('words.yaml', toyRecipe('toy', { ...settings, inputs: 'text', max_text_tokens: 64 }));
    const { stderr } = await work.done('eval', '--recipe', 'words.yaml', '--json');
    expect(stderr).toContain(
      'warning: the run in runs/words/stage2 is scored as it was trained, and not as --recipe words.yaml says now: max_text_tokens was 128, is 64\n',
    );
    work.file('words.yaml', toyRecipe('toy', { ...settings, inputs: 'text' }));
    expect(await work.refused('eval', '--recipe', 'words.yaml', '--set', 'max_text_tokens=64')).toContain(
      'max_text_tokens was 128',
    );
  });

  it('is scored wherever its corpus lies now, and refused where that has changed', async () => {
    renameSync(work.path('toy'), work.path('moved'));
    mkdirSync(work.path('toy'));
    renameSync(work.path('moved/backbones'), work.path('toy/backbones'));
    const moved = await work.done(
      'eval',
      '--run',
      'runs/words',
      '--manifest',
      'moved/manifest.csv',
      '--json',
    );
    expect(JSON.parse(moved.stdout)).toMatchObject({ name: 'words', metadata: { split: 'test' } });
    await work.done('report', '--run', 'runs/words', '--manifest', 'moved/manifest.csv', '--mistakes', '0');
    renameSync(work.path('toy/backbones'), work.path('moved/backbones'));
    renameSync(work.path('moved'), work.path('toy2'));
    cpSync(work.path('toy2'), work.path('toy'), { recursive: true });
    const text = work.read('toy/manifest.csv').toString();
    work.file('toy/manifest.csv', text.replace(',happy,', ',sad,'));
    expect(await work.refused('eval', '--recipe', 'words.yaml', '--manifest', 'toy/manifest.csv')).toContain(
      'has changed since runs/words/stage2 was trained',
    );
    expect(await work.refused('report', '--run', 'runs/words', '--manifest', 'toy/manifest.csv')).toContain(
      "a report covers the run's own test set; score it on another corpus with emoq eval --run",
    );
    work.file('toy/manifest.csv', text);
  });

  it('has a stage 1 to score where its inputs are text alone', async () => {
    const { stdout } = await work.done('eval', '--recipe', 'words.yaml', '--stage', '1', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ metadata: { stage: 1 } });
    expect((await work.run('eval', '--run', 'runs/words/stage1', '--json')).stdout).toBe(stdout);
    expect(await work.refused('eval', '--run', 'runs/words/stage1', '--stage', '2')).toContain(
      'is a run of stage 1, and --stage 2 asks for another',
    );
  });
});

describe('what eval takes where nothing is named', () => {
  it('is the only experiment, which it says', async () => {
    const { stdout, stderr } = await work.done('eval', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ name: 'words' });
    expect(stderr).toContain('taking runs/words, the one in runs that fits\n');
  });

  it('is refused with a list of several, and with what there is none of', async () => {
    cpSync(work.path('runs/words'), work.path('runs/words2'), { recursive: true });
    expect(await work.refused('eval')).toMatch(
      /^error: say what to score.*; 2 experiments fit: runs\/words, runs\/words2$/,
    );
    expect(await work.refused('eval', '--seeds', 'all')).toMatch(/^error: say what to score/);
    expect(await work.refused('eval', '--folds', '5')).toContain("nor is iemocap4, the paper's, trained yet");
    cpSync(work.path('runs/words2'), work.path('runs/several/seed-3'), { recursive: true });
    const { stderr } = await work.done('eval', '--seeds', 'all', '--json');
    expect(stderr).toContain('taking runs/several, the one in runs that fits\n');
    expect(await work.refused('eval', '--folds', '5', '--seeds', 'all')).toMatch(/^error: say what to score/);
    for (const name of ['words2', 'several']) rmSync(work.path('runs', name), { recursive: true });
  });

  it("is the paper's cross-validation where folds are asked for and none else has any", async () => {
    cpSync(work.path('runs/words/stage1'), work.path('runs/iemocap4/stage1/fold-1'), { recursive: true });
    const { code, stderr } = await work.run('eval', '--folds', '5');
    expect(code).toBe(2);
    expect(stderr.trim().split('\n')).toEqual([
      "taking runs/iemocap4, the paper's cross-validation",
      'error: no run in runs/iemocap4/stage2/fold-1; train first with "emoq train --dataset iemocap4 --fold 1", or name another folder with --run',
    ]);
    rmSync(work.path('runs/iemocap4'), { recursive: true });
  });
});

describe('a predictions file', () => {
  const file = 'runs/words/stage2/predictions.csv';

  it.each([
    ['--stage', '1'],
    ['--fold', '1'],
    ['--threads', '1'],
    ['--device', 'cpu'],
    ['--manifest', 'toy/manifest.csv'],
    ['--label-map', 'a=b'],
    ['--run', 'runs/words'],
  ])('is not scored with %s', async (...option) => {
    expect(await work.refused('eval', '--predictions', file, ...option)).toContain('cannot be used with');
  });

  it('has no recipe that a --set could change, unless one is named', async () => {
    const set = ['--set', 'labels=[neutral, happy, angry, sad]'];
    expect(await work.refused('eval', '--predictions', file, ...set)).toContain(
      'overrides a recipe, but none',
    );
    await work.done('eval', '--predictions', file, '--recipe', 'words.yaml', ...set);
    expect(await work.refused('eval', '--compare', file, file, ...set)).toContain(
      'overrides a recipe, but none',
    );
  });

  it.each([
    ['--stage', '1'],
    ['--fold', '1'],
    ['--folds', '5'],
    ['--seeds', 'all'],
    ['--threads', '1'],
    ['--device', 'cpu'],
  ])('is not compared with another with %s, which is about runs', async (option, value) => {
    expect(await work.refused('eval', '--compare', file, file, option, value)).toContain(
      `${option} applies to runs, but both systems are predictions files; leave it out`,
    );
  });
});

describe('other commands', () => {
  it('take a label map with another corpus only', async () => {
    expect(await work.refused('eval', '--run', 'runs/words', '--label-map', 'a=b')).toContain(
      '--label-map is for a corpus other than the one the run was trained on; name that corpus with --manifest',
    );
  });

  it('stats counts what a --set and a --manifest say', async () => {
    const counted = async (...args: string[]): Promise<Record<string, number>> => {
      const { stdout } = await work.done('stats', ...args, '--json');
      return (JSON.parse(stdout) as { counts: { total: Record<string, number> } }).counts.total;
    };
    const all = await counted('--manifest', 'toy/manifest.csv');
    expect(Object.keys(all).sort()).toEqual(['angry', 'happy', 'neutral', 'sad']);
    const two = await counted('--manifest', 'toy/manifest.csv', '--set', 'labels=[happy, sad]');
    expect(Object.keys(two).sort()).toEqual(['happy', 'sad']);
    const [header, ...rows] = work.read('toy/manifest.csv').toString().trim().split('\n');
    work.file('toy/few.csv', `${[header, ...rows.slice(0, 8)].join('\n')}\n`);
    work.file('data/mine/manifest.csv', work.read('toy/manifest.csv'));
    const named = await counted('--dataset', 'mine', '--manifest', 'toy/few.csv');
    expect(Object.values(named).reduce((sum, count) => sum + count, 0)).toBe(8);
    expect(
      await work.refused('stats', '--manifest', 'toy/few.csv', '--set', 'manifest=toy/manifest.csv'),
    ).toContain('--set manifest=toy/manifest.csv: --manifest names toy/few.csv; give one of the two');
  });

  it('leave a refused evaluation without a trace', () => {
    expect(Object.keys(listing(work.path('runs'))).filter((name) => name.includes('cross'))).toEqual([]);
  });
});
