/** @file Results files: round trip, and damaged files rejected with their key. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { InputError } from '../../src/base/index.js';
import { evaluationOf, evaluationResult, foldMetrics, readResults } from '../../src/evaluation/index.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-results-'));
afterAll(() => rmSync(folder, { recursive: true }));

const path = join(folder, 'results.json');
const LABELS = ['joy', 'anger'];
const outcomes = ['joy', 'joy', 'anger'].map((reference) => ({ reference, label: 'joy' }));
const folds = [1, 2].map((fold) => ({ fold: String(fold), outcomes }));
const evaluation = evaluationOf(foldMetrics(folds, LABELS), [outcomes, outcomes], {
  ...{ level: 0.95, resamples: 100, seed: 1, unit: 'utterance' as const },
});
const written = evaluationResult(evaluation, {
  name: 'demo',
  versions: { emoq: '0.1.0' },
  metadata: { stage: 1, split: '2 of 3 folds' },
  missing: [{ fold: '3' }],
});

async function refusal(content: unknown): Promise<string> {
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  const error = await readResults(path).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(InputError);
  expect((error as Error).message).toMatch(/^.{1,1200}$/);
  return (error as Error).message;
}

describe('results.json', () => {
  it('is read back as it was written, and without what an earlier emoq did not write', async () => {
    writeFileSync(path, JSON.stringify(written));
    const { name, wa, ua, wf1, n, versions, metadata, missing, intervals } = written;
    const read = await readResults(path);
    expect(read).toMatchObject({ name, wa, ua, wf1, n, versions, metadata, missing });
    expect(read.intervals!.wa).toEqual(intervals!.wa);
    expect(read.folds!.map(({ fold, wa: own }) => [fold, own])).toEqual(
      written.folds!.map(({ fold, wa: own }) => [fold, own]),
    );
    writeFileSync(path, JSON.stringify({ wa, ua, wf1, n }));
    expect(await readResults(path)).toEqual({ wa, ua, wf1, n });
  });

  it('is read with `facts`, the former name of `metadata`', async () => {
    const { metadata, ...rest } = written;
    writeFileSync(path, JSON.stringify({ ...rest, facts: metadata }));
    const read = await readResults(path);
    expect(read.metadata).toEqual(metadata);
    expect(read).not.toHaveProperty('facts');
    expect(await refusal({ ...rest, facts: { stage: {} } })).toContain('key facts.stage: ');
  });

  it.each<[string, unknown, string]>([
    ['wa', null, 'key wa: '],
    ['n', -1, 'key n: '],
    ['n', undefined, 'key n: is missing'],
    ['folds', { fold: '1' }, 'key folds: '],
    ['folds', [{ fold: 1 }], 'key folds.0.fold: '],
    ['intervals', { wa: [0, 1] }, 'key intervals.wa: '],
    ['missing', ['3'], 'key missing.0: '],
    ['cross_corpus', { manifest: 3 }, 'key cross_corpus.manifest: '],
    ['versions', [], 'key versions: '],
    ['metadata', { stage: {} }, 'key metadata.stage: '],
  ])('with %s %j is refused', async (key, value, problem) => {
    expect(await refusal({ ...written, [key]: value })).toContain(`results ${path} are damaged, ${problem}`);
  });

  it('that is cut or nests without end is refused', async () => {
    const text = JSON.stringify(written);
    for (let length = 0; length < text.length; length += 7) {
      expect(await refusal(text.slice(0, length))).toContain('is not valid JSON');
    }
    expect(await refusal(`{"wa":${'['.repeat(1e5)}${']'.repeat(1e5)}}`)).toContain(
      'nests more than 200 levels deep',
    );
    expect(readFileSync(path, 'utf8')).toHaveLength(200_007);
  });
});
