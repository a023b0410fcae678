/** @file An encoder exported by Hugging Face Optimum in the place of emoq's own, from the dry run to predictions. */

import { cpSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { csvRows, listing, makeWorkspace, metricsOf, toyRecipe } from './workspace.js';

const work = makeWorkspace('exported-encoder');
afterAll(() => work.remove());

const fixtures = fileURLToPath(new URL('../fixtures/', import.meta.url));
// 1,333 frames a second: a quarter of a second is enough.
const recipe = toyRecipe('toy', {
  max_audio_sec: 0.25,
  former: { queries: 4, pooling_heads: 4, head_hidden: 32, dropout: 0, attention_dropout: 0 },
  stage1: { epochs: 1, batch_size: 8, learning_rate: 1e-3, select: 'last' },
});
const own = ['--recipe', 'small.yaml', '--set', 'backbones.encoder=hubert'];
const exported = (onnx: string) => [
  ...['--recipe', 'small.yaml', '--set', 'backbones.encoder=optimum'],
  ...['--set', `backbones.encoder_onnx=${onnx}`],
];
const withGraph = exported('optimum/model.onnx');

beforeAll(async () => {
  work.file('small.yaml', recipe);
  cpSync(join(fixtures, 'hubert', 'large-odd'), work.path('hubert'), { recursive: true });
  cpSync(join(fixtures, 'optimum-hubert', 'large-odd'), work.path('optimum'), { recursive: true });
  cpSync(join(fixtures, 'optimum-hubert', 'base-odd', 'model.onnx'), work.path('narrow.onnx'));
  await work.done('prepare-toy', '--out', 'toy', '--speakers', '5', '--utterances', '4');
});

describe('a recipe with backbones.encoder_onnx', () => {
  it('is checked by a dry run', async () => {
    const before = listing(work.dir);
    const { stdout } = await work.done('stage1', ...withGraph, '--dry-run');
    expect(stdout).toMatch(/^ {2}encoder_onnx: optimum\/model\.onnx$/m);
    expect(listing(work.dir)).toEqual(before);
    expect(await work.refused('stage1', ...exported('no.onnx'), '--dry-run')).toBe(
      'error: encoder no.onnx does not exist',
    );
  });

  it('trains, scores and predicts as the checkpoint does from which the graph was made', async () => {
    await work.done('stage1', ...own, '--run', 'own');
    await work.done('stage1', ...withGraph, '--run', 'exported');
    const [ofOwn, ofExported] = [metricsOf(work, 'own/stage1'), metricsOf(work, 'exported/stage1')];
    expect(ofExported).toHaveLength(ofOwn.length);
    ofExported.forEach(({ loss }, line) => {
      if (loss !== undefined) expect(loss).toBeCloseTo(ofOwn[line]!.loss!, 2);
    });

    const scores: unknown[] = [];
    const probabilities: number[][] = [];
    for (const run of ['own', 'exported']) {
      const { stdout } = await work.done('eval', '--run', run, '--stage', '1', '--json');
      scores.push((JSON.parse(stdout) as { confusion: unknown }).confusion);
      await work.done('predict', 'toy/manifest.csv', '-o', `${run}.csv`, '--run', run);
      const rows = csvRows(work, `${run}.csv`);
      expect(rows).toHaveLength(20);
      probabilities.push(rows.map(({ prob_sad }) => Number(prob_sad)));
    }
    expect(scores[1]).toEqual(scores[0]);
    probabilities[1]!.forEach((value, row) => {
      expect(value).toBeCloseTo(probabilities[0]![row]!, 2);
    });
  });

  it('keeps its features apart from those of the checkpoint', () => {
    const caches = readdirSync(work.path('..', 'features'), { withFileTypes: true });
    expect(caches.filter((entry) => entry.isDirectory())).toHaveLength(2);
  });

  it('is refused in one line where the graph does not fit, or is gone', async () => {
    expect(await work.refused('stage1', ...exported('narrow.onnx'), '--run', 'x')).toMatch(
      /^error: encoder narrow\.onnx gives last_hidden_state of width 10, where .* hidden_size 21;/,
    );
    expect(await work.refused('stage1', ...exported('small.yaml'), '--run', 'x')).toBe(
      'error: encoder small.yaml is not an ONNX file, or is cut short',
    );
    renameSync(work.path('optimum', 'model.onnx'), work.path('moved.onnx'));
    const gone = 'error: encoder optimum/model.onnx does not exist';
    expect(await work.refused('eval', '--run', 'exported', '--stage', '1')).toBe(gone);
    expect(await work.refused('predict', 'toy/manifest.csv', '-o', 'x.csv', '--run', 'exported')).toBe(gone);
  });
});
