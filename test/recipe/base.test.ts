/** @file Recipes built on another one: what they inherit and change, and where their mistakes are reported. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { dumpRecipe } from '../../src/recipe/index.js';
import { loadEmoq } from './emoq-recipe.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-base-'));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}

async function problemsOf(path: string, overrides: string[] = []): Promise<string[]> {
  const outcome = await loadEmoq({ path, overrides }).catch((error: Error) => error);
  expect(outcome).toMatchObject({ name: 'InputError', exitCode: 2 });
  return (outcome as Error).message.split('\n').map((line) => line.replaceAll(`${folder}/`, ''));
}

file(
  'parent.yaml',
  [
    'name: elder',
    'labels: [neutral, joy, anger]',
    'label_map: { happiness: joy }',
    'stage1: { epochs: 4, batch_size: 2 }',
    'paper: { table: 3, wa: 1, ua: 2, wf1: 3, best_earlier: { wa: 4, ua: 5, wf1: 6 } }',
  ].join('\n'),
);

describe('a recipe with a base', () => {
  it('is the base with its own keys on top: sections key by key, lists and plain values as a whole', async () => {
    const path = file(
      'child.yaml',
      'base: parent\nlabels: [joy, anger]\nlabel_map: { rage: anger }\nstage1: { epochs: 5 }\npaper: { wa: 9, best_earlier: null }\n',
    );
    const recipe = await loadEmoq({ path });
    expect(recipe).toMatchObject({
      labels: ['joy', 'anger'],
      label_map: { happiness: 'joy', rage: 'anger' },
      stage1: { epochs: 5, batch_size: 2 },
      paper: { table: 3, wa: 9, ua: 2, wf1: 3, best_earlier: null },
    });
  });

  it('has its own name and the corpus of its base', async () => {
    const recipe = await loadEmoq({ path: file('child.yaml', 'base: parent.yaml\n') });
    expect(recipe).toMatchObject({ name: 'child', manifest: 'data/elder/manifest.csv' });
    const grandchild = file('deep/grandchild.yaml', 'base: ../child.yaml\nstage1: { batch_size: 3 }\n');
    expect(await loadEmoq({ path: grandchild })).toMatchObject({
      name: 'grandchild',
      manifest: 'data/elder/manifest.csv',
      stage1: { epochs: 4, batch_size: 3 },
    });
  });

  it('is dumped whole, without a base', async () => {
    const recipe = await loadEmoq({ path: file('child.yaml', 'base: parent\nseed: 7\n') });
    const text = dumpRecipe(recipe);
    expect(text).not.toMatch(/^base:/m);
    expect(await loadEmoq({ path: file('dumped.yaml', text) })).toEqual(recipe);
  });

  it('builds on recipes that come with emoq, or on another one when the caller says so', async () => {
    const path = file('mine.yaml', 'base: meld7\ninputs: audio\n');
    const recipe = await loadEmoq({ path, overrides: ['stage2.epochs=9'] });
    const meld7 = await loadEmoq({ dataset: 'meld7' });
    expect(recipe).toEqual({
      ...meld7,
      name: 'mine',
      inputs: 'audio',
      stage2: { ...meld7.stage2, epochs: 9 },
    });
    const other = await loadEmoq({ path, base: join(folder, 'parent.yaml') });
    expect(other).toMatchObject({ labels: ['neutral', 'joy', 'anger'], inputs: 'audio' });
  });
});

describe('a mistake', () => {
  it('is reported at its position: in the recipe, in its base, in a --set, in this order', async () => {
    file('bad-parent.yaml', 'labels: [a, b]\nseed: -1\nstage1:\n  epochs: 0\n  batch_size: 0\n');
    const path = file('bad-child.yaml', 'base: bad-parent\n\nstage1: { epochs: many }\nqueries: 3\n');
    expect(await problemsOf(path, ['lora.rank=0'])).toEqual([
      'bad-child.yaml:3:11: stage1.epochs: must be a number, not "many"',
      'bad-child.yaml:4:1: queries: unknown key; did you mean former.queries?',
      'bad-parent.yaml:2:1: seed: must be at least 0, not -1',
      'bad-parent.yaml:5:3: stage1.batch_size: must be at least 1, not 0',
      '--set lora.rank=0: must be at least 1, not 0',
    ]);
  });

  it.each([
    [
      'base: medl7',
      '1:1: base: there is no recipe medl7 next to this one or among those of emoq; did you mean meld7?',
    ],
    ['seed: 1\nbase: none.yaml', '2:1: base: there is no file none.yaml next to this one'],
    ['base: 3', '1:1: base: must be the name or the file of a recipe, not 3'],
    ['base: ', '1:1: base: must be the name or the file of a recipe, not null'],
    ['base: wrong', '1:1: base: wrong builds on itself'],
    ['base: round', 'round.yaml:1:1: base: wrong builds on itself'],
  ])('in %j is one line', async (content, problem) => {
    file('round.yaml', 'base: wrong\n');
    const path = file('wrong.yaml', content);
    expect(await problemsOf(path)).toEqual([problem.includes('.yaml:') ? problem : `wrong.yaml:${problem}`]);
  });

  it('of YAML in the base names the base', async () => {
    file('broken.yaml', 'labels: [a, b\n');
    const problems = await problemsOf(file('over.yaml', 'base: broken\n'));
    expect(problems).toEqual([expect.stringMatching(/^broken\.yaml:\d+:\d+: not valid YAML/)]);
  });

  it('is a base in a --set: a base is what a file builds on', async () => {
    const path = file('plain.yaml', 'labels: [a, b]\n');
    expect(await problemsOf(path, ['base=meld7'])).toEqual(['--set base=meld7: unknown key']);
  });
});
