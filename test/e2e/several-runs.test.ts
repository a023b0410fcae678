/** @file Seeds and folds, sequentially or in parallel: the same bytes, nothing lost, scored and listed together. */

import { rmSync, statSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { prepareRuns } from '../../src/experiments/train-runs.js';
import { loadRecipe } from '../../src/recipe/index.js';
import { trainPhase } from '../../src/training/index.js';
import type { Outcome } from '../cli/command-line.js';
import { listing, makeWorkspace, toyRecipe } from './workspace.js';

const work = makeWorkspace('runs');
afterAll(() => work.remove());

const FILES = ['checkpoint.safetensors', 'training_state.safetensors', 'metrics.jsonl', 'run.json'];
const FOLDS = [1, 2, 3];
const stage1 = ['stage1', '--recipe', 'several.yaml', '--folds', '3', '--threads', '1'];

interface Figures {
  wa: number;
  ua: number;
  wf1: number;
  n: number;
}

const json = <T>(file: string): T => JSON.parse(work.read(file).toString()) as T;

function expectSameRun(run: string, other: string): void {
  for (const name of FILES) {
    expect(work.read(`${run}/${name}`).equals(work.read(`${other}/${name}`)), `${run}/${name}`).toBe(true);
  }
}

let sideBySide: Outcome;
let inSequence: Outcome;

beforeAll(async () => {
  work.file(
    'several.yaml',
    toyRecipe('toy', {
      manifest: 'toy/three.csv',
      folds: 'session',
      validation: 'speaker',
      former: { queries: 4, pooling_heads: 4, head_hidden: 64 },
      stage1: { epochs: 2, batch_size: 8, learning_rate: 1e-3, select: 'wa' },
    }),
  );
  await work.toyCorpus(10, 4);
  const [header, ...rows] = work.read('toy/manifest.csv').toString().trim().split('\n');
  const kept = rows.filter((row) => FOLDS.includes(Number(row.split(',').at(-3))));
  work.file('toy/three.csv', `${[header, ...kept].join('\n')}\n`);
  sideBySide = await work.done(...stage1, '--seeds', '3,4', '--jobs', '2');
  inSequence = await work.done(...stage1, '--seeds', '3', '--run', 'sequence');
});

describe('several runs', () => {
  it('in parallel leave a folder for each seed and fold, reported in order', () => {
    const { stdout, stderr } = sideBySide;
    const folders = [3, 4].flatMap((seed) =>
      FOLDS.map((fold) => `runs/several/seed-${seed}/stage1/fold-${fold}`),
    );
    expect(stdout).toBe(folders.map((folder) => `${folder}/checkpoint.safetensors\n`).join(''));
    expect(stderr).toContain('6 runs, 2 at a time, 1 thread each\n');
    for (const seed of [3, 4]) {
      for (const fold of FOLDS) {
        const name = `stage 1, seed ${seed}, fold ${fold}`;
        expect(stderr).toContain(`${name}: finished after step 4\n`);
        const epochs = stderr.match(
          new RegExp(`^${name}, epoch [12]/2: loss \\d+\\.\\d{4}, validation WA \\d+\\.\\d %, UA `, 'gm'),
        );
        expect(epochs, name).toHaveLength(2);
        expect(json(`runs/several/seed-${seed}/stage1/fold-${fold}/run.json`)).toMatchObject({
          seed,
          fold,
          threads: 1,
        });
      }
    }
  });

  it('one after the other end in the same bytes', () => {
    const { stderr } = inSequence;
    for (const fold of FOLDS) {
      expect(stderr).toMatch(
        new RegExp(`^stage 1, seed 3, fold ${fold}: peak memory of this process: [\\d,]+ MiB`, 'm'),
      );
      expectSameRun(`sequence/seed-3/stage1/fold-${fold}`, `runs/several/seed-3/stage1/fold-${fold}`);
    }
  });

  it('on several devices end in the same bytes, and without --jobs each device has a run', async () => {
    const listed = [...stage1, '--seeds', '3', '--devices', 'cpu,cpu'];
    const { stderr } = await work.done(...listed, '--run', 'devices');
    expect(stderr).toContain('computing on cpu, cpu\n');
    expect(stderr).toContain('3 runs, 2 at a time, 1 thread each, on cpu, cpu\n');
    for (const fold of FOLDS) {
      expectSameRun(`devices/seed-3/stage1/fold-${fold}`, `sequence/seed-3/stage1/fold-${fold}`);
    }
  });

  it('one at a time are on the first of several devices, and so is a single one', async () => {
    const one = [...stage1.slice(0, 3), '--threads', '1', '--fold', '1', '--seeds', '3'];
    const { stderr } = await work.done(...one, '--devices', 'cpu,cpu', '--run', 'first');
    expect(stderr).toContain('training on cpu, one run at a time; the other devices only encode clips\n');
    expectSameRun('first/seed-3/stage1/fold-1', 'sequence/seed-3/stage1/fold-1');
  });

  it.each([
    [['--devices', 'cpu,cpu', '--jobs', '3'], '--jobs 3 is more than the 2 devices of --devices'],
    [
      ['--devices', 'cpu', '--device', 'cpu'],
      "option '--devices <list>' cannot be used with option '--device",
    ],
    [['--devices', 'cuda:0,cpu,cuda'], 'It names cuda:0 twice; see'],
    [['--devices', 'webgpu,webgpu'], 'It names webgpu twice; see'],
    [['--devices', 'cpu,gpu'], 'It must be auto, cpu, webgpu, cuda or cuda:N'],
    [['--devices', 'cpu,'], 'It must be auto, cpu, webgpu, cuda or cuda:N'],
    [['--devices', 'auto,cpu'], 'It must name devices, and auto is none; see'],
    [['--devices', 'cuda:0,cuda:1'], /^error: device "cuda:0" (?:needs|does not exist)/],
  ])('%j is refused', async (args, message) => {
    expect(await work.refused(...stage1, '--run', 'refused', ...args)).toMatch(message);
  });

  it('stopped by Ctrl-C all save, and end in the same bytes when run again', async () => {
    const long = [...stage1, '--seeds', '3', '--jobs', '2', '--set', 'stage1.epochs=16'];
    const command = work.start(...long, '--run', 'stopped');
    const metrics = work.path('stopped/seed-3/stage1/fold-1/metrics.jsonl');
    await vi.waitUntil(() => (statSync(metrics, { throwIfNoEntry: false })?.size ?? 0) > 0, {
      timeout: 1_800_000,
    });
    command.signal('SIGINT');
    const { code, stderr } = await command.ended;
    expect(code).toBe(130);
    expect(stderr).toContain(
      'finishing the current steps of every run and saving; press Ctrl-C again to exit at once\n',
    );
    expect(stderr).toMatch(
      /\n\d of 3 runs are finished, [12] stopped and saved; run the same command again to resume\n$/,
    );
    // Threads may change the last bits of a sum, so a resumed run keeps its number of threads.
    const again = await work.done(...long, '--run', 'stopped', '--threads', '2');
    expect(again.stderr).toContain(
      'stage 1, seed 3, fold 1: computing with 1 thread, as the run in stopped/seed-3/stage1/fold-1 began\n',
    );
    const one = [
      ...stage1.slice(0, 3),
      '--threads',
      '1',
      '--fold',
      '1',
      '--seeds',
      '3',
      '--set',
      'stage1.epochs=16',
    ];
    await work.done(...one, '--run', 'whole');
    expectSameRun('stopped/seed-3/stage1/fold-1', 'whole/seed-3/stage1/fold-1');
  });

  it.each([
    ['--jobs', '1'],
    ['--jobs', '2'],
    ['--devices', 'cpu,cpu'],
  ])('of which one fails train the others and say which, with %s %s', async (option, value) => {
    const run = option === '--jobs' ? `failing-${value}` : 'failing-devices';
    for (const name of ['run.json', 'recipe.yaml']) {
      work.file(`${run}/stage1/fold-2/${name}`, work.read(`sequence/seed-3/stage1/fold-2/${name}`));
    }
    const { code, stdout, stderr } = await work.run(
      ...stage1,
      '--run',
      run,
      option,
      value,
      '--set',
      'stage1.epochs=1',
    );
    expect(code).toBe(2);
    const others = [1, 3].map((fold) => `${run}/stage1/fold-${fold}/checkpoint.safetensors\n`);
    expect(stdout).toBe(others.join(''));
    expect(stderr).toContain(
      `error: stage 1, fold 2: ${run}/stage1/fold-2 holds a run of another recipe: seed was 3, is 1; stage1.epochs was 2, is 1`,
    );
    expect(stderr).toContain('error: 1 of 3 runs failed: stage 1, fold 2. The others are finished');
  });

  it('are refused if the seed is given twice or invalid', async () => {
    expect(await work.refused(...stage1, '--seeds', '1,2', '--set', 'seed=3')).toContain(
      'leave out --set seed',
    );
    for (const seeds of ['1,1', '1,,2', 'x', '-1', '4294967296']) {
      expect(await work.refused(...stage1, `--seeds=${seeds}`)).toContain('distinct whole numbers');
    }
  });
});

it('clips are encoded once before the runs begin, and how many are cut is reported and recorded', async () => {
  const seconds = work
    .read('toy/three.csv')
    .toString()
    .trim()
    .split('\n')
    .slice(1)
    .map((row) => row.split(','))
    .filter((cells) => cells.at(-3) !== '1')
    .map((cells) => Number(cells.at(-1)));
  const [shorter, longer] = seconds.toSorted((x, y) => x - y).slice(seconds.length / 2 - 1) as [
    number,
    number,
  ];
  const maxSec = (shorter + longer) / 2;
  const recipe = await loadRecipe({
    path: work.path('several.yaml'),
    overrides: [
      `manifest=${work.path('toy/three.csv')}`,
      ...['encoder', 'former', 'llm'].map(
        (name, place) =>
          `backbones.${name}=${work.path('toy/backbones', ['hubert', 'roberta', 'qwen2'][place]!)}`,
      ),
      `max_audio_sec=${maxSec}`,
      'stage1.epochs=1',
    ],
  });
  const compute = { device: { kind: 'cpu' } as const, cacheDir: work.path('..', 'other-features') };
  const own = { recipe, phase: 'stage1', root: work.path('encoded'), title: undefined };
  await prepareRuns(
    [
      { ...own, fold: 1 },
      { ...own, fold: 2 },
    ],
    compute,
  );
  const stages: string[] = [];
  const notes: string[] = [];
  for (const fold of [1, 2]) {
    await trainPhase({
      ...{ recipe, phase: 'stage1', fold, root: work.path('encoded'), versions: {} },
      compute: { ...compute, onFeatures: ({ stage }) => void stages.push(stage) },
      onNote: (text) => void notes.push(text),
    });
  }
  expect(new Set(stages)).toEqual(new Set(['check']));

  const cropped = seconds.filter((sec) => sec > maxSec).length;
  expect(cropped).toBe(seconds.length / 2);
  expect(json('encoded/stage1/fold-1/run.json')).toMatchObject({ cropped });
  expect(notes).toContain(`cut to ${maxSec} s (max_audio_sec): ${cropped} of ${seconds.length} clips`);
});

describe('runs of several seeds', () => {
  const evaluate = ['eval', '--recipe', 'several.yaml', '--stage', '1', '--folds', '3'];
  let scored: Outcome;
  beforeAll(async () => {
    scored = await work.done(...evaluate, '--seeds', 'all', '--json');
  });

  it('are scored together, with mean and deviation over the seeds', async () => {
    const result = JSON.parse(scored.stdout) as Figures & {
      seeds: (Figures & { seed: number })[];
      mean: Figures;
      sd: Figures;
    };
    const own = [3, 4].map((seed) => json<Figures>(`runs/several/seed-${seed}/stage1/results.json`));
    expect(result.seeds.map(({ seed, n, wa, ua }) => ({ seed, n, wa, ua }))).toEqual(
      own.map(({ n, wa, ua }, place) => ({ seed: 3 + place, n, wa, ua })),
    );
    expect(result.n).toBe(48);
    for (const metric of ['wa', 'ua', 'wf1'] as const) {
      const [a, b] = own.map((figures) => figures[metric]) as [number, number];
      expect(result.mean[metric]).toBeCloseTo((a + b) / 2, 12);
      expect(result.sd[metric]).toBeCloseTo(Math.abs(a - b) / Math.SQRT2, 12);
    }
    expect(json('runs/several/stage1-seeds.json')).toEqual(result);
    const { stdout } = await work.done(...evaluate, '--seeds', '4,3');
    expect(stdout).toMatch(/^this run, mean ± sd +\d+\.\d ± \d+\.\d .* 2 seeds$/m);
    expect(stdout).toMatch(/^4 +24 +\d/m);
  });

  it('are compared with another experiment, over their utterances and seeds', async () => {
    const options = ['--recipe', 'several.yaml', '--stage', '1', '--json'];
    await work.done(...stage1, '--seeds', '3,4', '--run', 'more', '--set', 'stage1.epochs=3');
    const compared = await work.done('eval', '--compare', 'runs/several', 'more', ...options);
    expect(compared.stderr).toContain('warning: 2 seeds are few to resample');
    expect(compared.stderr).toContain('predictions from runs/several/seed-3/stage1/predictions.csv\n');
    const result = JSON.parse(compared.stdout) as Record<'a' | 'b', { wa: number; seeds: Figures[] }>;
    expect(result).toMatchObject({ n: 24, paired_seeds: true, mcnemar: null });
    expect(result).toHaveProperty('mcnemar_by_seed.length', 2);
    for (const [system, root] of [
      ['a', 'runs/several'],
      ['b', 'more'],
    ] as const) {
      const own = [3, 4].map((seed) => json<Figures>(`${root}/seed-${seed}/stage1/results.json`));
      expect(result[system].seeds.map(({ wa }) => wa)).toEqual(own.map(({ wa }) => wa));
      expect(result[system].wa).toBeCloseTo((own[0]!.wa + own[1]!.wa) / 2, 14);
    }
    const one = await work.done('eval', '--compare', 'runs/several', 'more', ...options, '--seeds', '4');
    expect(JSON.parse(one.stdout)).toMatchObject({ n: 24, mcnemar: { p: expect.any(Number) } });
    const fold = ['--seeds', 'all', '--fold', '2'];
    const folds = await work.done('eval', '--compare', 'runs/several', 'more', ...options, ...fold);
    expect(JSON.parse(folds.stdout)).toMatchObject({ n: 8, paired_seeds: true });
    const alone = await work.done('eval', '--compare', 'runs/several', 'more/seed-3', ...options);
    expect(JSON.parse(alone.stdout)).toMatchObject({ n: 24, paired_seeds: false, mcnemar_by_seed: [] });
  });

  it('are not taken for one run, nor looked for where there are none', async () => {
    expect(await work.refused(...evaluate)).toContain(
      'runs/several holds the runs of several seeds; score them with eval --seeds all, or name one with --run, such as runs/several/seed-3',
    );
    expect(await work.refused(...evaluate, '--seeds', '3,9')).toContain('no run in runs/several/seed-9');
    expect(await work.refused(...evaluate, '--seeds', 'all', '--run', 'failing-1')).toContain(
      'holds no runs of seeds',
    );
    expect(
      await work.refused('predict', 'toy/manifest.csv', '-o', 'x.csv', '--run', 'runs/several'),
    ).toContain('such as runs/several/seed-3');
  });
});

describe('emoq runs', () => {
  it('lists them with status, validation, test and what differs from the recipe', async () => {
    const before = listing(work.dir);
    const { stdout } = await work.done('runs');
    expect(stdout.split('\n')[0]).toMatch(
      /^run +stage +fold +seed +status +validation +WA % +UA % +WF1 % +begun \(UTC\) +time +utt\/s +memory +recipe$/,
    );
    expect(stdout).toMatch(
      /^runs\/several\/seed-4\/stage1\/fold-3 +1 +3 +4 +finished +WA \d+\.\d %, epoch [12] +\d+\.\d +\d+\.\d +\d+\.\d +\d{4}-\d\d-\d\d \d\d:\d\d +\d[\d. minsh]* +[\d.]+ +\d+ MiB +unchanged$/m,
    );
    expect(stdout.trim().split('\n')).toHaveLength(7);
    expect(listing(work.dir)).toEqual(before);
  });

  beforeAll(async () => {
    const command = work.start(
      ...stage1.slice(0, 3),
      '--fold',
      '1',
      '--set',
      'stage1.epochs=400',
      '--run',
      'half',
    );
    await command.says(/epoch 2\/400/);
    command.signal('SIGINT');
    await command.ended;
  });

  it('shows the progress of an unfinished one, and which keys differ', async () => {
    const { runs } = JSON.parse((await work.done('runs', '--root', 'half', '--json')).stdout) as {
      runs: { step: number }[];
    };
    expect(runs).toEqual([
      {
        run: 'half/stage1/fold-1',
        ...{ name: 'several', stage: 1, fold: 1, seed: 1, status: 'unfinished' },
        step: expect.any(Number),
        total_steps: 800,
        validation: { epoch: expect.any(Number), metric: 'wa', value: expect.any(Number) },
        test: null,
        times: {
          started: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
          ended: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
          duration_sec: expect.any(Number),
          encoding_sec: expect.any(Number),
          training_sec: expect.any(Number),
          validation_sec: expect.any(Number),
          utterances_per_sec: expect.any(Number),
          peak_memory_bytes: expect.any(Number),
        },
        changed: { 'stage1.epochs': { recipe: 2, run: 400 } },
      },
    ]);
    expect(runs[0]!.step).toBeGreaterThanOrEqual(2);
    expect((await work.done('runs', '--root', 'half')).stdout).toMatch(
      new RegExp(`step ${runs[0]!.step} of 800 .* stage1\\.epochs=400$`, 'm'),
    );
  });

  it('has no times for a run of an earlier emoq', async () => {
    rmSync(work.path('half/stage1/fold-1/timings.jsonl'));
    const { stdout } = await work.done('runs', '--root', 'half');
    expect(stdout).toMatch(/ - +- +- +- +stage1\.epochs=400$/m);
    const { runs } = JSON.parse((await work.done('runs', '--root', 'half', '--json')).stdout) as {
      runs: { times: unknown }[];
    };
    expect(runs[0]!.times).toBeNull();
  });

  it('skips one that cannot be read, and refuses a missing folder', async () => {
    work.file('odd/a/run.json', '{"format": "other"}');
    work.file('odd/b/run.json', '{');
    writeFileSync(work.path('odd/file'), '');
    const { stdout, stderr } = await work.done('runs', '--root', 'odd');
    expect(stdout).toBe('');
    expect(stderr).toContain('warning: odd/a: odd/a/run.json is not an emoq run\n');
    expect(stderr).toContain('warning: odd/b: run odd/b/run.json is not valid JSON');
    expect(stderr).toContain('there are no runs in odd\n');
    expect(await work.refused('runs', '--root', 'nowhere')).toContain('there is no folder nowhere');
  });
});
