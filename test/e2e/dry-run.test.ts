/** @file `--dry-run` of the full-size recipe on a machine that has neither its weights nor its corpus. */

import { afterAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { listing, makeWorkspace, toyRecipe } from './workspace.js';

const work = makeWorkspace('dry-run');
afterAll(() => work.remove());

describe('--dry-run', () => {
  // RoBERTa-base with queries and cross-attention; Qwen2.5-7B-Instruct has 7.6 billion parameters.
  it.each([
    [1, /^parameters: 1\d\d,\d{3},\d{3} trained, 38,603,520 frozen$/m],
    [2, /^parameters: 1\d\d,\d{3},\d{3} trained, 7,6\d\d,\d{3},\d{3} frozen$/m],
  ])('of stage %i of meld7 builds the whole graph in seconds', async (stage, parameters) => {
    const outcome = await work.done(`stage${stage}`, '--dataset', 'meld7', '--dry-run');
    expect(outcome.elapsedMs).toBeLessThan(10_000);
    expect(parse(outcome.stdout)).toMatchObject({
      name: 'meld7',
      seed: 1,
      backbones: { llm: 'Qwen/Qwen2.5-7B-Instruct' },
      [`stage${stage}`]: { batch_size: 8, learning_rate: 1e-5 },
    });
    expect(outcome.stderr).toMatch(parameters);
    expect(outcome.stderr).toMatch(/^memory: about \d+\.\d GiB \(.* one step at batch 8, /m);
    expect(outcome.stderr).toMatch(/^graph: [\d,]{5,} nodes in a step, built in \d+\.\d s$/m);
    expect(outcome.stderr).toMatch(/^steps: not known, manifest data\/meld\/manifest\.csv does not exist/m);
    expect(listing(work.dir)).toEqual({});
  });

  it('counts the steps of a corpus that is there, and overrides show', async () => {
    await work.done('prepare-toy', '--out', 'toy', '--speakers', '5', '--utterances', '4');
    work.file('toy.yaml', toyRecipe('toy', { former: { pooling_heads: 4 } }));
    const before = listing(work.dir);
    const args = ['--dry-run', '--set', 'stage1.batch_size=5', '--set', 'stage1.epochs=3'];
    const { stdout, stderr } = await work.done('stage1', '--recipe', 'toy.yaml', ...args);
    expect(parse(stdout)).toMatchObject({ stage1: { batch_size: 5, epochs: 3 } });
    expect(stderr).toMatch(/^steps: 3 per epoch, 9 in all, 12 training utterances$/m);
    expect(listing(work.dir)).toEqual(before);
  });
});
