/** @file Words recognised under noise: what models read there, what is kept, and what is refused. */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeAudio, noiseAt } from '../../src/data/audio/index.js';
import { readManifest } from '../../src/data/corpora/index.js';
import { writeToyRecogniser } from '../../src/data/toy-backbones/index.js';
import { plainText, textEdits } from '../../src/evaluation/index.js';
import { namedRecogniser, openRecogniser } from '../../src/inference/index.js';
import { csvRows, fileDigests, makeWorkspace, toyRecipe } from './workspace.js';

const work = makeWorkspace('noisy-words');
afterAll(() => work.remove());

const LEVELS = [10, -10];
const recipe = {
  text: 'recognised',
  former: { queries: 4, pooling_heads: 4, head_hidden: 64 },
  stage1: { epochs: 4, batch_size: 8, learning_rate: 1e-3, select: 'last' },
  max_audio_sec: 2,
};
const noise = ['--noise', LEVELS.join(), '--resamples', '200'];
const own = ['eval', '--run', 'own/stage1', ...noise];
const json = async (...args: string[]) => JSON.parse((await work.done(...args, '--json')).stdout);
const cache = join(work.dir, '..', 'features', 'recognition');
const journal = (): string => join(cache, readdirSync(cache)[0]!);
const happyAt = (run: string, level: number): number[] =>
  csvRows(work, `${run}/noise/${level}dB.csv`).map((row) => Number(row.prob_happy));
const largest = (a: readonly number[], b: readonly number[]): number =>
  Math.max(...a.map((value, index) => Math.abs(value - b[index]!)));

beforeAll(async () => {
  await work.toyCorpus(5, 8);
  await writeToyRecogniser(work.path('rec'), 1);
  await writeToyRecogniser(work.path('other-rec'), 2);
  const rows = csvRows(work, 'toy/manifest.csv').map(
    ({ id, path, text, label, speaker, session, split }) =>
      `${id},toy/${path},"${text}",${label},${speaker},${session},${split}`,
  );
  work.file('clips.csv', `id,path,text,label,speaker,session,split\n${rows.join('\n')}\n`);
  await work.done(
    ...['prepare-csv', 'clips.csv', '--name', 'clips', '--out', 'heard', '--transcribe', 'rec'],
  );
  work.file('own.yaml', toyRecipe('toy', { ...recipe, manifest: 'heard/manifest.csv' }));
  await work.done('stage1', '--recipe', 'own.yaml', '--run', 'own');
}, 60_000);

/** The texts of a clip at each level, from the parts that the command is made of. */
async function textsOf(path: string, sha256: string): Promise<string[]> {
  const named = await namedRecogniser(work.path('rec'), { beam: 1 });
  const recogniser = openRecogniser(named, {
    device: { kind: 'cpu' },
    cacheDir: work.path('unused'),
  } as never);
  try {
    const texts: string[] = [];
    for (const level of LEVELS) {
      const { samples } = await decodeAudio(path);
      const noisy = await (await noiseAt('pink', level, 1)(sha256)).apply(samples, samples.length);
      const [features] = await recogniser.encoder.encode([noisy]);
      texts.push(recogniser.textOf(features!).text);
    }
    return texts;
  } finally {
    await recogniser.encoder.close();
  }
}

