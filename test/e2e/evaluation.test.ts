/**
 * @file eval of trained runs: intervals, formats, comparison, predictions that can be scored again, and what it needs
 * of the corpus.
 */

import { rmSync, utimesSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readEmbeddings } from '../../src/evaluation/index.js';
import { csvRows, listing, makeWorkspace, shortPrompt, toyRecipe } from './workspace.js';

const work = makeWorkspace('evaluation');
afterAll(() => work.remove());

const settings = {
  former: { queries: 4, pooling_heads: 4, head_hidden: 64 },
  prompt: shortPrompt,
  stage1: { epochs: 2, batch_size: 16, learning_rate: 1e-3 },
  stage2: { epochs: 1, batch_size: 16, learning_rate: 1e-3 },
};

interface Result {
  wa: number;
  n: number;
  ece: number;
  intervals: { unit: string; units: number; wa: { low: number; high: number } } | null;
}

/** Manifest rows as [id, path, split]; transcripts hold commas, so the columns are counted from both ends. */
function corpusRows(): { id: string; path: string; speaker: string; split: string }[] {
  const rows = work.read('toy/manifest.csv').toString().trim().split('\n').slice(1);
  return rows.map((row) => {
    const cells = row.split(',');
    return { id: cells[0]!, path: cells[1]!, speaker: cells.at(-5)!, split: cells.at(-2)! };
  });
}

async function score(...args: string[]): Promise<Result> {
  return JSON.parse((await work.done('eval', ...args, '--json')).stdout) as Result;
}

beforeAll(async () => {
  work.file('full.yaml', toyRecipe('toy', settings));
  work.file('unfused.yaml', toyRecipe('toy', { ...settings, fusion: 'none' }));
  await work.toyCorpus(12, 8);
  await work.done('stage1', '--recipe', 'full.yaml');
  await work.done('stage2', '--recipe', 'full.yaml');
  await work.done('stage2', '--recipe', 'unfused.yaml');
});

