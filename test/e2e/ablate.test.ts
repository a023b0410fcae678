/**
 * @file Ablation tables on the toy corpus: input variants in the paper's order, resuming a killed table, the rows of
 * every table.
 */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { csvRows, listing, makeWorkspace, metricsOf, shortPrompt, toyRecipe } from './workspace.js';

const work = makeWorkspace('ablate');
afterAll(() => work.remove());

interface Row {
  row: string;
  run: string;
  wa: number;
  n: number;
  seeds?: number[];
  sd?: { wa: number };
  intervals: { wa: { low: number; high: number } };
  difference: Record<string, { difference: number; low: number; high: number; p: number }> | null;
  paper: { wa: number; ua: number; wf1: number };
}

const settings = {
  former: { queries: 4, pooling_heads: 4, head_hidden: 64, dropout: 0, attention_dropout: 0 },
  projector: { slots: 8 },
  lora: { dropout: 0 },
  prompt: shortPrompt,
};

beforeAll(async () => {
  const stages = {
    stage1: { epochs: 10, batch_size: 16, learning_rate: 1e-3, select: 'wa' },
    stage2: { epochs: 8, batch_size: 16, learning_rate: 3e-3, select: 'wa' },
  };
  work.file('small.yaml', toyRecipe('toy', { ...settings, ...stages }));
  await work.toyCorpus(12, 32);
  // A quarter of it is enough when nothing has to be learned.
  const short = { epochs: 1, batch_size: 16, learning_rate: 1e-3 };
  work.file('few.yaml', toyRecipe('few', { ...settings, stage1: short, stage2: short }));
  await work.toyCorpus(6, 4, 'few');
});

async function ablate(
  table: number,
  recipe: string,
  ...args: string[]
): Promise<{ rows: Row[]; stderr: string }> {
  const base = ['ablate', '--recipe', recipe, '--table', String(table), '--json'];
  const { stdout, stderr } = await work.done(...base, ...args);
  return { rows: (JSON.parse(stdout) as { rows: Row[] }).rows, stderr };
}

