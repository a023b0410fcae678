/** @file `emoq search` over keys of stage 2: stage 1 is trained once, and the trials are those of separate runs. */

import { cpSync, readdirSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fileDigests, makeWorkspace, shortPrompt, toyRecipe } from './workspace.js';

const work = makeWorkspace('search-phases');
afterAll(() => work.remove());

beforeAll(async () => {
  await work.toyCorpus(5, 4);
  const settings = {
    former: { queries: 4, pooling_heads: 4, head_hidden: 32 },
    prompt: shortPrompt,
    stage1: { epochs: 1, batch_size: 8, learning_rate: 1e-3, select: 'last' },
    stage2: { epochs: 1, batch_size: 8, select: 'wa' },
  };
  work.file('small.yaml', toyRecipe('toy', settings));
  work.file('later.yaml', 'stage2.learning_rate: {choice: [1e-4, 1e-3, 1e-2]}\n');
  work.file(
    'both.yaml',
    'stage1.learning_rate: {choice: [1e-3, 1e-4]}\nstage2.learning_rate: {log: [1e-4, 1e-2]}\n',
  );
});

const search = (space: string, root: string, trials: number, ...more: string[]): string[] => [
  ...['search', '--recipe', 'small.yaml', '--space', space, '--run', root],
  ...['--trials', String(trials), ...more],
];
const json = (name: string) => JSON.parse(work.read(name).toString());
const trainedIn = (stderr: string): string[] =>
  [...stderr.matchAll(/stage 1, trial (\d)(?:, |: \d+ steps)/g)].map((match) => match[1]!);
const weightsOf = (root: string): string => json(`${root}/stage1/run.json`).checkpoint.sha256;

describe('a search over keys that stage 1 does not read', () => {
  it('trains stage 1 in the first trial alone, and gives the others copies', async () => {
    const { stderr } = await work.done(...search('later.yaml', 'later', 3));
    expect(new Set(trainedIn(stderr))).toEqual(new Set(['1']));
    expect(stderr).toContain('trial 2: stage 1 is that of trial 1, whose settings it shares\n');
    expect(stderr).toContain('trial 3: stage 1 is that of trial 1, whose settings it shares\n');
    // Each trial is a whole experiment of its own recipe.
    for (const trial of [1, 2, 3]) {
      const { trials } = json('later/trials.json') as { trials: { trial: number; values: object }[] };
      const values = Object.values(trials.find((each) => each.trial === trial)!.values);
      const own = work.read(`later/trial-${trial}/stage1/recipe.yaml`).toString();
      expect(own).toBe(work.read(`later/trial-${trial}/stage2/recipe.yaml`).toString());
      expect(own).toMatch(new RegExp(`stage2:[^]*learning_rate: ${values[0]}\\b`));
      expect(json(`later/trial-${trial}/stage2/run.json`).stage1).toBe(weightsOf('later/trial-1'));
    }
    const { stdout } = await work.done('runs', '--root', 'later');
    expect(stdout.match(/stage1/g)).toHaveLength(3);
  });

  it('finds what training each trial by itself finds', async () => {
    for (const trial of [2, 3]) {
      const { values } = json(`later/trial-${trial}/trial.json`) as { values: Record<string, unknown> };
      const set = Object.entries(values).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
      await work.done('train', '--recipe', 'small.yaml', '--run', `alone-${trial}`, ...set);
      for (const phase of ['stage1', 'stage2']) {
        const sha256 = (root: string): string => json(`${root}/${phase}/run.json`).checkpoint.sha256;
        expect(sha256(`alone-${trial}`)).toBe(sha256(`later/trial-${trial}`));
      }
    }
  });

  it('is the same with two trials at a time, and after a trial has lost its folder', async () => {
    const digests = fileDigests(work, 'later');
    await work.done(...search('later.yaml', 'parallel', 3, '--jobs', '2', '--threads', '1'));
    expect(fileDigests(work, 'parallel')).toEqual(digests);
    for (const trial of [1, 3]) rmSync(work.path(`later/trial-${trial}`), { recursive: true });
    // What a killed copy leaves is no run, and goes.
    const left = 'stage1.999999-0a1b2c3d.tmp';
    cpSync(work.path('later/trial-2/stage1'), work.path('later/trial-3', left), { recursive: true });
    expect((await work.done('runs', '--root', 'later')).stdout).not.toContain('999999');
    const { stderr } = await work.done(...search('later.yaml', 'later', 3));
    expect(new Set(trainedIn(stderr))).toEqual(new Set(['1']));
    expect(fileDigests(work, 'later')).toEqual(digests);
    expect(readdirSync(work.path('later/trial-3'))).not.toContain(left);
  });
});

it('trains stage 1 once for each of its settings', async () => {
  const { stderr } = await work.done(...search('both.yaml', 'both', 4));
  const rates = [1, 2, 3, 4].map(
    (trial) => json(`both/trial-${trial}/trial.json`).values['stage1.learning_rate'] as number,
  );
  const first = rates.map((rate) => rates.indexOf(rate) + 1);
  expect(new Set(first).size).toBe(2);
  expect(new Set(trainedIn(stderr))).toEqual(new Set(first.map(String)));
  for (const [index, from] of first.entries()) {
    expect(weightsOf(`both/trial-${index + 1}`)).toBe(weightsOf(`both/trial-${from}`));
  }
  expect(new Set(rates.map((_, index) => weightsOf(`both/trial-${index + 1}`))).size).toBe(2);
});
