/**
 * @file A run keeps the prompt it was trained with, in evaluation, prediction and resumed training, whatever the recipe
 * says.
 */

import { cpSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadRecipe } from '../../src/recipe/index.js';
import { trainPhase } from '../../src/training/index.js';
import type { RunMetadata } from '../../src/training/runs/metadata.js';
import { makeWorkspace, toyRecipe } from './workspace.js';

const work = makeWorkspace('prompt');
afterAll(() => work.remove());

const metadataOf = (run: string): RunMetadata =>
  JSON.parse(work.read(`${run}/run.json`).toString()) as RunMetadata;
const changePrompt = (run: string, change: (prompt: NonNullable<RunMetadata['prompt']>) => object): void => {
  const metadata = metadataOf(run);
  work.file(`${run}/run.json`, JSON.stringify({ ...metadata, prompt: change(metadata.prompt!) }));
};
/** As earlier versions wrote a run: without the keys added since. */
const makeOld = (run: string): void => {
  changePrompt(run, ({ system, user, answer }) => ({ system, user, answer }));
  const recipe = work.read(`${run}/recipe.yaml`).toString();
  work.file(`${run}/recipe.yaml`, recipe.replace(/^ {2}speaker: .*\n/m, ''));
};
const stage2 = (run: string, ...sets: string[]): string[] => [
  ...['stage2', '--recipe', 'small.yaml', '--run', run],
  ...sets.flatMap((set) => ['--set', set]),
];
const scored = async (run: string): Promise<string> => {
  await work.done('eval', '--run', run);
  return work.read(`${run}/stage2/predictions.csv`).toString();
};

beforeAll(async () => {
  work.file(
    'small.yaml',
    toyRecipe('toy', {
      former: { queries: 4, pooling_heads: 4, head_hidden: 64 },
      stage2: { epochs: 2, batch_size: 8, learning_rate: 1e-3, from_stage1: false, select: 'last' },
    }),
  );
  await work.toyCorpus(5, 8);
  await work.done(...stage2('run'));
});

describe('a run', () => {
  it('has the gender where names are new in the test, and a prompt of its own for what has no transcript', () => {
    const { speaker, user, user_without_text } = metadataOf('run/stage2').prompt!;
    expect(speaker).toBe('gender');
    expect(user).toContain('fuses');
    expect(user_without_text).not.toContain('words');
  });

  it('is evaluated with its own prompt, whatever its recipe or this version would have', async () => {
    const predictions = await scored('run');
    cpSync(work.path('run'), work.path('copy'), { recursive: true });
    const recipe = work.read('copy/stage2/recipe.yaml').toString();
    work.file('copy/stage2/recipe.yaml', recipe.replace(/^ {2}speaker: auto/m, '  speaker: none'));
    expect(await scored('copy')).toBe(predictions);
    changePrompt('copy/stage2', (prompt) => ({ ...prompt, speaker: 'none' }));
    expect(await scored('copy')).not.toBe(predictions);
    changePrompt('copy/stage2', () => ({}));
    expect(await work.refused('eval', '--run', 'copy')).toContain(
      'run copy/stage2/run.json is damaged, key prompt.system: is missing',
    );
  });

  it('of an earlier version is not refused for a missing key, whatever the recipe says of it', async () => {
    cpSync(work.path('run'), work.path('old'), { recursive: true });
    makeOld('old/stage2');
    const { stderr } = await work.done(...stage2('old', 'prompt.speaker=gender'));
    expect(stderr).toContain('is already finished');
    expect(await work.refused(...stage2('run', 'prompt.speaker=name'))).toContain(
      'prompt.speaker was "auto", is "name"',
    );
  });

  it('of an earlier version resumes with its prompt, and says so', async () => {
    const backbones = { encoder: 'hubert', former: 'roberta', llm: 'qwen2' };
    const recipe = await loadRecipe({
      path: work.path('small.yaml'),
      overrides: [
        `manifest=${work.path('toy/manifest.csv')}`,
        ...Object.entries(backbones).map(
          ([key, name]) => `backbones.${key}=${work.path('toy/backbones', name)}`,
        ),
      ],
    });
    const compute = { device: { kind: 'cpu' } as const, cacheDir: work.path('..', 'features') };
    const root = work.path('half');
    const train = async (stop?: AbortController): Promise<string> => {
      const notes: string[] = [];
      await trainPhase({
        ...{ recipe, phase: 'stage2', fold: undefined, root, versions: {}, compute, stepsPerRun: 1 },
        onNote: (text) => void notes.push(text),
        onReport: () => stop?.abort(),
        ...(stop && { stop: stop.signal }),
      });
      return notes.join('\n');
    };
    expect(await train(new AbortController())).not.toContain('using the prompt of');
    makeOld('half/stage2');
    expect(await train()).toContain(
      'run.json, with which the run began; a new run of the recipe has a different one',
    );
    const { status, prompt } = metadataOf('half/stage2');
    expect(status).toBe('finished');
    expect(Object.keys(prompt!)).toEqual(['system', 'user', 'answer']);
  });
});

describe('predict', () => {
  const rows = ['toy_00001', 'toy_00002'];
  const input = (name: string, columns: string, cells: string): string =>
    work.file(
      `toy/${name}.csv`,
      `path,text${columns}\n${rows.map((row) => `audio/${row}.wav,fine${cells}\n`).join('')}`,
    );

  it('fills the prompt with the column gender, and warns where it is empty', async () => {
    const predict = async (name: string, columns: string, cells: string) => {
      const args = ['predict', input(name, columns, cells), '-o', `${name}.out.csv`, '--run', 'run'];
      const { stderr } = await work.done(...args);
      return { stderr, probabilities: work.read(`${name}.out.csv`).toString() };
    };
    const [female, male, none] = [
      await predict('female', ',gender', ',F'),
      await predict('male', ',gender', ',male'),
      await predict('none', ',speaker', ',F'),
    ];
    const warning = "2 of 2 rows have no gender, but the model's prompt was trained with it";
    expect([female, male, none].map(({ stderr }) => stderr.includes(warning))).toEqual([false, false, true]);
    expect(new Set([female, male, none].map(({ probabilities }) => probabilities)).size).toBe(3);
  });
});
