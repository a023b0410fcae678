/** @file Five session folds: trained one by one or together, scored per fold, averaged and pooled. */

import { renameSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { csvRows, makeWorkspace, toyRecipe } from './workspace.js';

const work = makeWorkspace('folds');
afterAll(() => work.remove());

const recipe = ['--recipe', 'folds.yaml'];
const FOLDS = ['1', '2', '3', '4', '5'];

interface Scores {
  wa: number;
  ua: number;
  wf1: number;
  n: number;
}
type FoldResult = Scores & { folds: (Scores & { fold: string })[]; mean: Scores; sd: Scores };

beforeAll(async () => {
  work.file(
    'folds.yaml',
    toyRecipe('toy', {
      folds: 'session',
      validation: 'speaker',
      former: { queries: 4, pooling_heads: 4, head_hidden: 64 },
      stage1: { epochs: 2, batch_size: 8, learning_rate: 1e-3, select: 'wa' },
    }),
  );
  await work.toyCorpus(10, 4);
});

describe('a recipe with folds', () => {
  it.each([
    [[], 'recipe folds is cross-validated: say --fold N (1 to 5) or --folds 5'],
    [['--fold', '9'], 'fold 9 does not exist: the corpus has the sessions 1, 2, 3, 4, 5'],
    [['--fold', '0'], 'It must be a whole number from 1'],
    [['--folds', '4'], 'has 5 sessions (1, 2, 3, 4, 5), each of which is a fold; say --folds 5'],
    [['--folds', '7'], 'has 5 sessions'],
    [['--fold', '2', '--folds', '5'], 'cannot be used with'],
    [['--fold', '2', '--jobs', '2'], '--jobs 2 is for several runs, and this is one; add --folds or --seeds'],
  ])('is refused with %j', async (options, message) => {
    expect(await work.refused('stage1', ...recipe, ...options)).toContain(message);
  });

  it('trains one fold, which is scored with the others named as missing', async () => {
    expect((await work.done('stage1', ...recipe, '--fold', '2')).stdout).toBe(
      'runs/folds/stage1/fold-2/checkpoint.safetensors\n',
    );
    const part = await work.done('eval', ...recipe, '--stage', '1', '--folds', '5', '--json');
    expect(part.stderr).toContain(
      'warning: folds 1, 3, 4, 5 of 5 are not fully trained in runs/folds/stage1: these figures cover the other folds, not the whole cross-validation\n',
    );
    const partial = JSON.parse(part.stdout) as FoldResult;
    expect(partial).toMatchObject({ n: 8, metadata: { split: '1 of 5 folds' } });
    expect(partial).toHaveProperty(
      'missing',
      ['1', '3', '4', '5'].map((fold) => ({ fold })),
    );
    expect(JSON.parse(work.read('runs/folds/stage1/results.json').toString())).toEqual(partial);
    const table = await work.done('eval', ...recipe, '--stage', '1', '--folds', '5');
    expect(table.stdout).toMatch(/^this run, mean ± sd .* 1 of 5 folds$/m);
    expect(table.stdout).toMatch(
      /^Without fold 1, fold 3, fold 4, fold 5: not the whole cross-validation\. /m,
    );
    const csv = await work.done('eval', ...recipe, '--stage', '1', '--folds', '5', '--format', 'csv');
    expect(csv.stdout).toMatch(/^folds,partial,,wa,/m);
    expect(csv.stdout).not.toMatch(/^folds,all,/m);
    const page = await work.done('report', ...recipe, '--stage', '1', '--folds', '5', '--mistakes', '0');
    expect(page.stderr).toContain('warning: folds 1, 3, 4, 5 of 5 are not fully trained');
    expect(work.read(page.stdout.trim()).toString()).toContain(
      'These figures do not cover the whole cross-validation: fold 1; fold 3; fold 4; fold 5 are not fully trained',
    );
  });
});

describe('a cross-validation', () => {
  let all: Awaited<ReturnType<typeof work.done>>;
  beforeAll(async () => {
    await work.done('stage1', ...recipe, '--fold', '2');
    all = await work.done('stage1', ...recipe, '--folds', '5');
    await work.done('eval', ...recipe, '--stage', '1', '--folds', '5');
  });

  it('trains what is not trained yet', () => {
    const checkpoints = FOLDS.map((fold) => `runs/folds/stage1/fold-${fold}/checkpoint.safetensors\n`);
    expect(all.stdout).toBe(checkpoints.join(''));
    expect(all.stderr).toContain('stage 1, fold 2 is already finished');
    expect(all.stderr).not.toContain('stage 1, fold 1 is already finished');
  });

  it('is scored per fold, with mean, standard deviation and pooled', async () => {
    const { stdout } = await work.done('eval', ...recipe, '--stage', '1', '--folds', '5');
    expect(stdout).toMatch(/^this run, mean ± sd +\d+\.\d ± \d+\.\d .* 5 folds$/m);
    expect(stdout).toMatch(/^this run, pooled +\d+\.\d .* n = 40$/m);
    for (const fold of FOLDS) expect(stdout).toMatch(new RegExp(`^${fold} +8 +\\d`, 'm'));
    expect(stdout).toMatch(/^mean +\d+\.\d/m);
    expect(stdout).toMatch(/^sd +\d+\.\d/m);
  });

  it('gives the same to programs, and every utterance is tested once, by the fold of its own session', async () => {
    const { stdout } = await work.done('eval', ...recipe, '--stage', '1', '--folds', '5', '--json');
    const result = JSON.parse(stdout) as FoldResult;
    expect(result.folds.map(({ fold, n }) => [fold, n])).toEqual(FOLDS.map((fold) => [fold, 8]));
    const accuracies = result.folds.map(({ wa }) => wa);
    const mean = accuracies.reduce((sum, wa) => sum + wa, 0) / 5;
    const variance = accuracies.reduce((sum, wa) => sum + (wa - mean) ** 2, 0) / 4;
    expect(result.mean.wa).toBeCloseTo(mean, 12);
    expect(result.sd.wa).toBeCloseTo(Math.sqrt(variance), 12);
    expect(result.wa).toBeCloseTo(mean, 12); // pooled: the folds are of one size
    expect(result.n).toBe(40);
    expect(JSON.parse(work.read('runs/folds/stage1/results.json').toString())).toEqual(result);
    expect(result).not.toHaveProperty('missing');

    const sessions = new Map(
      work
        .read('toy/manifest.csv')
        .toString()
        .trim()
        .split('\n')
        .slice(1)
        .map((row) => [row.slice(0, row.indexOf(',')), row.split(',').at(-3)]),
    );
    const rows = csvRows(work, 'runs/folds/stage1/predictions.csv');
    expect(new Set(rows.map(({ id }) => id)).size).toBe(40);
    for (const { id, fold } of rows) expect(fold).toBe(sessions.get(id!));
  });

  it('is not scored as one run, nor over another number of folds', async () => {
    expect(await work.refused('eval', ...recipe, '--stage', '1')).toContain(
      'holds the folds of a cross-validation; score all of them with eval --folds 5, or name one with --run',
    );
    expect(await work.refused('eval', ...recipe, '--stage', '1', '--folds', '3')).toContain('has 5 sessions');
    const { stdout } = await work.done('eval', '--run', 'runs/folds/stage1/fold-4', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ n: 8, metadata: { stage: 1 } });
  });

  it('is scored one fold at a time, as the refusal of another number of folds advises', async () => {
    expect(await work.refused('eval', ...recipe, '--stage', '1', '--folds', '3')).toMatch(
      /say --folds 5, or --fold N for one of them$/,
    );
    const { stdout } = await work.done('eval', ...recipe, '--stage', '1', '--fold', '4', '--json');
    expect(stdout).toBe((await work.done('eval', '--run', 'runs/folds/stage1/fold-4', '--json')).stdout);
    expect(JSON.parse(work.read('runs/folds/stage1/fold-4/results.json').toString())).toMatchObject({ n: 8 });
    const report = await work.done('report', ...recipe, '--stage', '1', '--fold', '4', '--mistakes', '0');
    expect(report.stdout).toBe('runs/folds/stage1/fold-4/report.html\n');
    expect(await work.refused('eval', ...recipe, '--stage', '1', '--fold', '9')).toContain(
      'no run in runs/folds/stage1/fold-9',
    );
    for (const [option, what] of [
      [['--fold', '3'], 'is fold 4, and --fold 3 asks for another'],
      [['--stage', '2'], 'is a run of stage 1, and --stage 2 asks for another'],
      [['--folds', '5'], 'is a single run'],
    ] as const) {
      expect(await work.refused('eval', '--run', 'runs/folds/stage1/fold-4', ...option)).toContain(what);
    }
  });

  it('is what eval takes where nothing is named, and says so', async () => {
    const named = await work.done('eval', ...recipe, '--stage', '1', '--folds', '5', '--json');
    const { stdout, stderr } = await work.done('eval', '--stage', '1', '--folds', '5', '--json');
    expect(stdout).toBe(named.stdout);
    expect(stderr).toContain('taking runs/folds, the one in runs that fits\n');
    expect(await work.refused('eval', '--stage', '1')).toContain(
      'holds the folds of a cross-validation; score all of them with eval --folds',
    );
    // Only metadata of a stage 2 is written here; nothing is trained.
    expect(await work.refused('eval', '--folds', '5')).toMatch(
      /^error: say what to score.*; no final phase in runs is cross-validated, nor is iemocap4, the paper's, trained yet/,
    );
  });

  it('has no other folds after one is taken away', async () => {
    renameSync(work.path('runs/folds/stage1/fold-5'), work.path('fold-5'));
    const before = await work.done('report', ...recipe, '--stage', '1', '--folds', '5', '--mistakes', '0');
    expect(before.stderr).toContain('warning: fold 5 of 5 is not fully trained');
    expect(JSON.parse(work.read('runs/folds/stage1/results.json').toString())).toMatchObject({
      n: 32,
      missing: [{ fold: '5' }],
    });
    renameSync(work.path('fold-5'), work.path('runs/folds/stage1/fold-5'));
    await work.done('report', ...recipe, '--stage', '1', '--folds', '5', '--mistakes', '0');
    expect(JSON.parse(work.read('runs/folds/stage1/results.json').toString())).toMatchObject({ n: 40 });
  });

  it('predicts with one of its folds when that is named', async () => {
    expect(await work.refused('predict', 'toy/manifest.csv', '-o', 'x.csv', '--run', 'runs/folds')).toContain(
      'such as runs/folds/stage1/fold-1',
    );
    await work.done('predict', 'toy/manifest.csv', '-o', 'x.csv', '--run', 'runs/folds/stage1/fold-1');
    expect(csvRows(work, 'x.csv')).toHaveLength(40);
  });
});

