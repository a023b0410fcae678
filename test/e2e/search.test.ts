/**
 * @file `emoq search` on a linear probe: it finds the learning rate that learns, stops hopeless trials, goes on after
 * a kill to the same bytes, and never reads the test set. Its report has what its files have.
 */

import { cpSync, existsSync, readdirSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { csvRows, fileDigests, makeWorkspace, metricsOf } from './workspace.js';

const work = makeWorkspace('search');
afterAll(() => work.remove());

const TRIALS = 14;
const probe = (settings: object = {}, phase: object = {}): string =>
  JSON.stringify({
    system: 'linear-probe',
    manifest: 'toy/manifest.csv',
    labels: ['neutral', 'happy', 'angry', 'sad'],
    backbones: { encoder: 'toy/backbones/hubert' },
    probe: { epochs: 5, select: 'wa', ...phase },
    ...settings,
  });
const search = (root: string, ...more: string[]): string[] => [
  ...['search', '--recipe', 'probe.yaml', '--space', 'space.yaml', '--run', root],
  ...more,
];
const all = ['--trials', String(TRIALS)];
const json = (name: string) => JSON.parse(work.read(name).toString());

interface Listed {
  best: number;
  trials: {
    trial: number;
    status: string;
    value: number | null;
    epochs: number;
    values: Record<string, number>;
    validation: (number | null)[];
  }[];
}

beforeAll(async () => {
  await work.toyCorpus(12, 16);
  // The test set cannot be heard: its recordings are gone.
  for (const { path, split } of csvRows(work, 'toy/manifest.csv')) {
    if (split === 'test') rmSync(work.path('toy', path!));
  }
  work.file('probe.yaml', probe());
  work.file('space.yaml', 'probe.learning_rate: {log: [1e-6, 0.1]}\nprobe.hidden: {choice: [0, 16]}\n');
  await work.done(...search('found', ...all));
});

describe('a search', () => {
  it('finds a learning rate that learns, and writes its recipe', async () => {
    const { best, trials } = json('found/trials.json') as Listed;
    expect(trials).toHaveLength(TRIALS);
    const values = trials.map(({ value }) => value!);
    expect(values).toEqual([...values].sort((a, b) => b - a));
    const found = trials.find(({ trial }) => trial === best)!;
    expect(found.values['probe.learning_rate']).toBeGreaterThan(0.005);
    // Ten thousand times less learns nothing: chance is a quarter.
    const slow = trials.filter(({ values: own }) => own['probe.learning_rate']! < 1e-4);
    expect(slow.length).toBeGreaterThan(4);
    for (const { value } of slow) expect(value!).toBeLessThan(found.value! - 0.15);

    const trained = await work.done('train', '--recipe', 'found/best.yaml');
    expect(trained.stdout).toBe('runs/probe-best/probe/checkpoint.safetensors\n');
    expect(json('runs/probe-best/probe/run.json').selected.value).toBe(found.value);
    const rows = csvRows(work, 'found/trials.csv');
    expect(rows.map(({ trial }) => Number(trial))).toEqual(trials.map(({ trial }) => trial));
    expect(rows[0]).toMatchObject({ status: 'finished', wa: String(found.value) });
  });

  it('stops a trial that is worse than the median of the earlier ones, and no other', () => {
    const { trials } = json('found/trials.json') as Listed;
    const byNumber = [...trials].sort((a, b) => a.trial - b.trial);
    const curves = byNumber.map(({ trial }) =>
      metricsOf(work, `found/trial-${trial}/probe`)
        .filter(({ validation }) => validation !== undefined)
        .map(({ validation }) => (validation as unknown as { wa: number }).wa),
    );
    const isFinished = (index: number): boolean => byNumber[index]!.status === 'finished';
    let stopped = 0;
    for (const [index, curve] of curves.entries()) {
      const compared = curves.filter((_, other) => other <= index - 4 && isFinished(other));
      let hopeless: number | undefined;
      for (let epoch = 1; epoch < 5 && hopeless === undefined && compared.length >= 3; epoch++) {
        const averages = compared.map((own) => own.slice(0, epoch).reduce((a, b) => a + b, 0) / epoch);
        averages.sort((a, b) => a - b);
        const middle = averages.length / 2;
        const median = (averages[Math.ceil(middle) - 1]! + averages[Math.floor(middle)]!) / 2;
        if (Math.max(...curve.slice(0, epoch)) < median) hopeless = epoch;
      }
      expect([index + 1, byNumber[index]!.status, curve.length]).toEqual([
        ...[index + 1, hopeless === undefined ? 'finished' : 'stopped', hopeless ?? 5],
      ]);
      if (hopeless !== undefined) stopped++;
    }
    expect(stopped).toBeGreaterThan(0);
  });

  it('is the same with two trials at a time', async () => {
    await work.done(...search('parallel', ...all, '--jobs', '2'));
    expect(fileDigests(work, 'parallel')).toEqual(fileDigests(work, 'found'));
  });

  it('goes on after kills and Ctrl-C, and to more trials, with the same bytes', async () => {
    await work.done(...search('stopped', '--trials', '3'));
    for (const [pattern, signal] of [
      [/trial 5, epoch 2/, 'SIGKILL'],
      [/trial 8, epoch 1/, 'SIGINT'],
      [/trial 11: /, 'SIGKILL'],
    ] as const) {
      const command = work.start(...search('stopped', ...all));
      await command.says(pattern);
      command.signal(signal);
      const { code } = await command.ended;
      if (signal === 'SIGINT') expect(code).toBe(130);
    }
    const { stdout, stderr } = await work.done(...search('stopped', ...all));
    expect(stderr).not.toContain('trial 2, epoch');
    expect(fileDigests(work, 'stopped')).toEqual(fileDigests(work, 'found'));
    expect(stdout).toBe((await work.done(...search('found', ...all))).stdout);
  });

  it('is listed, but its trials are not compared on the test set', async () => {
    const { stdout } = await work.done('runs', '--root', 'found', '--json');
    const { runs } = JSON.parse(stdout) as { runs: { run: string; trial: number; trial_status: string }[] };
    expect(runs.map(({ trial }) => trial)).toEqual(Array.from({ length: TRIALS }, (_, i) => i + 1));
    const { trials } = json('found/trials.json') as Listed;
    for (const { trial, trial_status } of runs) {
      expect(trial_status).toBe(trials.find((each) => each.trial === trial)!.status);
    }
    expect((await work.done('runs', '--root', 'found')).stdout).toMatch(/stopped, step \d+ of \d+/);
    expect(await work.refused('compare', '--recipe', 'probe.yaml', '--root', 'found')).toContain(
      'no finished run in found is on toy/manifest.csv',
    );
  });

  it('prints what it would try, as a table or for programs', async () => {
    const dry = search('dry', '--trials', '3', '--dry-run');
    expect((await work.done(...dry)).stdout).toMatch(/^trial +probe\.learning_rate +probe\.hidden\n1 /);
    const { trials } = JSON.parse((await work.done(...dry, '--json')).stdout) as Listed;
    const done = (json('found/trials.json') as Listed).trials;
    for (const { trial, values } of trials) {
      expect(values).toEqual(done.find((each) => each.trial === trial)!.values);
    }
    expect(existsSync(work.path('dry'))).toBe(false);
  });

  it('goes on past a trial that fails, and tries it again', async () => {
    work.file('fails.yaml', 'probe.batch_size: {choice: [16, 32]}\nencoder.layers: {choice: [last, [9]]}\n');
    const args = [
      'search',
      '--recipe',
      'probe.yaml',
      '--space',
      'fails.yaml',
      '--trials',
      '4',
      '--run',
      'fails',
    ];
    const { code, stdout, stderr } = await work.run(...args);
    expect([code, stdout.match(/failed/g)?.length]).toEqual([0, 2]);
    expect(stderr).toMatch(/error: trial \d: /);
    const rows = csvRows(work, 'fails/trials.csv');
    expect(rows.map(({ status }) => status)).toEqual(['finished', 'finished', 'failed', 'failed']);
    expect((await work.run(...args)).stderr).toMatch(/error: trial \d: /);
  });
});

describe('the report of a search', () => {
  const root = 'runs/probe-search';
  beforeAll(() => cpSync(work.path('found'), work.path(root), { recursive: true }));

  it('is one page in its folder, with the figures of trials.csv, and trains nothing', async () => {
    const { stdout, stderr } = await work.done('report', '--run', root, '--plots', 'plots');
    expect(stdout).toBe(`${root}/report.html\n`);
    expect(stderr).toMatch(new RegExp(`4 plots in plots\\n${TRIALS} trials, [\\d.]+ kB`));
    const page = work.read(`${root}/report.html`).toString();
    expect(page).toMatch(/^<!doctype html>/i);
    expect(page).not.toMatch(/(?:src|href)="https?:/);
    const shown = [...page.split('id="trials"')[1]!.matchAll(/<tr><th scope="row">(.*?)<\/tr>/g)].map(
      ([row]) => [...row.matchAll(/<bdi>(.*?)<\/bdi>/g)].map(([, cell]) => cell!.replaceAll('<wbr>', '')),
    );
    const rows = csvRows(work, `${root}/trials.csv`);
    expect(rows).toHaveLength(TRIALS);
    expect(
      shown.map(([trial, status, wa, epoch, , rate, hidden]) => [
        ...[trial, status!.split(',')[0], wa, epoch, rate, hidden],
      ]),
    ).toEqual(
      rows.map((row) => [
        ...[row.trial, row.status, (100 * Number(row.wa)).toFixed(1), row.epoch],
        ...[row['probe.learning_rate'], row['probe.hidden']],
      ]),
    );
    const { train, dev } = json(`${root}/trial-1/probe/run.json`).utterances;
    expect(page).toContain(`${train} for training, ${dev} for validation`);
    const names = readdirSync(work.path('plots'));
    expect(names.sort()).toEqual([
      ...[
        'best-so-far.svg',
        'key-1-probe-learning-rate.svg',
        'key-2-probe-hidden.svg',
        'validation-curves.svg',
      ],
    ]);
  });

  it('has the same content as Markdown and JSON, and the same bytes again', async () => {
    const before = fileDigests(work, root);
    await work.done('report', '--run', root, '--out', 'search.json');
    const report = json('search.json');
    const { best, trials, space, planned_trials } = json(`${root}/trials.json`);
    expect(report).toMatchObject({
      best: { trial: best },
      trials,
      space,
      counts: { planned: planned_trials },
    });
    await work.done('report', '--run', root);
    expect(fileDigests(work, root)).toEqual(before);
    const markdown = await work.done('report', '--run', root, '--out', 'search.md', '--plots', 'plots');
    expect(markdown.stdout).toBe('search.md\n');
    const text = work.read('search.md').toString();
    expect(text).toContain('](plots/validation-curves.svg)');
    expect(text).toContain(report.verdict);
  });

  it('says that a search is not complete', async () => {
    cpSync(work.path('found'), work.path('half'), { recursive: true });
    const { trials, ...others } = json('found/trials.json');
    const left = trials.filter(({ trial }: { trial: number }) => trial !== 14 && trial !== others.best);
    const best = left.find(({ status }: { status: string }) => status === 'finished').trial;
    work.file('half/trials.json', JSON.stringify({ ...others, planned_trials: 16, best, trials: left }));
    expect((await work.done('report', '--run', 'half', '--format', 'md')).stdout).toBe('half/report.md\n');
    expect(work.read('half/report.md').toString()).toContain(
      'not complete: 2 trials have begun without a result so far, and 2 trials have not begun',
    );
  });

  it('refuses what is for runs, other files in its place, and damage', async () => {
    expect(await work.refused('report', '--run', root, '--mistakes', '50', '--seeds', '1,2')).toBe(
      `error: ${root} holds a search, whose report has no use for --mistakes, --seeds; leave them out, or name the run of a trial with --run`,
    );
    expect(await work.refused('report', '--run', root, '--folds', '5')).toContain('--folds; leave it out');
    expect(await work.refused('report', '--run', root, '--recipe', 'probe.yaml')).toContain(
      'use for --recipe',
    );
    await work.done('report', '--run', root, '--device', 'cpu'); // as of what is scored: nothing is computed
    expect(await work.refused('report', '--run', root, '--out', `${root}/trials.json`)).toContain(
      'which the report is made from',
    );
    expect(await work.refused('report', '--recipe', 'probe.yaml')).toMatch(
      /; runs\/probe-search holds a search, which --run runs\/probe-search reports on$/,
    );
    work.file('half/search.json', '{}');
    expect(await work.refused('report', '--run', 'half')).toMatch(/^error: half\/search\.json is damaged/);
  });

  it('of a trial is that of its run', async () => {
    const { code, stderr } = await work.run('report', '--run', `${root}/trial-1`);
    // Its test set cannot be heard.
    expect([code, stderr.includes('holds a search')]).toEqual([2, false]);
  });
});

describe('a search is refused', () => {
  it.each<[string, string[], RegExp]>([
    [
      'a seed other than before',
      ['--seed', '2'],
      /found holds another search: seed was 1, is 2\. Use another --run/,
    ],
    ['another recipe', ['--set', 'probe.epochs=6'], /probe\.epochs was 5, is 6/],
    ['more jobs than trials may overlap', ['--jobs', '5'], /--jobs 5: with median stopping, a trial waits/],
    ['a stage that is not there', ['--stage', '1'], /recipe probe has no stage1; its phases are probe/],
    ['no number of trials', ['--trials', '0'], /whole number from 1/],
  ])('with %s', async (_, more, message) => {
    expect(await work.refused(...search('found', ...all, ...more))).toMatch(message);
  });

  it('without a validation set, or without a fold of folds', async () => {
    const args = search('new', ...all);
    cpSync(work.path('toy'), work.path('whole'), { recursive: true });
    const manifest = work.read('toy/manifest.csv').toString().replaceAll(',dev,', ',train,');
    work.file('whole/manifest.csv', manifest);
    work.file('whole.yaml', probe({ manifest: 'whole/manifest.csv' }));
    expect(
      await work.refused(...args.map((each) => (each === 'probe.yaml' ? 'whole.yaml' : each))),
    ).toContain('recipe whole has none; set validation to speaker or share');
    expect(await work.refused(...args, '--set', 'folds=speakers:3')).toContain('say which, such as --fold 1');
    work.file('wrong.yaml', 'probe.epochs: {choice: [1, -1]}\n');
    const wrong = args.map((each) => (each === 'space.yaml' ? 'wrong.yaml' : each));
    expect(await work.refused(...wrong)).toMatch(/error: trial \d+ \(probe\.epochs=-1\): /);
  });
});
