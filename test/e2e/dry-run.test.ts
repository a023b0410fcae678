/** @file `--dry-run` of the full-size recipe on a machine without its weights or corpus. */

import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { readManifest } from '../../src/data/corpora/index.js';
import { listing, makeWorkspace, toyRecipe } from './workspace.js';

const work = makeWorkspace('dry-run');
afterAll(() => work.remove());

describe('--dry-run', () => {
  // RoBERTa-base with queries and cross-attention; Qwen2.5-7B-Instruct has 7.6 billion parameters.
  it.each([
    [1, /^parameters: 1\d\d,\d{3},\d{3} trained, 38,603,520 frozen$/m],
    [2, /^parameters: 1\d\d,\d{3},\d{3} trained, 7,6\d\d,\d{3},\d{3} frozen$/m],
  ])('of stage %i of meld7 builds the whole graph', async (stage, parameters) => {
    const outcome = await work.done(`stage${stage}`, '--dataset', 'meld7', '--dry-run');
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

  const cuda = /^memory on CUDA: about (\d+\.\d) GiB \(([\d.]+) [GM]iB frozen weights, /m;

  it('shows the memory of each precision on CUDA, and what fits into cards of four sizes', async () => {
    const stage2 = ['stage2', '--dataset', 'meld7', '--dry-run'];
    const [half, whole] = [
      await work.done(...stage2),
      await work.done(...stage2, '--precision', 'float32'),
    ].map(({ stderr }) => stderr) as [string, string];
    // 7.6 billion weights in two bytes each and RoBERTa's word embeddings; twice the bytes in float32, but for the
    // table of word embeddings, of which rows are read.
    expect(Number(cuda.exec(half)![2])).toBeCloseTo((7_615_616_512 * 2 + 38_603_520 * 4) / 2 ** 30, 1);
    expect(Number(cuda.exec(whole)![2])).toBeGreaterThan(26);
    expect(half).toContain(', with bfloat16 products\n');
    expect(half).toMatch(
      /^--fit 24GB \(22\.4 GiB\): stage 2 .*--set stage2\.activation_checkpointing=true.* 2\d\.\d GiB/m,
    );
    for (const card of [48, 80, 140])
      expect(half).toMatch(
        new RegExp(`^--fit ${card}GB \\([\\d.]+ GiB\\): stage 2 fits as it is, about 3\\d\\.\\d GiB$`, 'm'),
      );
    expect(whole).toMatch(/^--fit 24GB .*: stage 2 needs at least 3\d\.\d GiB .*emoq quantize/m);
  });

  it('fits a phase into the memory that is named, keeping what is set', async () => {
    const stage1 = ['stage1', '--dataset', 'meld7', '--dry-run', '--set', 'stage1.batch_size=64'];
    const full = Number(cuda.exec((await work.done(...stage1)).stderr)![1]);
    const asGiven = ['--set', 'stage1.activation_checkpointing=false'];
    const fitted = await work.done(...stage1, ...asGiven, '--fit', `${(full * 0.85).toFixed(1)}GiB`);
    const settings = parse(fitted.stdout).stage1;
    expect(settings).toMatchObject({ batch_size: 64, activation_checkpointing: false });
    expect(settings.accumulate).toBeGreaterThan(1);
    expect(fitted.stderr).toMatch(
      new RegExp(
        `^--fit \\d+\\.\\d GiB: stage 1 fits with .*--set stage1.accumulate=${settings.accumulate} \\(.*contrastive loss`,
        'm',
      ),
    );
    expect(Number(cuda.exec(fitted.stderr)![1])).toBeLessThanOrEqual(full * 0.85 + 0.05);
    const kept = await work.refused(...stage1, '--set', 'stage1.accumulate=1', '--fit', '4GiB');
    expect(kept).toMatch(/^error: --fit: stage 1 needs at least \d+\.\d GiB .*more than 4\.0 GiB$/m);
    expect(kept).not.toContain('accumulate');
    const run = ['stage1', '--dataset', 'meld7', '--device', 'cpu', '--fit', '24GB'];
    expect(await work.refused(...run)).toContain(
      '--fit is for the memory of a CUDA device, and this computes on cpu',
    );
  });

  it('sizes a step in micro-batches, and says what they change', async () => {
    const gibOf = (stderr: string): number => Number(/^memory: about (\d+\.\d) GiB/m.exec(stderr)![1]);
    const stage2 = ['stage2', '--dataset', 'meld7', '--dry-run', '--set', 'stage2.batch_size=32'];
    const whole = await work.done(...stage2);
    const micro = await work.done(...stage2, '--set', 'stage2.accumulate=16');
    expect(micro.stderr).toContain(' one step at 16 micro-batches of 2, 250 frames, ');
    expect(micro.stderr).not.toContain('warning');
    expect(gibOf(micro.stderr)).toBeLessThan(gibOf(whole.stderr) - 10);
    const stage1 = ['stage1', '--dataset', 'meld7', '--dry-run'];
    const { stderr } = await work.done(...stage1, '--set', 'stage1.accumulate=4');
    expect(stderr).toMatch(
      /^warning: stage1\.accumulate 4: the contrastive loss compares the 2 utterances /m,
    );
    const focal = [...stage1, '--set', 'stage1.scl_weight=0', '--set', 'stage1.accumulate=8'];
    expect((await work.done(...focal)).stderr).not.toContain('warning');
    expect(await work.refused(...stage1, '--set', 'stage1.accumulate=8')).toContain(
      'stage1.accumulate 8 leaves one utterance in each micro-batch of batch_size 8',
    );
  });

  it("sizes a stage-2 step by the length of the recipe's own prompt", async () => {
    const tokensWith = async (system: string): Promise<number> => {
      const args = ['--dataset', 'meld7', '--dry-run', '--set', `prompt.system=${system}`];
      const { stderr } = await work.done('stage2', ...args);
      return Number(/^memory: .*, prompt (\d+)/m.exec(stderr)![1]);
    };
    const long = `Listen. ${'Think of the voice as well as of the words. '.repeat(40)}Choose from {labels}.`;
    // 128 by default. 1,800 characters more, at 4 to 5 a token.
    expect(await tokensWith(long)).toBeGreaterThan(128 + 250);
    expect(await tokensWith('""')).toBeLessThan(128);
  });

  it('counts the steps of a corpus that is there, and overrides show', async () => {
    await work.toyCorpus(5, 4);
    work.file('toy.yaml', toyRecipe('toy', { former: { pooling_heads: 4 } }));
    const before = listing(work.dir);
    const args = ['--dry-run', '--set', 'stage1.batch_size=5', '--set', 'stage1.epochs=3'];
    const { stdout, stderr } = await work.done('stage1', '--recipe', 'toy.yaml', ...args);
    expect(parse(stdout)).toMatchObject({ stage1: { batch_size: 5, epochs: 3 } });
    expect(stderr).toMatch(/^steps: 3 per epoch, 9 in all, 12 training utterances$/m);
    expect(listing(work.dir)).toEqual(before);
  });

  it('sizes the largest step of the corpus that is there, as training then finds it', async () => {
    const set = ['--set', 'stage1.epochs=2', '--set', 'stage1.batch_size=5'];
    const stage1 = ['stage1', '--recipe', 'toy.yaml', ...set];
    const planned = await work.done(...stage1, '--dry-run');
    const size = /one step at (batch 5, (\d+) frames, \d+ text tokens): the largest step of epochs 1 to 2, /m;
    const [, shape, frames] = size.exec(planned.stderr)!;
    const durations = (await readManifest(join(work.dir, 'toy/manifest.csv'))).utterances
      .filter(({ split }) => split === 'train')
      .map(({ durationSec }) => durationSec);
    expect(Number(frames)).toBe(Math.floor(50 * Math.max(...durations)));
    const { stderr } = await work.done(...stage1);
    const made = /\(estimated: [\d,]+ MiB for its largest step: batch 5, (\d+) frames, (\d+) text tokens\)/m;
    const [, ownFrames, ownText] = made.exec(stderr)!;
    expect(shape).toContain(` ${ownText} text tokens`);
    expect(Number(frames) - Number(ownFrames)).toBeLessThanOrEqual(1);
    const cut = await work.done(...stage1, '--dry-run', '--set', 'max_audio_sec=1');
    expect(cut.stderr).toContain('one step at batch 5, 50 frames, ');
  });
});

it('of a recipe that emoq and the working directory both have is refused, whose would be read in silence', async () => {
  const own = makeWorkspace('shadowed');
  own.file('meld4.yaml', 'base: meld7\n');
  const refused = await own.refused('stage1', '--dataset', 'meld4', '--dry-run');
  expect(refused).toContain(
    '--dataset meld4: is a recipe that comes with emoq, and there is meld4.yaml here',
  );
  await own.done('stage1', '--recipe', 'meld4.yaml', '--dry-run');
  await own.done('stage1', '--dataset', 'meld7', '--dry-run');
  own.remove();
});
