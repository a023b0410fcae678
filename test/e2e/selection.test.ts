/**
 * @file What may affect a training run, and what must not: validation, patience, the test set, a loss that is not a
 * number.
 */

import { cpSync, existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import Papa from 'papaparse';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeWorkspace, metricsOf, shortPrompt, toyRecipe } from './workspace.js';

const work = makeWorkspace('selection');
afterAll(() => work.remove());

const settings = {
  former: { queries: 4, pooling_heads: 4, head_hidden: 64 },
  prompt: shortPrompt,
  stage1: { epochs: 2, batch_size: 4, learning_rate: 1e-3 },
  stage2: { epochs: 1, batch_size: 4, learning_rate: 1e-3 },
};
const train = (run: string, ...sets: string[]): string[] => [
  ...['stage1', '--recipe', 'small.yaml', '--run', run],
  ...sets.flatMap((set) => ['--set', set]),
];

beforeAll(async () => {
  work.file('small.yaml', toyRecipe('toy', settings));
  await work.toyCorpus(5, 8);
});

describe('training', () => {
  it('never looks at the test set: with other labels, other words and no audio there it ends the same', async () => {
    cpSync(work.path('toy'), work.path('blind'), { recursive: true });
    const options = { header: true, skipEmptyLines: true } as const;
    const { data: rows } = Papa.parse<Record<string, string>>(
      work.read('toy/manifest.csv').toString(),
      options,
    );
    const test = rows.filter(({ split }) => split === 'test');
    expect(test).toHaveLength(8);
    for (const row of test) {
      rmSync(work.path('blind', row.path!));
      row.text = 'other words';
      row.label = row.label === 'sad' ? 'happy' : 'sad';
    }
    writeFileSync(work.path('blind/manifest.csv'), Papa.unparse(rows));
    for (const stage of ['stage1', 'stage2']) {
      await work.done(stage, '--recipe', 'small.yaml', '--run', 'seen');
      await work.done(stage, '--recipe', 'small.yaml', '--run', 'unseen', '--manifest', 'blind/manifest.csv');
      for (const file of ['checkpoint.safetensors', 'training_state.safetensors', 'metrics.jsonl'])
        expect(work.read(`unseen/${stage}/${file}`).equals(work.read(`seen/${stage}/${file}`)), file).toBe(
          true,
        );
    }
    // The same holds for several runs, which are checked together before the first begins.
    const blind = ['--recipe', 'small.yaml', '--manifest', 'blind/manifest.csv', '--set', 'stage1.epochs=1'];
    await work.done('stage1', ...blind, '--run', 'unseen-seeds', '--seeds', '1,2');
    expect(existsSync(work.path('unseen/stage1/results.json'))).toBe(false);
    // An evaluation does need it.
    await work.refused('eval', '--run', 'unseen', '--stage', '1');
  });

  it('ends early when no epoch is better, says so, and records it', async () => {
    const sets = ['stage1.epochs=30', 'stage1.patience=2', 'stage1.select=loss', 'stage1.learning_rate=3e-3'];
    const { stderr } = await work.done(...train('early', ...sets));
    const { best, trained } = recorded('early');
    const line = `stage 1 ended early, after epoch ${trained.epochs}: no better loss since epoch ${best.epoch}\n`;
    expect(stderr).toContain(line);
    expect(trained).toEqual({ epochs: best.epoch + 2, steps: 6 * (best.epoch + 2) });
    expect(trained.epochs).toBeLessThan(30);
    const losses = metricsOf(work, 'early/stage1').flatMap(
      ({ validation }) => validation ?? [],
    ) as unknown as {
      nll: number;
    }[];
    expect(losses).toHaveLength(trained.epochs);
    expect(best.value).toBe(Math.min(...losses.map(({ nll }) => nll)));
    const { stderr: again } = await work.done(...train('early', ...sets));
    expect(again).toContain('is already finished');
  });

  it('warns once where the validation set is too small to choose by, unless nothing is chosen', async () => {
    const warning = /^warning: the validation set of \d+ utterances is small: its wa, /gm;
    const said = async (run: string, ...sets: string[]): Promise<number> =>
      ((await work.done(...train(run, ...sets))).stderr.match(warning) ?? []).length;
    expect(await said('small', 'stage1.select=wa')).toBe(1);
    expect(await said('small-last', 'stage1.select=last')).toBe(0);
    expect(await said('small-once', 'stage1.select=wa', 'stage1.epochs=1')).toBe(0);
    expect(await said('small-smoothed', 'stage1.select=smoothed', 'stage1.select_figure=wa')).toBe(0);
    const lines = metricsOf(work, 'small-smoothed/stage1').flatMap(({ validation }) => validation ?? []);
    const [first, second] = lines as unknown as { wa: number }[];
    // Both of two epochs are judged by their mean; the first one wins a tie.
    const best = { epoch: 1, metric: 'smoothed wa', value: (first!.wa + second!.wa) / 2 };
    expect(recorded('small-smoothed').best).toEqual(best);
    expect((await work.done('runs', '--root', 'small-smoothed')).stdout).toMatch(
      /smoothed wa [01]\.\d{4}, epoch 1/,
    );
  });

  it('without a validation set keeps the last epoch, and knows no patience', async () => {
    const bare = ['validation=none', 'stage1.epochs=1'];
    const manifest = work.read('toy/manifest.csv').toString().replaceAll(/,dev,/g, ',test,');
    work.file('toy/no-dev.csv', manifest);
    const command = [...train('bare', ...bare), '--manifest', 'toy/no-dev.csv'];
    expect(await work.refused(...command, '--set', 'stage1.patience=2')).toContain(
      'stage1.patience 2 needs a validation set, but there is none; set validation to share or speaker, or patience to 0',
    );
    await work.done(...command);
    expect(recorded('bare').best).toEqual({ epoch: 1, metric: null, value: null });
  });

  it('refuses patience where the last epoch is kept anyway', async () => {
    expect(await work.refused(...train('last', 'stage1.select=last', 'stage1.patience=1'))).toContain(
      'stage1.patience 1 waits for a better epoch, but stage1.select last never ranks epochs',
    );
  });

  it('refuses an interval between saved states that is no number of seconds', async () => {
    process.env.EMOQ_SAVE_INTERVAL = '10min';
    const message = await work.refused(...train('interval')).finally(() => {
      delete process.env.EMOQ_SAVE_INTERVAL;
    });
    expect(message).toContain('EMOQ_SAVE_INTERVAL is "10min"; it must be a number of seconds, such as 60');
  });

  it('stops at a step whose loss is not a number: one line with its utterances, exit code 1', async () => {
    // The similarities divided by this temperature are infinite.
    const { code, stdout, stderr } = await work.run(...train('broken', 'stage1.scl_temperature=1e-40'));
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    const [line, ...others] = stderr.split('\n').filter((text) => text.startsWith('error'));
    expect(others).toEqual([]);
    const ids = /^error: the (?:loss|gradient) is not finite at step 1 \(epoch 1\), made of (.*?); /.exec(
      line!,
    )?.[1];
    expect(ids?.split(', ')).toHaveLength(4);
    const known = work.read('toy/manifest.csv').toString();
    for (const id of ids!.split(', ')) expect(known).toContain(id);
    expect(stderr).not.toContain('--debug');
    expect(readdirSync(work.path('broken/stage1'))).not.toContain('training.lock');
  });
});