describe('eval --noise --transcribe', () => {
  it('recognises the words at every ratio, and counts their errors', async () => {
    const deaf = await json(...own);
    const before = LEVELS.map((level) => happyAt('own/stage1', level));
    const { noise: result } = await json(...own, '--transcribe', 'rec');
    expect(result.words).toBe('recognised');
    expect(result.recogniser).toEqual({
      ...{ name: 'rec', beam: 1 },
      weights_sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      vocabulary_sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(deaf.noise.recogniser).toBeUndefined();
    expect(deaf.noise.levels[0].wer).toBeUndefined();
    expect(result.levels[0]).toMatchObject(deaf.noise.levels[0]);

    const { utterances } = await readManifest(work.path('heard/manifest.csv'));
    const test = utterances.filter(({ split }) => split === 'test');
    const heard = readFileSync(journal(), 'utf8')
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => (JSON.parse(line) as { text: string }).text);
    expect(heard).toHaveLength(LEVELS.length * test.length);
    const { createHash } = await import('node:crypto');
    const expected: string[][] = [];
    for (const { path } of test) {
      expected.push(await textsOf(path, createHash('sha256').update(readFileSync(path)).digest('hex')));
    }
    expect(heard.toSorted()).toEqual(expected.flat().toSorted());
    expect(new Set(heard).size).toBeGreaterThan(4);
    const rate = (texts: readonly string[]): number => {
      const counts = test.map(
        ({ text }, index) => textEdits(plainText(text), plainText(texts[index]!)).words,
      );
      return counts.reduce((sum, { edits }) => sum + edits, 0) / counts.reduce((sum, { of }) => sum + of, 0);
    };
    expect(result.levels.map(({ wer }: { wer: number }) => wer)).toEqual([
      rate(test.map(({ recognised }) => recognised!)),
      ...LEVELS.map((_, level) => rate(expected.map((texts) => texts[level]!))),
    ]);

    // A corpus whose recognised texts are those under noise gives the same predictions with its words as they are.
    for (const [index, level] of LEVELS.entries()) {
      const rows = csvRows(work, 'heard/manifest.csv').map((row) => {
        const at = test.findIndex(({ id }) => id === row.id);
        const recognised = at < 0 ? row.recognised : expected[at]![index]!;
        return Object.values({ ...row, recognised }).map((cell) => `"${cell}"`);
      });
      const header = work.read('heard/manifest.csv').toString().split('\n', 1);
      work.file(`heard/noisy${level}.csv`, `${[header, ...rows].join('\n')}\n`);
      const at = ['--noise', String(level), '--resamples', '200'];
      await work.done('eval', '--run', 'own/stage1', '--manifest', `heard/noisy${level}.csv`, ...at);
      const there = happyAt(`own/stage1/cross/noisy${level}`, level);
      expect(there).toHaveLength(test.length);
      // On another corpus, probabilities are divided by their sum over the shared classes.
      expect(largest(there, happyAt('own/stage1', level))).toBeLessThan(1e-6);
      expect(largest(there, before[index]!)).toBeGreaterThan(1e-4);
    }
  });

  it('shows the error rate in tables, as CSV and in the report', async () => {
    const { stdout } = await work.done(...own, '--transcribe', 'rec');
    const [, table] = stdout.split('Results under noise\n');
    const [header, clean] = table!.split('\n');
    expect(header).toMatch(/ECE % +WER %$/);
    const { levels } = JSON.parse(work.read('own/stage1/noise.json').toString());
    expect(clean).toMatch(new RegExp(`${(100 * levels[0].wer).toFixed(1)}  n = 8$`));
    expect(table).toContain(
      'Words were recognised at every ratio by rec; their error rate (WER) is against the given words, in lower case and without punctuation.',
    );
    const csv = (await work.done(...own, '--transcribe', 'rec', '--format', 'csv')).stdout;
    const rates = csv.split('\n').filter((line) => line.includes(',wer,'));
    expect(rates.map((line) => line.split(',').slice(2, 5))).toEqual(
      ['clean', ...LEVELS].map((part, level) => [String(part), 'wer', String(levels[level].wer)]),
    );
    await work.done('report', '--run', 'own', '--stage', '1');
    const page = work.read('own/stage1/report.html').toString();
    expect(page).toContain('Words were recognised at every ratio by rec');
    expect(page).toContain('>WER<');
  });

  it('recognises each clip once, and goes on where it was stopped', async () => {
    const whole = fileDigests(work, 'own/stage1');
    const kept = readFileSync(journal(), 'utf8');
    const lines = kept.split('\n');
    // A text in the journal is taken, one that was cut off is not.
    writeFileSync(journal(), `${lines.slice(0, 4).join('\n')}\n${lines[4]!.slice(0, 30)}`);
    await work.done(...own, '--transcribe', 'rec');
    expect(readFileSync(journal(), 'utf8').split('\n').toSorted()).toEqual(lines.toSorted());
    expect(fileDigests(work, 'own/stage1')).toMatchObject({ 'noise.json': whole['noise.json'] });
    const marked = kept.replace(/"text":"[^"]*"/, '"text":"from the journal"');
    writeFileSync(journal(), marked);
    await work.done(...own, '--transcribe', 'rec');
    expect(readFileSync(journal(), 'utf8')).toBe(marked);
    expect(fileDigests(work, 'own/stage1')['noise.json']).not.toBe(whole['noise.json']);
    writeFileSync(journal(), kept);
    await work.done(...own, '--transcribe', 'rec');
    expect(fileDigests(work, 'own/stage1')['noise.json']).toBe(whole['noise.json']);
  });

  it('adds up the errors of folds and seeds', async () => {
    const folds = ['--set', 'folds=session', '--set', 'validation=none', '--set', 'stage1.epochs=1'];
    const { utterances } = await readManifest(work.path('heard/manifest.csv'));
    const sessions = String(new Set(utterances.map(({ session }) => session)).size);
    const of = ['--run', 'both', '--folds', sessions];
    await work.done('stage1', '--recipe', 'own.yaml', ...folds, ...of, '--seeds', '1,2');
    const scored = ['eval', ...of, '--stage', '1', ...noise, '--transcribe', 'rec'];
    const { noise: result, n } = await json(...scored, '--seeds', 'all');
    expect(n).toBe(2 * utterances.length);
    const counts = utterances.map(
      ({ text, recognised }) => textEdits(plainText(text), plainText(recognised!)).words,
    );
    expect(result.levels[0].wer).toBeCloseTo(
      counts.reduce((sum, { edits }) => sum + edits, 0) /
        counts.reduce((sum, { of: words }) => sum + words, 0),
      12,
    );
    expect(result.levels.every(({ wer }: { wer: number | null }) => wer !== null)).toBe(true);
  });

  it('scores bundles and ensembles alike', async () => {
    const { noise: alone } = await json(...own, '--transcribe', 'rec');
    await work.done('export', 'bundle', '--run', 'own/stage1', '-o', 'bundle');
    const bundle = ['eval', '--bundle', 'bundle', '--recipe', 'own.yaml', ...noise];
    const { noise: bundled } = await json(...bundle, '--transcribe', 'rec');
    expect(bundled.levels.map(({ wa, wer }: { wa: number; wer: number }) => [wa, wer])).toEqual(
      alone.levels.map(({ wa, wer }: { wa: number; wer: number }) => [wa, wer]),
    );
    // A member that reads no words hears the same noise.
    await work.done('stage1', '--recipe', 'own.yaml', '--run', 'sound', '--set', 'inputs=audio');
    const both = ['eval', '--run', 'own/stage1', '--run', 'sound/stage1', ...noise];
    const { noise: mean } = await json(...both, '--transcribe', 'rec');
    expect(mean.recogniser).toEqual(alone.recogniser);
    expect(mean.levels.map(({ wer }: { wer: number }) => wer)).toEqual(
      alone.levels.map(({ wer }: { wer: number }) => wer),
    );
    expect(await work.refused('eval', '--run', 'sound/stage1', ...noise, '--transcribe', 'rec')).toBe(
      'error: --transcribe: sound/stage1 reads no words; leave it out',
    );
  });

  it('says how many of the words under noise are cut', async () => {
    await work.done('stage1', '--recipe', 'own.yaml', '--run', 'short', '--set', 'max_text_tokens=3');
    const scored = ['eval', '--run', 'short/stage1', ...noise];
    const { stderr } = await work.done(...scored, '--transcribe', 'rec');
    expect(stderr).toMatch(
      /^short\/stage1: under noise, cut to 3 tokens for the Former \(max_text_tokens\): [1-9]\d? of 16 transcripts$/m,
    );
    expect((await work.done(...scored)).stderr).not.toContain('under noise, cut');
  });

  it('warns if the recogniser of the corpus is not known', async () => {
    const table = csvRows(work, 'heard/manifest.csv').map(
      ({ id, path, text, recognised, label, split }) =>
        `${id},heard/${path},"${text}",${recognised},${label},${split}`,
    );
    work.file('table.csv', `id,path,text,recognised,label,split\n${table.join('\n')}\n`);
    await work.done('prepare-csv', 'table.csv', '--name', 'table', '--out', 'table');
    const { stderr } = await work.done(
      ...['eval', '--run', 'own/stage1', '--manifest', 'table/manifest.csv'],
      ...[...noise, '--transcribe', 'rec'],
    );
    expect(stderr).toContain(
      'warning: whether the texts without noise are of rec too is not known, because they come from the column "recognised" of the table\n',
    );
  });

  it('is refused with what would make figures differ by more than noise', async () => {
    expect(await work.refused(...own, '--transcribe', 'other-rec')).toBe(
      'error: --transcribe other-rec is not the recogniser of the corpus, rec (other weights or another vocabulary); name that one, so that results differ by the noise alone',
    );
    expect(await work.refused('eval', '--run', 'own/stage1', '--transcribe', 'rec')).toBe(
      'error: --transcribe is for --noise; say at which ratios to add it, such as --noise 20,10,0',
    );
    expect(await work.refused(...own, '--transcribe', 'toy/backbones/hubert')).toContain(
      'it is not a speech recogniser',
    );
    await work.done('stage1', '--recipe', 'own.yaml', '--run', 'given', '--set', 'text=given');
    expect(await work.refused('eval', '--run', 'given/stage1', ...noise, '--transcribe', 'rec')).toBe(
      'error: --transcribe: given/stage1 was trained on given words (text: given), which noise does not change; leave it out, or train with text: recognised',
    );
  });
});
