/**
 * @file Dialogues from corpus to bundle: a model that reads the turn before learns what one without it cannot, and a
 * table, shards, an interrupted command, a bundle, the library and the example in Python give it the same histories.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { userTarget } from '../../src/base/index.js';
import { historiesOf, readManifest } from '../../src/data/corpora/index.js';
import {
  checkUnfinished,
  openSource,
  openTrainedModel,
  planPrediction,
  predictRows,
  readingOf,
} from '../../src/inference/index.js';
import { openBundle } from '../../src/library/index.js';
import { runFolder } from '../../src/training/runs/index.js';
import { csvRows, makeWorkspace, onnxPython } from './workspace.js';

const work = makeWorkspace('history');
afterAll(() => work.remove());

const RECIPE = ['--dataset', 'toy-dialogues'];
/** The same words and model without what was said before. */
const ALONE = ['--set', 'prompt.history=0', '--set', 'prompt.user="Now {transcript}"'];

interface Results {
  readonly wa: number;
  readonly n: number;
}
const scored = async (...args: string[]): Promise<Results> =>
  JSON.parse((await work.done('eval', ...args, '--json')).stdout) as Results;

type Row = Record<string, string>;
const PROBABILITIES = ['prob_happy', 'prob_sad'];
const largest = (a: readonly Row[], b: readonly Row[]): number =>
  Math.max(
    ...a.flatMap((row, at) =>
      PROBABILITIES.map((name) => Math.abs(Number(row[name]) - Number(b[at]![name]))),
    ),
  );

let expected: Row[];

beforeAll(async () => {
  await work.toyCorpus(20, 64, 'data/toy-dialogues', '--dialogues');
  await work.done('stage2', ...RECIPE);
  await work.done('stage2', ...RECIPE, ...ALONE, '--set', 'stage2.epochs=3', '--run', 'alone');
  await scored(...RECIPE);
  expected = csvRows(work, 'runs/toy-dialogues/stage2/predictions.csv');
  // The test set, with the turns that are left out of the labels.
  const [header] = work.read('data/toy-dialogues/manifest.csv').toString().split('\n');
  const columns = header!.split(',');
  const rows = csvRows(work, 'data/toy-dialogues/manifest.csv').filter(({ split }) => split === 'test');
  const table = (kept: readonly string[], of: readonly Row[] = rows): string =>
    [kept.join(','), ...of.map((row) => kept.map((name) => `"${row[name]}"`).join(','))].join('\n');
  work.file('test.csv', `${table(columns)}\n`);
  work.file('order.csv', `${table(['id', 'text', 'dialogue'])}\n`);
  work.file('alone.csv', `${table(['id', 'text'])}\n`);
}, 240_000);

const predict = (input: string, output: string, ...more: string[]) =>
  work.done('predict', input, '-o', output, '--run', 'runs/toy-dialogues', ...more);
/** The rows of an output that eval scores too, in its order. */
const answersOf = (output: string): Row[] => {
  const byId = new Map(csvRows(work, output).map((row) => [row.id!, row]));
  return expected.map(({ id }) => byId.get(id!)!);
};

describe('an emotion that answers the turn before', () => {
  it('is learned with a history, and by chance without one', async () => {
    const [told, alone] = [await scored(...RECIPE), await scored('--run', 'alone')];
    expect([told.n, alone.n]).toEqual([192, 192]);
    expect(told.wa).toBeGreaterThan(0.9);
    expect(alone.wa).toBeLessThan(0.6);
    expect(alone.wa).toBeGreaterThan(0.4);
  });

  it('is in a corpus whose own words tell nothing, and whose histories have no test turn in training', async () => {
    const manifest = await readManifest(work.path('data/toy-dialogues/manifest.csv'));
    const { utterances } = manifest;
    const histories = historiesOf(manifest, utterances, { history: 12 });
    const splitOf = new Map(utterances.map(({ id, split }) => [id, split]));
    for (const { id, split, turn } of utterances) {
      expect(histories.get(id)).toHaveLength(turn!);
      for (const before of histories.get(id)!) expect(splitOf.get(before.id!)).toBe(split);
    }
  });

  it('records its prompt with its limits', () => {
    const { prompt } = JSON.parse(work.read('runs/toy-dialogues/stage2/run.json').toString()) as {
      prompt: object;
    };
    expect(prompt).toMatchObject({ user: '{history}\nNow {transcript}', history: 1, history_tokens: 512 });
  });

  it('has dialogues to resample by', () => {
    expect(new Set(expected.map(({ dialogue }) => dialogue)).size).toBe(64);
  });
});