describe('table 4', () => {
  let rows: Row[];
  let again: Awaited<ReturnType<typeof ablate>>;
  let finished: { before: object[]; after: object[] };

  beforeAll(async () => {
    const killed = work.start('ablate', '--recipe', 'small.yaml', '--table', '4');
    await killed.says(/row 3 of 4/);
    killed.signal('SIGKILL');
    await killed.ended;
    const list = () => ['runs/small-audio', 'runs/small-text'].map((run) => listing(work.path(run)));
    const before = list();
    again = await ablate(4, 'small.yaml');
    ({ rows } = again);
    finished = { before, after: list() };
  });

  it('killed in its third row resumes there when run again', () => {
    expect(finished.after).toEqual(finished.before);
    expect(again.stderr.match(/is already finished/g)).toHaveLength(2);
  });

  it('has the order of the paper: either view alone, both without Former, both with it', () => {
    const [audio, text, unfused, full] = rows.map(({ wa }) => wa) as [number, number, number, number];
    console.log(`toy corpus, table 4: audio ${audio}, text ${text}, without Former ${unfused}, full ${full}`);
    for (const alone of [audio, text]) {
      expect(alone).toBeLessThan(0.6);
      expect(unfused).toBeGreaterThan(alone + 0.05);
    }
    expect(full).toBeGreaterThan(unfused + 0.1);
    expect(full).toBeGreaterThan(0.8);
    expect(rows.map(({ paper }) => paper.wa)).toEqual([0.478, 0.637, 0.645, 0.676]);
  });

  it('prints the rows next to those of the paper, and trains and scores nothing twice', async () => {
    const before = listing(work.path('runs'));
    const { stdout } = await work.done('ablate', '--recipe', 'small.yaml', '--table', '4');
    expect(listing(work.path('runs'))).toEqual(before);
    const lines = stdout.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^Table 4: .*small.*meld7/);
    expect(lines[6]).toMatch(
      /^Intervals: 95 % percentile bootstrap, 10000 resamples of 64 utterances, seed 1\.$/,
    );
    expect(lines.slice(7, 9)).toEqual(['', 'Difference from "both, with Former", in points']);
    expect(lines[10]).toMatch(/^audio only, without Former( +-\d+\.\d \[-\d+\.\d, -?\d+\.\d\]){3}$/);
    expect(lines.at(-1)).toMatch(/^Paired over utterances\. Intervals: /);
    const percent = (100 * rows[0]!.wa).toFixed(1);
    expect(lines[2]).toMatch(
      new RegExp(`^audio only, without Former +${percent} .* 64 +47\\.8 +26\\.3 +43\\.6$`),
    );
    expect(lines[5]).toMatch(/67\.6 +50\.8 +66\.5$/);
  });

  it('has intervals, and differences from the full system, as eval gives them', async () => {
    for (const row of rows) {
      const { stdout } = await work.done('eval', '--run', row.run, '--json');
      expect(row.intervals.wa).toEqual((JSON.parse(stdout) as { intervals: Row['intervals'] }).intervals.wa);
    }
    expect(rows[3]!.difference).toBeNull();
    const compared = await work.done('eval', '--compare', 'runs/small', 'runs/small-text', '--json');
    expect(rows[1]!.difference).toMatchObject({
      wa: (JSON.parse(compared.stdout) as { differences: { wa: object } }).differences.wa,
    });
  });

  it('has runs that eval and predict take like any other', async () => {
    const { run, wa } = rows[2]!;
    const { stdout } = await work.done('eval', '--run', run, '--json');
    expect((JSON.parse(stdout) as Row).wa).toBe(wa);
    await work.done('predict', 'toy/manifest.csv', '-o', 'emotions.csv', '--run', run);
    const predicted = new Map(csvRows(work, 'emotions.csv').map((row) => [row.id, row]));
    for (const row of csvRows(work, `${run}/stage2/predictions.csv`)) {
      const same = predicted.get(row.id)!;
      for (const label of ['neutral', 'happy', 'angry', 'sad'])
        expect(Number(same[`prob_${label}`])).toBeCloseTo(Number(row[`prob_${label}`]), 5);
    }
  });

  it('has a row without stage 1 and without a Former to export', async () => {
    expect(await work.refused('stage1', '--recipe', 'small.yaml', '--set', 'fusion=none')).toBe(
      'error: recipe small has no Former to train in stage 1 (fusion is none); run stage2 alone',
    );
    expect(await work.refused('export', 'former', '--run', rows[2]!.run, '--out', 'former.onnx')).toBe(
      `error: the run in ${rows[2]!.run}/stage2 has no Former: its recipe says fusion: none`,
    );
  });
});

describe('tables 5 and 6', () => {
  const short = ['--run', 'short'];

  it('train the losses and stages of their rows, and share the full system', async () => {
    const losses = (await ablate(5, 'few.yaml', ...short)).rows;
    expect(losses.map(({ run }) => run)).toEqual(
      ['few-neither', 'few-focal', 'few-scl', 'few'].map((name) => `short/${name}`),
    );
    const first = losses.map(({ run }) => metricsOf(work, `${run}/stage1`)[0]!);
    const [neither, focal, contrastive, both] = first.map((line) => line as Record<string, number>);
    expect(neither!.loss).toBeCloseTo(neither!.focal_loss!, 5);
    // Without gamma and class weights the focal loss is cross-entropy, which starts at that of four equal classes.
    expect(neither!.focal_loss).toBeGreaterThan(1.2);
    expect(focal!.focal_loss).toBeLessThan(neither!.focal_loss!);
    expect(focal!.loss).toBeCloseTo(focal!.focal_loss!, 5);
    expect(contrastive!.loss).toBeCloseTo(contrastive!.contrastive_loss!, 5);
    expect(both!.loss).toBeCloseTo(both!.contrastive_loss! + both!.focal_loss!, 5);

    const { rows, stderr } = await ablate(6, 'few.yaml', ...short);
    expect(rows.map(({ run }) => run)).toEqual(['short/few-without-stage1', 'short/few']);
    expect(rows[1]!.wa).toBe(losses[3]!.wa);
    expect(stderr.match(/is already finished/g)).toHaveLength(2);
    expect(() => listing(work.path('short/few-without-stage1/stage1'))).toThrow('ENOENT');
  });
});