function recorded(run: string): {
  best: { epoch: number; metric: string | null; value: number | null };
  trained: { epochs: number; steps: number };
} {
  const metadata = JSON.parse(work.read(`${run}/stage1/run.json`).toString());
  expect(metadata.status).toBe('finished');
  return { best: metadata.selected, trained: metadata.trained };
}

describe('a stage 2 of another recipe than its stage 1', () => {
  const stage2 = (...sets: string[]): string[] => ['stage2', ...train('keys', ...sets).slice(1)];

  it('is refused with the keys that both stages read, and leaves nothing', async () => {
    await work.done(...train('keys', 'stage1.epochs=1', 'former.queries=2'));
    const message = await work.refused(...stage2());
    expect(message).toContain(
      'stage 2 starts from the run in keys/stage1, whose recipe differs: former.queries is 2 there and 4 here; add --set former.queries=2, or train stage 1 anew',
    );
    expect(existsSync(work.path('keys/stage2'))).toBe(false);
  });

  it('reports those that only stage 1 reads, and not those that it does not read', async () => {
    const { stderr } = await work.done(...stage2('former.queries=2', 'stage2.epochs=2', 'lora.rank=2'));
    expect(stderr).toContain(
      'stage 2 starts from the run in keys/stage1, which was trained with other settings: stage1.epochs is 1 there and 2 here\n',
    );
  });

  it('reports nothing if the keys are the same', async () => {
    await work.done(...train('same', 'stage1.epochs=1'));
    const { stderr } = await work.done(...['stage2', ...train('same', 'stage1.epochs=1').slice(1)]);
    expect(stderr).not.toContain('starts from the run');
  });
});