describe('a prediction from a table', () => {
  it('with its dialogues is that of eval, by numbered turns or in the order of the rows', async () => {
    await predict('test.csv', 'test-out.csv');
    expect(csvRows(work, 'test-out.csv')).toHaveLength(256);
    expect(largest(answersOf('test-out.csv'), expected)).toBeLessThan(1e-5);
    await predict('order.csv', 'order-out.csv');
    expect(largest(answersOf('order-out.csv'), expected)).toBeLessThan(1e-5);
  });

  it('without them judges each row alone, and says so', async () => {
    const { stderr } = await predict('alone.csv', 'alone-out.csv');
    expect(stderr).toContain(
      'the model was trained with up to 1 earlier turns of each utterance\'s dialogue; without a column "dialogue", each row is judged alone',
    );
    expect(largest(answersOf('alone-out.csv'), expected)).toBeGreaterThan(0.1);
    expect((await predict('order.csv', 'x.csv')).stderr).not.toContain('judged alone');
  });

  it('in shards has the same histories, also of dialogues that cross them', async () => {
    const parts = [1, 2, 3, 4, 5].map((index) => `part-${index}.csv`);
    for (const [at, part] of parts.entries()) await predict('order.csv', part, '--shard', `${at + 1}/5`);
    const first = csvRows(work, parts[1]!)[0]!;
    const before = csvRows(work, parts[0]!).at(-1)!;
    expect(first.dialogue).toBe(before.dialogue);
    await work.done('merge', ...parts, '-o', 'merged.csv');
    expect(largest(answersOf('merged.csv'), expected)).toBeLessThan(1e-5);
  });

  it('goes on after an interruption with the same histories', async () => {
    const here = process.cwd();
    process.chdir(work.dir);
    try {
      const columns = { pathColumn: 'path', textColumn: 'text', speakerColumn: 'speaker' };
      const needs = { audio: false, text: true, dialogues: true };
      const stop = new AbortController();
      const compute = { device: { kind: 'cpu' as const }, threads: 1, cacheDir: '' };
      const model = await openTrainedModel(runFolder(work.path('runs/toy-dialogues/stage2')), compute);
      const target = await userTarget('resumed.csv', '-o');
      const run = async (signal?: AbortSignal): Promise<void> => {
        const source = await openSource(['order.csv'], { ...columns, needs, stdin: process.stdin });
        const plan = planPrediction(source, readingOf([{ name: 'run', recipe: model.recipe }]), {
          ...{ ...columns, channel: undefined, windows: 'auto', format: 'csv', shard: undefined },
          ...{ model: {}, settings: {} },
        });
        await checkUnfinished(plan, target, false);
        await predictRows([model], plan, target, {
          compute: { ...compute, ...(signal && { stop: signal }) },
          onProgress: (done) => {
            if (done >= 33 && signal) stop.abort();
          },
        });
      };
      await expect(run(stop.signal)).rejects.toThrow(/interrupted after (?:64|96) of 256 rows/);
      await run();
      await model.close();
    } finally {
      process.chdir(here);
    }
    await predict('order.csv', 'whole.csv');
    expect(work.read('resumed.csv').equals(work.read('whole.csv'))).toBe(true);
  });

  it('fails for rows that are out of order, and takes the words of rows that fail', async () => {
    work.file(
      'calls.csv',
      'id,text,dialogue,turn\na,What a lovely day,c,2\nb,We had a dreary jacket,c,1\nc,The dinner is great,c,3\n',
    );
    await predict('calls.csv', 'calls-out.csv');
    const [a, b, c] = csvRows(work, 'calls-out.csv') as [Row, Row, Row];
    expect([a.error, c.error]).toEqual(['', '']);
    expect(b.error).toBe(
      'line 3: turn 1 of dialogue "c" comes after turn 2; sort the rows of a dialogue by their turns',
    );
  });
});

