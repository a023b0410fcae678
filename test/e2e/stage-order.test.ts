/** @file Consecutive stages: problems of stage 2 are reported before stage 1, and both use one recipe. */

import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeWorkspace, shortPrompt, toyRecipe } from './workspace.js';

const work = makeWorkspace('stage-order');
afterAll(() => work.remove());

const recipe = ['--recipe', 'small.yaml'];
const set = (...overrides: string[]): string[] => overrides.flatMap((override) => ['--set', override]);

beforeAll(async () => {
  await work.toyCorpus(5, 4);
  const settings = {
    former: { queries: 4, pooling_heads: 4, head_hidden: 32 },
    prompt: shortPrompt,
    stage1: { epochs: 1, batch_size: 8, learning_rate: 1e-3 },
    stage2: { epochs: 1, batch_size: 8, learning_rate: 1e-3 },
  };
  work.file('small.yaml', toyRecipe('toy', settings));
});

/** Runs `use` while a file or folder of the workspace is moved away. */
async function withoutFile(name: string, use: () => Promise<void>): Promise<void> {
  renameSync(work.path(name), work.path('away'));
  await use().finally(() => renameSync(work.path('away'), work.path(name)));
}

/** Runs `use` with a JSON file modified. */
async function withJson(name: string, changes: object, use: () => Promise<void>): Promise<void> {
  const before = readFileSync(work.path(name), 'utf8');
  writeFileSync(work.path(name), JSON.stringify({ ...JSON.parse(before), ...changes }));
  await use().finally(() => writeFileSync(work.path(name), before));
}

describe('label words that the language model cannot tell apart', () => {
  // Neither is a word of the toy tokenizer: both begin with its token for a space.
  const words = set('label_words={neutral: xalm, happy: xaln}');
  const message =
    /^error: label_words: label words "xalm" and "xaln" begin with the same token " " in \S*toy\/backbones\/qwen2\/tokenizer\.json; choose other words \(--set label_words\.LABEL=WORD changes one\)$/;

  it.each([
    ['stage 1', ['stage1']],
    ['its dry run', ['stage1', '--dry-run']],
    ['stage 2', ['stage2', '--set', 'stage2.from_stage1=false']],
    ['its dry run', ['stage2', '--dry-run']],
    ['several runs, once for all', ['stage1', '--seeds', '1,2']],
    ['several runs at a time', ['stage1', '--seeds', '1,2', '--jobs', '2']],
  ])('are refused by %s', async (_, command) => {
    expect(await work.refused(...command, ...recipe, ...words)).toMatch(message);
  });

  it.each(['1', '2'])(
    'are found by the dry run of stage %s without corpus and RoBERTa weights',
    async (stage) => {
      await withoutFile('toy/manifest.csv', () =>
        withoutRoberta(async () => {
          expect(await work.refused(`stage${stage}`, '--dry-run', ...recipe, ...words)).toMatch(message);
        }),
      );
    },
  );

  async function withoutRoberta(use: () => Promise<void>): Promise<void> {
    const file = 'toy/backbones/roberta/tokenizer.json';
    renameSync(work.path(file), work.path('tokenizer-away'));
    await use().finally(() => renameSync(work.path('tokenizer-away'), work.path(file)));
  }

  it('are found by the doctor, but for stage 1 alone without a language model', async () => {
    const { code, stdout } = await work.run('doctor', ...recipe, ...words);
    expect(code).toBe(1);
    expect(stdout).toMatch(
      /^missing +recipe +label_words: label words "xalm" and "xaln" begin with the same/m,
    );
    expect(stdout.trim().split('\n').at(-1)).toBe(
      'not ready: the experiment small cannot run: missing recipe',
    );
    await withoutFile('toy/backbones/qwen2', async () => {
      await work.done('doctor', ...recipe, ...words, '--stage', '1');
    });
  });

  it('do not stop a run that has begun, but are reported', async () => {
    const run = [...recipe, ...words, '--run', 'begun'];
    await withoutFile('toy/backbones/qwen2', async () => {
      const { stderr } = await work.done('stage1', ...run);
      expect(stderr).toMatch(/^warning: stage 2 needs its language model: .*qwen2 does not exist/m);
      expect(stderr.match(/warning/g)).toHaveLength(1);
    });
    await withJson(
      'begun/stage1/run.json',
      { status: 'training', trained: null, selected: null },
      async () => {
        const { stderr } = await work.done('stage1', ...run);
        expect(stderr).toMatch(
          /^warning: stage 2 will not start: label_words: label words "xalm" and "xaln"/m,
        );
      },
    );
  });
});