describe('a table of several seeds', () => {
  it('has every row with each, their mean and deviation, and trains and scores nothing twice', async () => {
    const options = ['--run', 'seeds', '--seeds', '1,2'];
    const { rows, stderr } = await ablate(6, 'few.yaml', ...options, '--devices', 'cpu,cpu');
    expect(stderr).toContain('2 runs, 2 at a time, 1 thread each, on cpu, cpu\n');
    expect(stderr).toMatch(/^stage 2, with stage 1, seed 2: finished after step /m);
    for (const { run, wa, sd, seeds, n } of rows) {
      const own = [1, 2].map(
        (seed) => JSON.parse(work.read(`${run}/seed-${seed}/stage2/results.json`).toString()) as Row,
      );
      expect(seeds).toEqual([1, 2]);
      expect(n).toBe(8);
      expect(wa).toBeCloseTo((own[0]!.wa + own[1]!.wa) / 2, 14);
      expect(sd!.wa).toBeCloseTo(Math.abs(own[0]!.wa - own[1]!.wa) / Math.SQRT2, 14);
      expect(JSON.parse(work.read(`${run}/stage2-seeds.json`).toString())).toMatchObject({ n: 8 });
    }
    expect(rows[0]!.difference!.wa!.difference).toBeCloseTo(rows[0]!.wa - rows[1]!.wa, 14);
    const before = listing(work.path('seeds'));
    const { stdout } = await work.done('ablate', '--recipe', 'few.yaml', '--table', '6', ...options);
    expect(listing(work.path('seeds'))).toEqual(before);
    expect(stdout).toMatch(/^Table 6: .* mean ± sd of 2 seeds/);
    expect(stdout).toMatch(/\nwith stage 1 +\d+\.\d ± \d+\.\d \[\d+\.\d, \d+\.\d\] /);
  });
});

describe('a table is refused', () => {
  it.each([
    [['--recipe', 'small.yaml', '--table', '7'], /--table.*It must be 4, 5 or 6/],
    [['--recipe', 'small.yaml'], /required option '--table <n>' not specified/],
    [['--table', '4'], /say what to work on|say which dataset to train on/],
    [
      ['--recipe', 'small.yaml', '--table', '6', '--set', 'stage2.from_stage1=true'],
      /the rows of table 6 differ in stage2\.from_stage1/,
    ],
    [
      ['--recipe', 'small.yaml', '--table', '4', '--seeds', '1,2', '--set', 'seed=3'],
      /--seeds sets the seed of each run; leave out --set seed/,
    ],
    [['--manifest', 'toy/manifest.csv', '--table', '4'], /say which dataset to train on/],
    [
      ['--recipe', 'few.yaml', '--table', '4', '--jobs', '2'],
      /--jobs 2 is for several runs, and this is one/,
    ],
    [['--recipe', 'none.yaml', '--table', '4'], /recipe none\.yaml does not exist/],
    [
      ['--recipe', 'small.yaml', '--table', '4', '--set', 'folds=session', '--set', 'validation=speaker'],
      /^error: recipe small is cross-validated: say --folds 5$/,
    ],
    // Reports the name of the given recipe, not of a row, before any row begins.
    [
      ['--recipe', 'small.yaml', '--table', '4', '--folds', '5'],
      /^error: recipe small has no folds; leave out --folds/,
    ],
  ])('with %j', async (args, message) => {
    expect(await work.refused('ablate', ...args)).toMatch(message);
  });
});