describe('a bundle', () => {
  beforeAll(() => work.done('export', 'bundle', '--run', 'runs/toy-dialogues', '-o', 'bundle'), 60_000);

  it('says what it reads, and predicts and scores as its run does', async () => {
    const { prompt } = JSON.parse(work.read('bundle/bundle.json').toString()) as { prompt: object };
    expect(prompt).toMatchObject({ history: 1, history_tokens: 512, speaker: 'none' });
    await work.done('predict', 'order.csv', '-o', 'bundled.csv', '--bundle', 'bundle');
    expect(largest(answersOf('bundled.csv'), expected)).toBeLessThan(1e-4);
    const { wa } = await scored('--bundle', 'bundle', '--manifest', 'data/toy-dialogues/manifest.csv');
    expect(wa).toBe((await scored(...RECIPE)).wa);
  });

  it('is given dialogues by programs', async () => {
    const rows = csvRows(work, 'order.csv').slice(0, 12);
    const bundle = await openBundle(work.path('bundle'), { threads: 1 });
    try {
      const judged = async (named: boolean): Promise<Row[]> => {
        const found: Row[] = [];
        const recordings = rows.map(({ text, dialogue }) => ({
          text: text!,
          ...(named && { dialogue: dialogue! }),
        }));
        for await (const { probabilities } of bundle.predict(recordings))
          found.push({ prob_happy: String(probabilities!.happy), prob_sad: String(probabilities!.sad) });
        return found;
      };
      await predict('order.csv', 'own.csv');
      const own = csvRows(work, 'own.csv').slice(0, 12);
      expect(largest(await judged(true), own)).toBeLessThan(1e-4);
      expect(largest(await judged(false), own)).toBeGreaterThan(0.1);
    } finally {
      await bundle.close();
    }
  });

  const hasRuntime =
    onnxPython !== undefined && spawnSync(onnxPython, ['-c', 'import onnxruntime, tokenizers']).status === 0;
  const script = fileURLToPath(new URL('../../examples/predict.py', import.meta.url));

  it.runIf(hasRuntime)("gives the same probabilities with Python's onnxruntime", async () => {
    const manifest = await readManifest(work.path('data/toy-dialogues/manifest.csv'));
    const histories = historiesOf(manifest, manifest.utterances, { history: 12 });
    for (const index of [0, 50, 191]) {
      const { id, text } = manifest.utterances.find((each) => each.id === expected[index]!.id)!;
      const python = (history: unknown): Row => {
        const args = [script, work.path('bundle'), '', text, 'Ann', 'F', JSON.stringify(history)];
        const found = JSON.parse(execFileSync(onnxPython!, args).toString()) as Record<string, number>;
        return { prob_happy: String(found.happy), prob_sad: String(found.sad) };
      };
      expect(largest([python(histories.get(id))], [expected[index]!])).toBeLessThan(1e-4);
    }
  });
});

describe('what cannot be told', () => {
  it('is refused: a corpus without dialogues, and words that would have to be recognised', async () => {
    await work.toyCorpus(5, 4);
    expect(await work.refused('stage2', ...RECIPE, '--manifest', 'toy/manifest.csv', '--run', 'x')).toContain(
      'toy/manifest.csv names no dialogues in a column "dialogue", which prompt.history reads; prepare the corpus again',
    );
    const line = ['predict', 'test.csv', '-o', 'x1.csv', '--run', 'runs/toy-dialogues', '--transcribe'];
    expect(await work.refused(...line, 'toy/backbones/recogniser')).toContain(
      'the model reads earlier rows of a dialogue, whose words --transcribe does not keep',
    );
  });

  it('of a corpus of something else is nothing: its utterances are scored alone', async () => {
    const rows = csvRows(work, 'toy/manifest.csv').map(({ text, label }) => `"${text}",${label}`);
    work.file('words.csv', `text,label\n${rows.join('\n')}\n`);
    expect((await scored('--run', 'runs/toy-dialogues', '--manifest', 'words.csv')).n).toBeGreaterThan(5);
  });

  it('is sized with its turns in a dry run', async () => {
    const { stderr } = await work.done('stage2', '--dataset', 'meld7-history', '--dry-run');
    const prompt = Number(/batch 8, .*prompt (\d+)/.exec(stderr)![1]);
    // Without a history, an average prompt has 128 tokens; 12 turns of MELD have 192, and their heading a few.
    expect(prompt).toBeGreaterThan(128 + 192);
    expect(prompt).toBeLessThan(128 + 192 + 12);
  });
});