describe('what stage 2 refuses in a recipe is reported by stage 1 and by every dry run:', () => {
  it('a prompt that is longer than the language model reads, of the test set too', async () => {
    const test = work
      .read('toy/manifest.csv')
      .toString()
      .split('\n')
      .find((line) => line.includes(',test,'))!;
    const id = test.split(',')[0]!;
    const before = readFileSync(work.path('toy/manifest.csv'), 'utf8');
    const long = before.replace(
      `${test.split(',').slice(0, 3).join(',')}`,
      (start) => `${start}${' sad'.repeat(700)}`,
    );
    writeFileSync(work.path('toy/long.csv'), long);
    await withJson('toy/backbones/qwen2/config.json', { max_position_embeddings: 512 }, async () => {
      for (const command of [['stage1'], ['stage1', '--dry-run'], ['stage2', '--dry-run']]) {
        expect(await work.refused(...command, ...recipe, '--manifest', 'toy/long.csv')).toMatch(
          new RegExp(
            `^error: utterance ${id}: its prompt of 7\\d\\d tokens is longer than the 512 that .*; shorten`,
          ),
        );
      }
      expect(
        await work.refused(
          'stage2',
          ...recipe,
          '--manifest',
          'toy/long.csv',
          ...set('stage2.from_stage1=false'),
        ),
      ).toContain(`utterance ${id}: its prompt of 7`);
    });
  });

  it('patience without a metric that ranks epochs', async () => {
    const patient = [...recipe, ...set('stage2.patience=2', 'stage2.select=last')];
    for (const command of [['stage1'], ['stage1', '--dry-run'], ['stage2', '--dry-run']]) {
      expect(await work.refused(...command, ...patient)).toContain(
        'stage2.patience 2 waits for a better epoch',
      );
    }
  });
});

describe('stage 2 behind a stage 1 of another recipe', () => {
  const run = ['--run', 'other'];
  const ofStage1 = set('former.queries=6', 'label_map={calm: neutral}', 'stage1.epochs=2');

  it('lists the keys that differ with both values, and what to add', async () => {
    await work.done('stage1', ...recipe, ...ofStage1, ...run);
    const message =
      'error: stage 2 starts from the run in other/stage1, whose recipe differs: label_map.calm is "neutral" there and absent here; former.queries is 6 there and 4 here; ' +
      'add --set \'label_map.calm="neutral"\' --set former.queries=6, or train stage 1 anew with this recipe, in another --run folder';
    expect(await work.refused('stage2', ...recipe, ...run)).toBe(message);
    expect(await work.refused('stage2', ...recipe, ...run, '--dry-run')).toBe(message);
    for (const [key, there] of [
      ['seed=2', 'seed is 1 there and 2 here'],
      ['inputs=audio', 'inputs is "both" there and "audio" here'],
      ['max_audio_sec=5', 'max_audio_sec is 30 there and 5 here'],
      ['validation=share', 'validation is "split" there and "share" here'],
    ] as const) {
      expect(await work.refused('stage2', ...recipe, ...ofStage1, ...run, '--set', key)).toContain(there);
    }
  });

  it('goes by the content of the manifest, whatever it is called', async () => {
    work.file('toy/same.csv', work.read('toy/manifest.csv'));
    work.file('toy/other.csv', `${work.read('toy/manifest.csv').toString().trimEnd()}\n\n`);
    const stage2 = ['stage2', ...recipe, ...ofStage1, ...run, '--dry-run'];
    await work.done(...stage2, '--manifest', 'toy/same.csv');
    expect(await work.refused(...stage2, '--manifest', 'toy/other.csv')).toContain(
      'manifest is toy/manifest.csv there and toy/other.csv here; add --manifest toy/manifest.csv, or train',
    );
  });

  it('starts where what differs is of one stage alone, and says what stage 1 was trained with', async () => {
    const shared = ofStage1.slice(0, 4);
    const own = set('lora.rank=4', 'stage2.epochs=2', 'keep_checkpoints=0', 'label_words.sad=sad');
    const { stderr } = await work.done('stage2', ...recipe, ...shared, ...own, ...run);
    expect(stderr).toContain(
      'stage 2 starts from the run in other/stage1, which was trained with other settings: stage1.epochs is 2 there and 1 here\n',
    );
    const again = await work.done('stage2', ...recipe, ...shared, ...own, ...run);
    expect(again.stderr).toContain('stage 2 is already finished');
  });

  it('is not asked for one that it does not start from', async () => {
    const { stderr } = await work.done(
      'stage2',
      ...recipe,
      ...run,
      ...set('stage2.from_stage1=false'),
      '--dry-run',
    );
    expect(stderr).not.toContain('starts from');
  });
});
