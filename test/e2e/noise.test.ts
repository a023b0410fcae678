/** @file Scores under noise: tables, JSON, files, the report, and what is refused. */

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeWav } from '../../src/data/audio/index.js';
import { readManifest } from '../../src/data/corpora/index.js';
import { seededRandom } from '../../src/engine/tensor/index.js';
import { csvRows, listing, makeWorkspace, toyRecipe } from './workspace.js';

const work = makeWorkspace('noise');
afterAll(() => work.remove());

const small = {
  former: { queries: 4, pooling_heads: 4, head_hidden: 64 },
  stage1: { epochs: 6, batch_size: 8, learning_rate: 1e-3, select: 'last' },
  max_audio_sec: 2,
};
const json = async (...args: string[]) => JSON.parse((await work.done(...args, '--json')).stdout);
const entries = (): number =>
  readdirSync(join(work.dir, '..', 'features'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.safetensors'),
  ).length;
const scored = ['eval', '--run', 'good', '--stage', '1', '--resamples', '200'];

beforeAll(async () => {
  await work.toyCorpus(5, 8);
  work.file('small.yaml', toyRecipe('toy', small));
  await work.done('stage1', '--recipe', 'small.yaml', '--run', 'good');
  await work.done('stage1', '--recipe', 'small.yaml', '--run', 'seeds', '--seeds', '1,2');
  const random = seededRandom(1);
  work.file(
    'street/cars.wav',
    encodeWav(
      Float32Array.from({ length: 80_000 }, () => 0.2 * random.normal()),
      16_000,
    ),
  );
});

describe('eval --noise', () => {
  it('scores the test set as it is and at each ratio, and keeps the results', async () => {
    const plain = await work.done(...scored);
    const [results, predictions] = [
      work.read('good/stage1/results.json'),
      work.read('good/stage1/predictions.csv'),
    ];
    const before = entries();
    const { stdout, stderr } = await work.done(...scored, '--noise', '20,0,-20');
    expect(stdout.startsWith(plain.stdout.trimEnd())).toBe(true);
    const [, table] = stdout.split('Results under noise\n');
    const lines = table!.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^signal-to-noise ratio +WA % +UA % +WF1 % +macro F1 % +ECE %$/);
    expect(lines.slice(1, -1).map((line) => line.split(/ {2,}/)[0])).toEqual(
      ['clean', '20 dB', '0 dB', '-20 dB'].flatMap((name) => [name, '95 % interval']),
    );
    expect(lines.at(-1)).toContain(
      'Noise is in the sound alone: the words are those of the transcripts at every ratio. ',
    );
    expect(lines.at(-1)).toMatch(/^Noise: pink noise, seed 1; .* 200 resamples of 8 utterances, seed 1\.$/);
    expect(stderr).toContain('results under noise in good/stage1/noise.json\n');
    // The results of the test set as it is are what they are without noise.
    expect(work.read('good/stage1/results.json')).toEqual(results);
    expect(work.read('good/stage1/predictions.csv')).toEqual(predictions);
    expect(entries()).toBe(before + 3 * 8);
    expect(readdirSync(work.path('good/stage1/noise')).sort()).toEqual(['-20dB.csv', '0dB.csv', '20dB.csv']);
  });

  it('gives the same figures from the predictions that it keeps', async () => {
    const { noise } = await json(...scored, '--noise', '20,-20');
    expect(noise).toMatchObject({
      from: 'pink',
      seed: 1,
      words: 'given',
      checkpoints: [expect.stringMatching(/^[0-9a-f]{64}$/)],
    });
    expect(noise.levels.map((level: { snr_db: number | null }) => level.snr_db)).toEqual([null, 20, -20]);
    expect(readdirSync(work.path('good/stage1/noise')).sort()).toEqual(['-20dB.csv', '20dB.csv']);
    const clean = await json(...scored);
    for (const [i, file] of ['predictions.csv', 'noise/20dB.csv', 'noise/-20dB.csv'].entries()) {
      const alone = await json(
        ...['eval', '--predictions', `good/stage1/${file}`, '--recipe', 'small.yaml', '--resamples', '200'],
      );
      const { snr_db: _ratio, ece, ...level } = noise.levels[i];
      expect(alone).toMatchObject(level);
      expect(alone.ece).toBeCloseTo(ece, 7); // the file has fewer digits
      if (i === 0) expect(clean).toMatchObject({ ...level, ece });
    }
    expect(csvRows(work, 'good/stage1/noise/-20dB.csv').map(({ id }) => id)).toEqual(
      csvRows(work, 'good/stage1/predictions.csv').map(({ id }) => id),
    );
    const probabilities = (file: string) => csvRows(work, `good/stage1/${file}`).map((row) => row.prob_happy);
    expect(probabilities('noise/20dB.csv')).not.toEqual(probabilities('predictions.csv'));
    expect(probabilities('noise/-20dB.csv')).not.toEqual(probabilities('noise/20dB.csv'));
  });

  it('ends in the same bytes again, without encoding anything', async () => {
    await work.done(...scored, '--noise', '20,-20');
    const [before, count] = [work.read('good/stage1/noise.json'), entries()];
    await work.done(...scored, '--noise', '20,-20');
    expect(work.read('good/stage1/noise.json')).toEqual(before);
    expect(entries()).toBe(count);
  });

  it('takes noise from recordings', async () => {
    const pink = (await json(...scored, '--noise', '0')).noise;
    const { noise } = await json(...scored, '--noise', '0', '--noise-from', 'street');
    expect(noise).toMatchObject({
      from: 'street',
      recordings: 1,
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      seed: 1,
    });
    expect(noise.levels[0]).toEqual(pink.levels[0]);
    expect(noise.levels[1]).not.toEqual(pink.levels[1]);
    const { stdout } = await work.done(
      ...scored,
      '--noise',
      '0',
      '--noise-from',
      'street',
      '--format',
      'csv',
    );
    const rows = stdout.split('\n').filter((line) => /,noise,/.test(line));
    expect(rows.map((row) => row.split(',').slice(2, 4).join())).toEqual(
      ['clean', '0'].flatMap((part) =>
        ['wa', 'ua', 'wf1', 'macro_f1', 'kappa', 'ece'].map((key) => `${part},${key}`),
      ),
    );
    const markdown = (await work.done(...scored, '--noise', '0', '--format', 'markdown')).stdout;
    expect(markdown).toMatch(/### Results under noise\n[\s\S]*\| 0 dB \| [\d.]+ \[/);
  });

  it('scores seeds, and the report shows the table and the plot', async () => {
    const { stdout } = await work.done(
      ...[
        'eval',
        '--run',
        'seeds',
        '--stage',
        '1',
        '--seeds',
        'all',
        '--resamples',
        '200',
        '--noise',
        '10,0',
      ],
    );
    expect(stdout).toMatch(/^10 dB, mean ± sd +[\d.]+ ± [\d.]+ /m);
    expect(stdout).toMatch(/^10 dB, pooled +[\d.]+ .* n = 16$/m);
    await work.done('report', '--run', 'seeds', '--stage', '1', '--seeds', 'all', '--plots', 'plots');
    const page = work.read('seeds/stage1-seeds.html').toString();
    expect(page).toContain('<h2 id="noise-heading">Under noise</h2>');
    expect(work.read('plots/noise.svg').toString()).toContain('10 dB: WA');

    await work.done(...scored, '--noise', '10');
    await work.done('report', '--run', 'good', '--stage', '1');
    expect(work.read('good/stage1/report.html').toString()).toContain('The test clips with pink noise');
    // Of another model of the same folder.
    const noise = JSON.parse(work.read('good/stage1/noise.json').toString());
    work.file('good/stage1/noise.json', JSON.stringify({ ...noise, checkpoints: ['0'.repeat(64)] }));
    const { stderr } = await work.done('report', '--run', 'good', '--stage', '1');
    expect(stderr).toContain(
      'warning: good/stage1/noise.json is of other checkpoints and left out; emoq eval --noise makes it anew\n',
    );
    expect(work.read('good/stage1/report.html').toString()).not.toContain('Under noise');
    work.file('good/stage1/noise.json', JSON.stringify({ ...noise, levels: [] }));
    expect(await work.refused('report', '--run', 'good', '--stage', '1')).toMatch(
      /results good\/stage1\/noise\.json are damaged, key levels: .*; delete the file, and run emoq eval --noise again$/,
    );
  });

  it('scores the folds of a cross-validation together', async () => {
    work.file('folds.yaml', toyRecipe('toy', { ...small, folds: 'session', validation: 'none' }));
    const { utterances } = await readManifest(work.path('toy/manifest.csv'));
    const folds = String(new Set(utterances.map(({ session }) => session)).size);
    const of = ['--recipe', 'folds.yaml', '--run', 'folds'];
    await work.done('stage1', ...of, '--folds', folds, '--set', 'stage1.epochs=1');
    const { noise, n } = await json(
      ...['eval', '--run', 'folds', '--stage', '1', '--folds', folds, '--resamples', '200', '--noise', '0'],
    );
    expect(n).toBe(utterances.length);
    expect(noise.checkpoints).toHaveLength(Number(folds));
    expect(noise.levels[1]).toMatchObject({ snr_db: 0, n, mean: { wa: expect.any(Number) }, sd: {} });
    await work.done('report', '--run', 'folds', '--stage', '1', '--folds', folds);
    expect(work.read('folds/stage1/report.html').toString()).toContain('Under noise');
  });

  it('scores bundles, and writes nothing for them', async () => {
    await work.done('export', 'bundle', '--run', 'good/stage1', '-o', 'bundle');
    const before = listing(work.path('bundle'));
    const { noise } = await json(
      ...['eval', '--bundle', 'bundle', '--recipe', 'small.yaml', '--resamples', '200', '--noise', '10'],
    );
    const own = (await json(...scored, '--noise', '10')).noise;
    expect(noise.levels.map(({ wa }: { wa: number }) => wa)).toEqual(
      own.levels.map(({ wa }: { wa: number }) => wa),
    );
    expect(listing(work.path('bundle'))).toEqual(before);
  });

  it.each([
    [
      ['--noise', 'abc'],
      /'abc' is invalid\. It must be signal-to-noise ratios in dB from -50 to 100, such as 20,10,5,0/,
    ],
    [['--noise', ''], /'' is invalid\. It must be signal-to-noise ratios/],
    [['--noise', '10,,0'], /It must be signal-to-noise ratios/],
    [['--noise', '500'], /It must be signal-to-noise ratios/],
    [['--noise', '10,10'], /It names a ratio twice/],
    [['--noise-from', 'street'], /--noise-from is for --noise; say at which ratios to add it/],
    [['--noise', '10', '--noise-from', 'absent'], /--noise-from: folder absent does not exist$/],
    [
      ['--noise', '10', '--noise-from', 'good'],
      /--noise-from: folder good has no recordings that can be read$/,
    ],
  ])('refuses %j in one line', async (options, message) => {
    expect(await work.refused(...scored, ...options)).toMatch(message);
  });

  it('refuses a run that hears nothing', async () => {
    await work.done('stage1', '--recipe', 'small.yaml', '--run', 'deaf', '--set', 'inputs=text');
    expect(await work.refused('eval', '--run', 'deaf', '--stage', '1', '--noise', '10')).toBe(
      'error: --noise: deaf/stage1 reads no audio, so noise changes nothing; leave out --noise',
    );
  });
});