describe('a corpus that was prepared without these folds', () => {
  const SET = ['--set', 'name=apart', '--set', 'stage1.epochs=1'];

  it.each([
    [
      ['--set', 'folds=speaker', '--folds', '5'],
      /has 10 speakers \(.*\), each of which is a fold; say --folds 10, or/,
    ],
    [
      ['--set', 'folds=speakers:4', '--folds', '5'],
      /recipe folds makes 4 groups of speakers, each of which is a fold; say --folds 4, or --fold N for one of them, or --set folds=speakers:5$/,
    ],
    [
      ['--set', 'folds=speakers:11', '--folds', '11'],
      /11 speaker-independent folds need at least 11 speakers, there are 10/,
    ],
    [
      ['--set', 'folds=speakers:1'],
      /--set folds=speakers:1: must be none, session, speaker, or speakers:N with N from 2, such as speakers:5$/,
    ],
    [
      ['--set', 'folds=none', '--folds', '5'],
      /recipe folds has no folds; leave out --folds, or --set folds=session$/,
    ],
  ])('refuses %j', async (options, message) => {
    expect(await work.refused('stage1', ...recipe, ...options)).toMatch(message);
  });

  it('is cross-validated by groups of speakers, and every utterance is tested once', async () => {
    const folds = ['--set', 'folds=speakers:3', '--folds', '3'];
    await work.done('stage1', ...recipe, ...SET, ...folds);
    const { stdout } = await work.done(
      'eval',
      '--run',
      'runs/apart',
      '--stage',
      '1',
      '--folds',
      '3',
      '--json',
    );
    const result = JSON.parse(stdout) as FoldResult;
    expect(result.folds.map(({ n }) => n).sort()).toEqual([12, 12, 16]);
    expect(result.n).toBe(40);
    const rows = csvRows(work, 'runs/apart/stage1/predictions.csv');
    expect(new Set(rows.map(({ id }) => id)).size).toBe(40);
    const foldOf = new Map<string, Set<string>>();
    for (const { speaker, fold } of rows)
      foldOf.set(speaker!, (foldOf.get(speaker!) ?? new Set()).add(fold!));
    expect(foldOf.size).toBe(10);
    for (const tested of foldOf.values()) expect(tested.size).toBe(1);
    for (const fold of ['1', '2', '3']) {
      const { validation } = JSON.parse(work.read(`runs/apart/stage1/fold-${fold}/run.json`).toString()) as {
        validation: { speakers: string[] };
      };
      expect(validation.speakers).toHaveLength(1);
      expect(foldOf.get(validation.speakers[0]!)).not.toContain(fold);
    }
  });

  it('is counted by what its folds hold out', async () => {
    const { stdout } = await work.done('stats', ...recipe, '--set', 'folds=speaker', '--json');
    const counted = JSON.parse(stdout) as {
      divided_by: string;
      parts: Record<string, { utterances: number }>;
    };
    expect(counted.divided_by).toBe('speaker');
    expect(Object.values(counted.parts).map(({ utterances }) => utterances)).toEqual(Array(10).fill(4));
    expect((await work.done('stats', ...recipe, '--set', 'folds=speakers:3')).stdout).toMatch(/^group +/m);
  });
});
