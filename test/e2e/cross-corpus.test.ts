/** @file A run scored on another corpus: shared classes, its test split, separate results, and reported overlap. */

import { cpSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { csvRows, fileDigests, makeWorkspace, toyRecipe } from './workspace.js';

const work = makeWorkspace('cross-corpus');
afterAll(() => work.remove());

const stage1 = ['--run', 'runs/mine', '--stage', '1'];
const map = ['--label-map', 'joy=happy,rage=angry'];

interface CrossResult {
  name: string;
  wa: number;
  n: number;
  labels: string[];
  confusion: number[][];
  intervals: { units: number } | null;
  baselines: { majority: { labels: string[]; from: string; wa: number }; chance: { wa: number } };
  metadata: Record<string, unknown>;
  cross_corpus: Record<string, unknown>;
}

/**
 * Another corpus: different voices; happy is joy and angry is rage; sad is fear, a class that the run does not have.
 */
function otherManifest(edit: (cells: string[]) => string[] | undefined): string {
  const names: Record<string, string> = { happy: 'joy', angry: 'rage', sad: 'fear' };
  const [header, ...rows] = work.read('other/manifest.csv').toString().trim().split('\n');
  const at = header!.split(',').indexOf('label') - header!.split(',').length; // transcripts hold commas
  const changed = rows.flatMap((row) => {
    const cells = row.split(',');
    cells[cells.length + at] = names[cells.at(at)!] ?? cells.at(at)!;
    return edit(cells)?.join(',') ?? [];
  });
  return `${[header, ...changed].join('\n')}\n`;
}

async function score(...args: string[]): Promise<CrossResult> {
  const { stdout } = await work.done('eval', ...args, '--json');
  return JSON.parse(stdout) as CrossResult;
}

beforeAll(async () => {
  work.file(
    'mine.yaml',
    toyRecipe('toy', {
      former: { queries: 4, pooling_heads: 4, head_hidden: 64 },
      stage1: { epochs: 3, batch_size: 16, learning_rate: 1e-3 },
    }),
  );
  await work.toyCorpus(10, 8);
  await work.toyCorpus(10, 4, 'other', '--seed', '9');
  work.file(
    'other/split.csv',
    otherManifest((cells) => cells),
  );
  work.file(
    'other/whole.csv',
    otherManifest((cells) => [...cells.slice(0, -2), '', cells.at(-1)!]),
  );
  await work.done('stage1', '--recipe', 'mine.yaml');
  await work.done('eval', ...stage1);
});

describe('eval --manifest of another corpus', () => {
  it('scores its test split over the shared classes, whose probabilities add up to 1', async () => {
    const own = fileDigests(work, 'runs/mine');
    const result = await score(...stage1, '--manifest', 'other/split.csv', ...map);
    const labels = ['neutral', 'happy', 'angry'];
    expect(result).toMatchObject({
      name: 'mine on split',
      labels,
      n: 6,
      metadata: { split: 'test', stage: 1 },
      cross_corpus: {
        corpus: 'split',
        manifest: 'other/split.csv',
        part: 'test',
        label_map: { joy: 'happy', rage: 'angry' },
        classes_left_out: ['sad'],
        utterances_left_out: { fear: 2 },
      },
    });
    expect(result.cross_corpus.manifest_sha256).not.toBe(result.cross_corpus.trained_manifest_sha256);
    const folder = 'runs/mine/stage1/cross/split';
    expect(JSON.parse(work.read(`${folder}/results.json`).toString())).toEqual(result);
    // Existing files are unchanged.
    expect(fileDigests(work, 'runs/mine')).toMatchObject(own);

    const rows = csvRows(work, `${folder}/predictions.csv`);
    const test = work.read('other/split.csv').toString().trim().split('\n').slice(1);
    const texts = test.filter((row) => row.split(',').at(-2) === 'test' && !row.includes(',fear,'));
    expect(rows.map(({ id }) => id)).toEqual(texts.map((row) => row.split(',')[0]));
    work.file('other/input.csv', work.read('other/split.csv'));
    await work.done('predict', 'other/input.csv', '-o', 'all.csv', '--run', 'runs/mine/stage1');
    const full = new Map(csvRows(work, 'all.csv').map((row) => [row.id, row]));
    for (const row of rows) {
      const kept = labels.map((label) => Number(full.get(row.id)![`prob_${label}`]));
      const total = kept.reduce((sum, value) => sum + value, 0);
      labels.forEach((label, k) => {
        expect(Number(row[`prob_${label}`])).toBeCloseTo(kept[k]! / total, 5);
      });
      expect(row.label).toBe(labels[kept.indexOf(Math.max(...kept))]);
      expect(row).not.toHaveProperty('prob_sad');
    }
    expect(rows.filter(({ label, reference }) => label === reference).length / rows.length).toBe(result.wa);
    // All classes are equally frequent in training, so the first one counts.
    expect(result.baselines.majority).toMatchObject({ labels: ['neutral'], from: 'training', wa: 1 / 3 });
    expect(result.baselines.chance.wa).toBeCloseTo(1 / 3, 14);
  });

  it('scores all of a corpus without splits, and shows what it is', async () => {
    const { stdout, stderr } = await work.done('eval', ...stage1, '--manifest', 'other/whole.csv', ...map);
    expect(stdout).toMatch(/^Results on whole\n/);
    expect(stdout).toContain(
      "Cross-corpus: trained on another corpus, scored on all of whole, 10 utterances of other labels left out; without the run's sad, other probabilities rescaled to sum to 1.",
    );
    expect(stderr).toContain(
      "scoring on all of other/whole.csv: 30 utterances of neutral, happy, angry; left out, not a class of the run: fear 10; left out, as not in the corpus: the run's sad\n",
    );
    expect(JSON.parse(work.read('runs/mine/stage1/cross/whole/results.json').toString())).toMatchObject({
      n: 30,
      metadata: { split: 'all' },
    });
    work.file('map.yaml', 'joy: happy\nrage: angry\n');
    const byFile = await score(...stage1, '--manifest', 'other/whole.csv', '--label-map', 'map.yaml');
    expect(byFile).toMatchObject({ n: 30 });
  });

  it('keeps the results of two corpora of one name apart', async () => {
    cpSync(work.path('other'), work.path('again'), { recursive: true });
    work.file(
      'again/whole.csv',
      `${work.read('other/whole.csv').toString().split('\n').slice(0, -3).join('\n')}\n`,
    );
    const { stderr } = await work.done('eval', ...stage1, '--manifest', 'again/whole.csv', ...map);
    expect(stderr).toMatch(/results in runs\/mine\/stage1\/cross\/whole-[0-9a-f]{8}\/results\.json/);
    expect(JSON.parse(work.read('runs/mine/stage1/cross/whole/results.json').toString())).toMatchObject({
      n: 30,
    });
  });

  it('keeps the results of two label maps apart', async () => {
    const results = 'runs/mine/stage1/cross/whole/results.json';
    const before = work.read(results);
    const other = ['--manifest', 'other/whole.csv', '--label-map', 'joy=angry,rage=happy'];
    const { stderr } = await work.done('eval', ...stage1, ...other);
    const [, folder] = /results in (runs\/mine\/stage1\/cross\/whole-[0-9a-f]{8})\/results\.json/.exec(
      stderr,
    )!;
    expect(work.read(results).equals(before)).toBe(true);
    const { cross_corpus } = JSON.parse(work.read(`${folder}/results.json`).toString());
    expect(cross_corpus.label_map).toEqual({ joy: 'angry', rage: 'happy' });
  });

  it('warns of utterances that the run has seen, and of its own manifest', async () => {
    const seen = work.read('toy/manifest.csv').toString().trim().split('\n');
    const withoutSplit = seen.map((row, index) => {
      const cells = row.split(',');
      return index === 0 ? row : [...cells.slice(0, -2), '', cells.at(-1)].join(',');
    });
    work.file('toy/whole.csv', `${withoutSplit.join('\n')}\n`);
    const trained = seen.slice(1).filter((row) => row.split(',').at(-2) !== 'test').length;
    const { stderr } = await work.done('eval', ...stage1, '--manifest', 'toy/whole.csv');
    for (const what of ['audio', 'id and the words']) {
      expect(stderr).toMatch(
        new RegExp(
          `warning: ${trained} of 80 utterances of toy/whole\\.csv have the ${what} of an utterance that`,
        ),
      );
    }
    const own = await work.done(
      'eval',
      ...stage1,
      '--manifest',
      'toy/manifest.csv',
      '--label-map',
      'sad=happy',
    );
    expect(own.stderr).toContain(
      'warning: toy/manifest.csv is the manifest that runs/mine/stage1 was trained on\n',
    );
    expect(
      (await work.done('eval', ...stage1, '--manifest', 'other/split.csv', ...map)).stderr,
    ).not.toContain('of an utterance that');
  });

  it.each([
    [['--label-map', 'hapy=happy'], /has no label "hapy".*its labels are fear, joy, neutral, rage/],
    [['--label-map', 'joy=joyful'], /joy becomes "joyful", which is not a class of the run \(neutral, happy/],
    [[], /and the run have one class \(neutral\) in common: .*say which is which with --label-map/],
    [['--label-map', 'joy'], /"joy" is not a pair like/],
  ])('is refused with %j', async (options, message) => {
    expect(await work.refused('eval', ...stage1, '--manifest', 'other/split.csv', ...options)).toMatch(
      message,
    );
  });

  it('is refused where audio is missing, or there is no test utterance', async () => {
    work.file(
      'other/train.csv',
      otherManifest((cells) => (cells.at(-2) === 'test' ? undefined : cells)),
    );
    expect(await work.refused('eval', ...stage1, '--manifest', 'other/train.csv', ...map)).toContain(
      'other/train.csv has splits but no utterance in "test"; there is nothing to score',
    );
    work.file(
      'other/gone.csv',
      otherManifest((cells) =>
        cells.at(-2) === 'test' ? [cells[0]!, 'audio/none.wav', ...cells.slice(2)] : cells,
      ),
    );
    expect(await work.refused('eval', ...stage1, '--manifest', 'other/gone.csv', ...map)).toContain(
      'none.wav',
    );
  });

  it('of several seeds and of folds draws an utterance with the predictions of all models', async () => {
    const folds = ['--set', 'folds=session', '--set', 'name=folds', '--set', 'stage1.epochs=1'];
    await work.done('stage1', '--recipe', 'mine.yaml', ...folds, '--folds', '5');
    const options = ['--stage', '1', '--folds', '5', '--manifest', 'other/split.csv', ...map];
    const byFold = await score('--run', 'runs/folds', ...options);
    expect(byFold).toMatchObject({ n: 30, intervals: { units: 6 } });
    expect(JSON.parse(work.read('runs/folds/stage1/cross/split/results.json').toString())).toEqual(byFold);
    cpSync(work.path('runs/mine'), work.path('runs/seeds/seed-1'), { recursive: true });
    cpSync(work.path('runs/mine'), work.path('runs/seeds/seed-2'), { recursive: true });
    const bySeed = await score('--run', 'runs/seeds', '--stage', '1', '--seeds', 'all', ...options.slice(4));
    expect(bySeed).toMatchObject({ n: 12, intervals: { units: 6 }, cross_corpus: { part: 'test' } });
    const together = JSON.parse(work.read('runs/seeds/cross/split/stage1-seeds.json').toString());
    expect(together).toEqual(bySeed);
    // Without its own manifest, what a run has seen is unknown, which is reported.
    rmSync(work.path('toy/manifest.csv'));
    const { stderr } = await work.done('eval', ...stage1, '--manifest', 'other/split.csv', ...map);
    expect(stderr).toContain(
      'toy/manifest.csv is missing or has changed since runs/mine/stage1 was trained, so',
    );
  });
});