describe('eval of a run', () => {
  let result: Result;
  beforeAll(async () => {
    for (const { path, split } of corpusRows()) if (split !== 'test') rmSync(work.path('toy', path));
    result = await score('--recipe', 'full.yaml');
    await score('--recipe', 'unfused.yaml');
  });

  it('needs the audio of its test set, and no other', async () => {
    expect(result.n).toBe(16);
    const { path } = corpusRows().find(({ split }) => split === 'test')!;
    const audio = work.read(`toy/${path}`);
    rmSync(work.path('toy', path));
    expect(await work.refused('eval', '--recipe', 'full.yaml')).toContain(path);
    work.file(`toy/${path}`, audio);
  });

  it('has intervals and calibration, as results.json has them', async () => {
    expect(JSON.parse(work.read('runs/full/stage2/results.json').toString())).toEqual(result);
    expect(result.intervals).toMatchObject({ unit: 'utterance', units: 16, resamples: 10_000, seed: 1 });
    expect(result.intervals!.wa.low).toBeLessThanOrEqual(result.wa);
    expect(result.intervals!.wa.high).toBeGreaterThanOrEqual(result.wa);
    expect(result.ece).toBeGreaterThan(0);
    expect((await score('--recipe', 'full.yaml', '--resamples', '0')).intervals).toBeNull();
  });

  it('leaves predictions that score themselves, by speaker too', async () => {
    const bySpeaker = ['--resample-by', 'speaker', '--resamples', '500', '--resample-seed', '9'];
    const fromRun = await score('--recipe', 'full.yaml', ...bySpeaker);
    const predictions = 'runs/full/stage2/predictions.csv';
    const fromFile = await score('--recipe', 'full.yaml', '--predictions', predictions, ...bySpeaker);
    expect(fromFile.intervals).toEqual(fromRun.intervals);
    expect(fromFile.ece).toBeCloseTo(fromRun.ece, 7);
    const speakers = new Map(corpusRows().map(({ id, speaker }) => [id, speaker]));
    for (const row of csvRows(work, predictions)) {
      expect(row.speaker).toBe(speakers.get(row.id!));
      const [first, second] = ['neutral', 'happy', 'angry', 'sad']
        .map((label) => Number(row[`prob_${label}`]))
        .sort((a, b) => b - a);
      expect(Number(row.margin)).toBeCloseTo(first! - second!, 7);
    }
    expect(fromRun.intervals!.units).toBe(new Set(csvRows(work, predictions).map((row) => row.speaker)).size);
  });

  it('writes the embeddings of these predictions to the same folder, with length 1; none without a Former', async () => {
    const found = await readEmbeddings(work.path('runs/full/stage2/predictions.csv'));
    if (found.kind === 'missing') throw new Error(found.reason);
    expect(found.rows).toBe(16);
    for (let row = 0; row < found.rows; row++) {
      const vector = found.data.subarray(row * found.width, (row + 1) * found.width);
      expect(Math.hypot(...vector)).toBeCloseTo(1, 2);
    }
    expect(await readEmbeddings(work.path('runs/unfused/stage2/predictions.csv'))).toHaveProperty(
      'kind',
      'missing',
    );
  });

  it.each([
    ['csv', /^name,scope,part,metric,value,low,high,n,higher_is_better\nfull,all,,wa,0\./],
    ['markdown', /^### Results\n\n\| {2}\| WA % \| UA % .*\n.*\n\| this run \| \d+\.\d \[/],
    ['latex', /\\begin\{tabular\}\{lrrrrrl\}\n {4}\\toprule\n {5}& WA \\% & /],
    ['text', /^Results\n.*\nthis run +\d+\.\d .*\n95 % interval +\[/],
  ])('prints %s', async (format, pattern) => {
    const predictions = 'runs/full/stage2/predictions.csv';
    const { stdout } = await work.done(
      'eval',
      '--recipe',
      'full.yaml',
      '--predictions',
      predictions,
      '--format',
      format,
    );
    expect(stdout).toMatch(pattern);
  });

  it('of stage 1 is refused with a reason if there is none to train', async () => {
    const message =
      'has no stage 1, because without a Former (fusion is none) there is none to train; leave out --stage 1';
    expect(await work.refused('eval', '--recipe', 'unfused.yaml', '--stage', '1')).toContain(message);
    expect(await work.refused('eval', '--run', 'runs/unfused', '--stage', '1')).toContain(message);
  });

  it('keeps its predictions where they cannot be resampled as asked', async () => {
    const { code, stderr } = await work.run('eval', '--recipe', 'full.yaml', '--resample-by', 'dialogue');
    expect(code).toBe(2);
    expect(stderr).toContain('error: no utterance has a dialogue, so they cannot be resampled by it');
  });
});

describe('predict', () => {
  it('writes over no file of the run, nor over its corpus', async () => {
    work.file('any.csv', 'path,text\nany.wav,hello\n');
    const to = (output: string) => work.refused('predict', 'any.csv', '-o', output, '--run', 'runs/full');
    const checkpoint = 'runs/full/stage2/checkpoint.safetensors';
    expect(await to(checkpoint)).toBe(
      `error: output ${checkpoint} is ${checkpoint}, of the run itself; name another file with -o`,
    );
    expect(await to('toy/manifest.csv')).toBe(
      'error: output toy/manifest.csv is the manifest of the run; name another file with -o',
    );
  });

  it('fails where no row could be predicted, with every reason in the output', async () => {
    const test = csvRows(work, 'runs/full/stage2/predictions.csv')[0]!.id!;
    const { path } = corpusRows().find(({ id }) => id === test)!;
    work.file('gone.csv', 'path,text\nnone.wav,hello\nnone2.wav,there\n');
    const args = ['-o', 'out.csv', '--run', 'runs/full', '--threads', '1'];
    const none = await work.run('predict', 'gone.csv', ...args);
    expect(none).toMatchObject({ code: 1, stdout: 'out.csv\n' });
    expect(none.stderr).toContain('warning: 2 of 2 rows could not be predicted; see the column "error"\n');
    for (const row of csvRows(work, 'out.csv')) expect(row.error).toContain('does not exist');
    work.file('some.csv', `path,text\nnone.wav,hello\ntoy/${path},there\n`);
    await work.done('predict', 'some.csv', ...args);
  });
});

describe('eval --compare', () => {
  const stages = ['runs/full/stage1', 'runs/full/stage2'] as const;

  it('predicts what is not predicted since its training, and only that', async () => {
    const { stdout, stderr } = await work.done('eval', '--compare', ...stages, '--json');
    expect(stderr).toContain('predictions in runs/full/stage1/predictions.csv');
    expect(stderr).toContain('predictions from runs/full/stage2/predictions.csv');
    const before = listing(work.dir);
    const again = await work.done('eval', '--compare', ...stages, '--json');
    expect(again.stdout).toBe(stdout);
    expect(listing(work.dir)).toEqual(before);

    const result = JSON.parse(stdout) as Record<'a' | 'b', Result> & Record<string, unknown>;
    expect(result).toMatchObject({ n: 16, a: { name: stages[0] }, b: { name: stages[1] } });
    expect(result.b.wa).toBe((await score('--recipe', 'full.yaml')).wa);
    const { mcnemar } = result as unknown as { mcnemar: Record<string, number> };
    expect(mcnemar.both_right! + mcnemar.only_a_right!).toBe(16 * result.a.wa);

    const later = new Date(Date.now() + 60_000);
    utimesSync(work.path('runs/full/stage2/checkpoint.safetensors'), later, later);
    const trained = await work.done('eval', '--compare', ...stages);
    expect(trained.stderr).toContain('predictions in runs/full/stage2/predictions.csv');
    expect(trained.stdout).toMatch(/^Difference\n.*\nWA +\d+\.\d +\d+\.\d /);
  });

  it('takes files as well, and refuses what does not fit', async () => {
    const file = 'runs/full/stage1/predictions.csv';
    const [header, ...rows] = work.read(file).toString().trim().split('\n');
    const short = work.file('short.csv', `${[header, ...rows.slice(3)].join('\n')}\n`);
    await work.done('eval', '--compare', file, 'runs/full/stage1', '--format', 'csv');
    expect(await work.refused('eval', '--compare', file, short)).toMatch(
      /3 utterances only in .*, such as "toy_/,
    );
    expect(await work.refused('eval', '--compare', file)).toContain('--compare takes two');
    expect(await work.refused('eval', '--compare', file, 'none')).toContain('none does not exist');
    expect(await work.refused('eval', '--compare', file, file, '--run', 'runs/full')).toContain(
      'cannot be used with',
    );
  });
});
