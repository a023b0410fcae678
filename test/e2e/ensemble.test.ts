/** @file Several runs as one model: the mean of their probabilities, in prediction and on a test set. */

import { chmodSync, cpSync, existsSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { csvRows, makeWorkspace, toyRecipe } from './workspace.js';

const work = makeWorkspace('ensemble');
afterAll(() => work.remove());

const LABELS = ['neutral', 'happy', 'angry', 'sad'];
const json = (name: string) => JSON.parse(work.read(name).toString());
const probe = (settings: object, phase: object = {}): string =>
  JSON.stringify({
    system: 'linear-probe',
    manifest: 'toy/manifest.csv',
    labels: LABELS,
    backbones: { encoder: 'toy/backbones/hubert' },
    probe: { epochs: 6, learning_rate: 0.03, select: 'wa', ...phase },
    ...settings,
  });
const runs = (...names: string[]): string[] => names.flatMap((name) => ['--run', `runs/${name}`]);
const FORMER = {
  former: { queries: 4, pooling_heads: 4, head_hidden: 64 },
  stage1: { epochs: 1, batch_size: 16, learning_rate: 1e-3, select: 'wa' },
};

beforeAll(async () => {
  await work.toyCorpus(12, 16);
  work.file('one.yaml', probe({}));
  work.file('two.yaml', probe({ seed: 2 }, { hidden: 16 }));
  work.file('turned.yaml', probe({ labels: [...LABELS].reverse(), encoder: { layers: [1] } }));
  work.file('folds.yaml', probe({ folds: 'speakers:3', validation: 'speaker' }, { epochs: 2 }));
  work.file('both.yaml', toyRecipe('toy', FORMER));
  work.file('words.yaml', toyRecipe('toy', { ...FORMER, inputs: 'text' }));
  for (const name of ['one', 'two', 'turned']) await work.done('train', '--recipe', `${name}.yaml`);
  for (const name of ['both', 'words']) await work.done('stage1', '--recipe', `${name}.yaml`);
  await work.done('train', '--recipe', 'folds.yaml', '--folds', '3', '--seeds', '1,2');
  const rows = csvRows(work, 'toy/manifest.csv');
  const table = rows.slice(0, 130).map(({ path, text }, i) => `toy/${path},"${i === 3 ? '' : text}"`);
  work.file('rows.csv', `path,text\n${table.join('\n')}\nmissing.wav,gone\n`);
});

/** Rows as the mean of others by hand, by the names of the classes. */
function expectMean(joint: Record<string, string>[], singles: Record<string, string>[][]): void {
  expect(joint.length).toBeGreaterThan(0);
  for (const [index, row] of joint.entries()) {
    const members = singles.map((rows) => rows[index]!);
    if (members.some(({ error }) => error)) {
      expect([row.label, row.prob_sad]).toEqual(['', '']);
      expect(members.map(({ error }) => error)).toContain(row.error);
      continue;
    }
    const means = LABELS.map((label) => {
      const own = members.map((each) => Number(each[`prob_${label}`]));
      return own.reduce((sum, value) => sum + value, 0) / own.length;
    });
    for (const [at, label] of LABELS.entries()) {
      expect(Math.abs(Number(row[`prob_${label}`]) - means[at]!)).toBeLessThan(1e-6);
    }
    expect(row.label).toBe(LABELS[means.indexOf(Math.max(...means))]);
  }
}

async function predicted(output: string, ...args: string[]): Promise<Record<string, string>[]> {
  await work.done('predict', 'rows.csv', '-o', output, ...args);
  return csvRows(work, output);
}

describe('predict with several runs', () => {
  const names = ['one', 'two', 'turned', 'both', 'words'];
  const singles = new Map<string, Record<string, string>[]>();
  beforeAll(async () => {
    for (const name of names) {
      const run = /both|words/.test(name) ? `${name}/stage1` : name;
      singles.set(name, await predicted(`${name}.csv`, ...runs(run)));
    }
  });

  it('writes the mean of their probabilities', async () => {
    const joint = await predicted('joint.csv', ...runs('one', 'two'));
    expectMean(joint, [singles.get('one')!, singles.get('two')!]);
    const differing = joint.filter((row, i) => row.prob_sad !== singles.get('one')![i]!.prob_sad);
    expect(differing.length).toBeGreaterThan(120); // the two are not the same model
  });

  it('of any systems, encoders and orders of classes; a row that one cannot judge has no answer', async () => {
    const joint = await predicted('all.csv', ...runs('turned', 'one', 'both/stage1', 'words/stage1'));
    expect(Object.keys(joint[0]!).filter((column) => column.startsWith('prob_'))).toEqual(
      [...LABELS].reverse().map((label) => `prob_${label}`),
    );
    expectMean(
      joint,
      ['turned', 'one', 'both', 'words'].map((name) => singles.get(name)!),
    );
    expect(joint.flatMap(({ error }) => (error ? [error] : []))).toEqual([
      expect.stringContaining('column "text" is empty'),
      expect.stringContaining('missing.wav'),
    ]);
  });

  it('in parts, and after a kill, to the same bytes', async () => {
    const whole = work.read('joint.csv');
    for (const part of ['1', '2']) {
      await predicted(`part-${part}.csv`, ...runs('one', 'two'), '--shard', `${part}/2`);
    }
    await work.done('merge', 'part-1.csv', 'part-2.csv', '-o', 'merged.csv');
    expect(work.read('merged.csv')).toEqual(whole);

    // The last row is not decoded until it may be, so the rows before it are done when the process is killed.
    const open = work.path('open');
    const gate = `#!/bin/bash\nif [[ "$*" == *missing* ]]; then while [[ ! -e ${open} ]]; do sleep 0.02; done; fi\nexec ffmpeg "$@"\n`;
    work.file('ffmpeg', gate);
    chmodSync(work.path('ffmpeg'), 0o755);
    writeFileSync(work.path('missing.wav'), 'no sound');
    process.env.FFMPEG_PATH = work.path('ffmpeg');
    const args = ['predict', 'rows.csv', '-o', 'killed.csv', ...runs('one', 'two')];
    try {
      const command = work.start(...args);
      const progress = work.path('killed.csv.progress.json');
      while (!existsSync(progress) || json('killed.csv.progress.json').done.next_row < 128) await sleep(5);
      command.signal('SIGKILL');
      await command.ended;
      const others = await work.refused(...args.slice(0, -2), ...runs('turned'));
      expect(others).toContain('was begun with another model');
      writeFileSync(open, '');
      await work.done(...args);
      expect(work.read('killed.csv').toString().split('\n').slice(0, 131)).toEqual(
        whole.toString().split('\n').slice(0, 131),
      );
    } finally {
      delete process.env.FFMPEG_PATH;
    }
  });

  it('refuses a run twice, other classes, other texts and other lengths', async () => {
    cpSync(work.path('runs/both'), work.path('runs/other'), { recursive: true });
    const withRecipe = async (from: string, to: string): Promise<string> => {
      const recipe = work.read('runs/both/stage1/recipe.yaml').toString();
      expect(recipe).toContain(from);
      work.file('runs/other/stage1/recipe.yaml', recipe.replace(from, to));
      const args = ['predict', 'rows.csv', '-o', 'x.csv', ...runs('both/stage1', 'other/stage1')];
      return work.refused(...args);
    };
    expect(await withRecipe('labels: [neutral', 'labels: [calm')).toContain(
      'have different labels (neutral, happy, angry, sad; calm, happy, angry, sad); an ensemble needs models of the same classes',
    );
    expect(await withRecipe('text: given', 'text: recognised')).toContain(
      'runs/both/stage1 was trained with text: given and runs/other/stage1 with text: recognised',
    );
    expect(await withRecipe('max_audio_sec: 30', 'max_audio_sec: 3')).toContain('max_audio_sec: 3;');
    expect(
      await work.refused('predict', 'rows.csv', '-o', 'x.csv', ...runs('one', 'two', './one')),
    ).toContain('names runs/one/probe twice');
  });
});

describe('eval with several runs', () => {
  it('scores the mean on their test set, and says whose it is', async () => {
    const members = ['one', 'two', 'turned'];
    for (const name of members) await work.done('eval', ...runs(name));
    const { stdout, stderr } = await work.done('eval', ...runs(...members), '--json');
    const result = JSON.parse(stdout);
    const path = /predictions in (\S+),/.exec(stderr)![1]!;
    expect(path).toMatch(/^runs\/ensembles\/one\+two\+turned-[0-9a-f]{8}\/predictions\.csv$/);
    expectMean(
      csvRows(work, path),
      members.map((name) => csvRows(work, `runs/${name}/probe/predictions.csv`)),
    );
    expect(result).toMatchObject({ name: 'one+two+turned', n: 32, metadata: { split: 'test' } });
    expect(result.ensemble).toEqual(
      members.map((name) => ({
        ...{ run: `runs/${name}/probe`, name, phase: 'probe', seed: name === 'two' ? 2 : 1, fold: null },
        checkpoint_sha256: json(`runs/${name}/probe/run.json`).checkpoint.sha256,
      })),
    );
    expect(result.intervals.unit).toBe('utterance');
    const accuracies = members.map((name) => json(`runs/${name}/probe/results.json`).wa as number);
    expect(result.wa).toBeGreaterThanOrEqual(accuracies.reduce((sum, wa) => sum + wa, 0) / 3);
    const compared = await work.done('eval', '--compare', 'runs/one', path, '--json');
    expect(JSON.parse(compared.stdout)).toMatchObject({ n: 32, b: { wa: result.wa } });
  });

  it('scores cross-validations fold by fold', async () => {
    const seeds = runs('folds/seed-1', 'folds/seed-2');
    for (const seed of [1, 2]) await work.done('eval', ...runs(`folds/seed-${seed}`), '--folds', '3');
    const { stdout, stderr } = await work.done('eval', ...seeds, '--folds', '3', '--json');
    const result = JSON.parse(stdout);
    expect([result.n, result.folds.length, result.ensemble.length]).toEqual([192, 3, 6]);
    const path = /predictions in (\S+),/.exec(stderr)![1]!;
    expectMean(
      csvRows(work, path),
      [1, 2].map((seed) => csvRows(work, `runs/folds/seed-${seed}/probe/predictions.csv`)),
    );
  });

  it('refuses folds on what one of them was trained on, and scores them on another corpus', async () => {
    const folds = [1, 2, 3].map((fold) => `folds/seed-1/probe/fold-${fold}`);
    expect(await work.refused('eval', ...runs(...folds))).toMatch(
      /fold-2 has seen 64 of the 64 test utterances of runs\/folds\/seed-1\/probe\/fold-1 in training or validation, such as toy_\d+/,
    );
    const own = ['--manifest', 'toy/manifest.csv', '--label-map', 'sad=sad'];
    const { code, stderr } = await work.run('eval', ...runs(...folds), ...own);
    expect([code, stderr]).toEqual([
      2,
      expect.stringMatching(/an ensemble is not scored on what one of its runs has seen\n$/),
    ]);
    await work.toyCorpus(5, 4, 'other', '--seed', '9');
    const other = ['--manifest', 'other/manifest.csv', '--json'];
    const scored = await work.done('eval', ...runs(...folds), ...other);
    expect(JSON.parse(scored.stdout)).toMatchObject({ metadata: { split: 'test' }, cross_corpus: {} });
    expect(JSON.parse(scored.stdout).ensemble).toHaveLength(3);
    const path = /predictions in (\S+),/.exec(scored.stderr)![1]!;
    const alone: Record<string, string>[][] = [];
    for (const fold of folds) {
      const { stderr: where } = await work.done('eval', ...runs(fold), ...other);
      alone.push(csvRows(work, /predictions in (\S+),/.exec(where)![1]!));
    }
    expectMean(csvRows(work, path), alone);
  });

  it('refuses other test sets, folds without --folds, and options that do not go with several', async () => {
    expect(await work.refused('eval', ...runs('one', 'folds/seed-1/probe/fold-1'))).toMatch(
      /has seen \d+ of the \d+ test utterances of|have different test sets/,
    );
    expect(await work.refused('eval', ...runs('folds/seed-1', 'folds/seed-2'))).toContain('--folds');
    expect(await work.refused('eval', ...runs('one', 'two'), '--seeds', 'all')).toContain(
      'name the folder of each seed (seed-N) with --run',
    );
    expect(await work.refused('eval', ...runs('one', 'two'), '--recipe', 'one.yaml')).toContain('--recipe');
    expect(await work.refused('eval', ...runs('one', 'one'))).toContain('names runs/one/probe twice');
  });
});
