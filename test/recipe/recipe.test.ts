/** @file Loading recipes: defaults, overrides, and all mistakes reported at once with their positions. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { dumpRecipe, recipeDifferences } from '../../src/recipe/index.js';
import type { LoadRecipeOptions } from '../../src/recipe/recipe.js';
import { loadEmoq } from './emoq-recipe.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-recipe-'));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

async function problemsOf(options: LoadRecipeOptions): Promise<string[]> {
  const outcome = await loadEmoq(options).catch((error: Error) => error);
  expect(outcome).toMatchObject({ name: 'InputError', exitCode: 2 });
  return (outcome as Error).message.split('\n');
}

const minimal = 'labels: [neutral, joy]\n';

describe('a recipe', () => {
  it('needs only its labels; the rest has defaults', async () => {
    const recipe = await loadEmoq({ path: file('minimal.yaml', minimal) });
    expect(recipe).toMatchObject({
      name: 'minimal',
      manifest: 'data/minimal/manifest.csv',
      labels: ['neutral', 'joy'],
      former: { queries: 32 },
      lora: { rank: 16, targets: ['q_proj', 'k_proj', 'v_proj', 'o_proj'] },
      stage1: { learning_rate: 1e-5, batch_size: 8, scl_temperature: 0.07, focal_gamma: 2 },
      stage2: { emotion_token_weight: 5, from_stage1: true },
      paper: null,
    });
  });

  it('takes overrides of any depth, the last one winning, and a manifest from the command line', async () => {
    const path = file('overridden.yaml', `${minimal}stage1:\n  epochs: 4\n`);
    const recipe = await loadEmoq({
      path,
      manifest: 'elsewhere/manifest.csv',
      overrides: [
        'stage1.epochs=7',
        'stage1.epochs=9',
        'lora.targets=[q_proj]',
        'inputs=audio',
        'stage2.learning_rate=1e-4',
        'label_map.happiness=joy',
        'prompt.answer="Emotion:"',
        'paper={table: 3, wa: 1, ua: 2, wf1: null}',
      ],
    });
    expect(recipe.stage1.epochs).toBe(9);
    expect(recipe.lora.targets).toEqual(['q_proj']);
    expect(recipe.inputs).toBe('audio');
    expect(recipe.stage2.learning_rate).toBe(1e-4);
    expect(recipe.label_map).toEqual({ happiness: 'joy' });
    expect(recipe.prompt.answer).toBe('Emotion:');
    expect(recipe.paper).toEqual({ table: 3, wa: 1, ua: 2, wf1: null, best_earlier: null });
    expect(recipe.manifest).toBe('elsewhere/manifest.csv');
  });

  it('of a manifest alone takes its labels, and its validation split where there is one', async () => {
    const csv = (name: string, splits: string[]) =>
      file(
        name,
        `path,label,split\n${splits.map((split, i) => `${i}.wav,${i % 2 ? 'sad' : 'joy'},${split}\n`).join('')}`,
      );
    const withDev = csv('dev.csv', ['train', 'dev', 'test']);
    const recipe = await loadEmoq({
      manifest: withDev,
      overrides: ['stage1.epochs=2', 'label_map.sad=blue'],
    });
    expect(recipe).toMatchObject({ manifest: withDev, labels: ['blue', 'joy'], validation: 'split' });
    expect(recipe.name).toMatch(/^emoq-recipe-/);
    expect((await loadEmoq({ manifest: csv('nodev.csv', ['train', 'test']) })).validation).toBe('share');
    expect((await loadEmoq({ manifest: csv('nosplit.csv', ['', '']) })).validation).toBe('split');
    expect(await problemsOf({ manifest: join(folder, 'none.csv'), overrides: ['sed=1'] })).toEqual([
      expect.stringMatching(/^recipe: labels: are not given and cannot be read: .*none\.csv does not exist$/),
      '--set sed=1: unknown key; did you mean seed?',
    ]);
  });

  it('dumped and read again is the same recipe, and the dump the same bytes', async () => {
    for (const dataset of ['meld7', 'iemocap4', 'toy4']) {
      const recipe = await loadEmoq({
        dataset,
        overrides: ['prompt.user="{labels}: {speaker}\\n<AUDIO>"'],
      });
      const text = dumpRecipe(recipe);
      const again = await loadEmoq({ path: file('dumped.yaml', text) });
      expect(again).toEqual(recipe);
      expect(dumpRecipe(again)).toBe(text);
      expect(text).toMatch(/^ {2}alpha: 32 # not in the paper$/m);
    }
  });
});

describe('two dumped recipes', () => {
  it('differ in the keys whose values differ, but not in a key that an older run does not have', async () => {
    const path = file('compared.yaml', minimal);
    const dump = async (...overrides: string[]) => dumpRecipe(await loadEmoq({ path, overrides }));
    const [before, after] = [await dump(), await dump('stage1.epochs=3', 'backbones.encoder_onnx=h.onnx')];
    expect(recipeDifferences(before, before)).toEqual([]);
    expect(recipeDifferences(before, after)).toEqual([
      'backbones.encoder_onnx was null, is "h.onnx"',
      'stage1.epochs was 10, is 3',
    ]);
    const added = [/^ {2}encoder_onnx: null.*\n/m, /^ {2}epochs: 10.*\n/m, /^ {2}accumulate: 1.*\n/m];
    const older = added.reduce((dump, line) => dump.replace(line, ''), before);
    expect(older.split('\n')).toHaveLength(before.split('\n').length - 3);
    expect(recipeDifferences(older, before)).toEqual([]);
    expect(recipeDifferences(older, after)).toEqual(recipeDifferences(before, after));
    const newer = before.replace('seed: 1', 'seed: 1\nunheard_of: 3');
    expect(recipeDifferences(newer, before)).toEqual(['unheard_of was 3, is absent']);
  });
});

describe('mistakes', () => {
  it('are all reported at once, with line, column, key and the near name', async () => {
    const path = file(
      'wrong.yaml',
      [
        'labels: [neutral, joy, 3]',
        'inputs: audoi',
        'epochs: 3',
        'former:',
        '  querys: 8',
        '  dropout: 1.5',
        'stage1: { epochs: many, focal_gama: 2, batch_size: 2.5 }',
        'stage2:',
        '  from_stage1: yes',
        '  adam_beta1: 1',
        '  learning_rate: 0',
        'lora: { targets: [q_proj, k_porj], rank: "8" }',
        'paper: { table: 3 }',
        'seed:',
      ].join('\n'),
    );
    const problems = (await problemsOf({ path })).map((line) => line.replace(`${path}:`, ''));
    expect(problems).toEqual([
      '1:24: labels.2: must be text, not 3; put text in quotes',
      '2:1: inputs: must be one of both, audio, text, not "audoi"; did you mean audio?',
      '3:1: epochs: unknown key; did you mean stage1.epochs or stage2.epochs?',
      '5:3: former.querys: unknown key; did you mean former.queries?',
      '6:3: former.dropout: must be less than 1, not 1.5',
      '7:11: stage1.epochs: must be a number, not "many"',
      '7:25: stage1.focal_gama: unknown key; did you mean stage1.focal_gamma?',
      '7:40: stage1.batch_size: must be a whole number, not 2.5',
      '9:3: stage2.from_stage1: must be true or false, not "yes"',
      '10:3: stage2.adam_beta1: must be less than 1, not 1',
      '11:3: stage2.learning_rate: must be more than 0, not 0',
      '12:27: lora.targets.1: must be one of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, not "k_porj"; did you mean k_proj?',
      '12:36: lora.rank: must be a number, not "8"; remove the quotes',
      '13:1: paper.wa: is missing',
      '13:1: paper.ua: is missing',
      '13:1: paper.wf1: is missing',
      '14:1: seed: must be a number, not null',
    ]);
  });

  it('between keys are found too', async () => {
    const path = file(
      'rules.yaml',
      [
        'labels: [neutral, joy, joy]',
        'label_map: { exited: hapy, happiness: jo }',
        'label_words: { bliss: x, neutral: joy }',
        'prompt: { user: "{transcrpt}", answer: "{labels}" }',
        'stage1: { scl_weight: 0, focal_weight: 0 }',
        'stage2: { batches: balanced, batch_size: 1 }',
      ].join('\n'),
    );
    expect((await problemsOf({ path })).map((line) => line.replace(`${path}:`, ''))).toEqual([
      '1:24: labels.2: "joy" occurs twice',
      '2:14: label_map.exited: "hapy" is not one of the labels',
      '2:28: label_map.happiness: "jo" is not one of the labels; did you mean joy?',
      '3:16: label_words.bliss: is not one of the labels',
      '3:26: label_words.neutral: "joy" is the word of both neutral and joy',
      '4:11: prompt.user: has {transcrpt}; it may have {labels}, {speaker}, {gender}, {transcript}, {history}, <AUDIO>',
      '4:32: prompt.answer: has {labels}; it may have no placeholders',
      '5:26: stage1.focal_weight: with scl_weight 0 too, stage 1 has no loss',
      '6:11: stage2.batches: balanced draws pairs, so batch_size must be at least 2',
    ]);
  });

  it('in a --set name the --set, even with mistakes in the file', async () => {
    const path = file('both.yaml', `${minimal}seed: -1\n`);
    const overrides = ['stage1.epoch=3', 'lora.rank=many', 'inputs=b', 'stage9.x=1', 'prompt.answer=a: b'];
    expect(await problemsOf({ path, overrides })).toEqual([
      `${path}:2:1: seed: must be at least 0, not -1`,
      '--set stage1.epoch=3: unknown key; did you mean stage1.epochs?',
      '--set lora.rank=many: must be a number, not "many"',
      '--set inputs=b: must be one of both, audio, text, not "b"',
      '--set stage9.x=1: unknown key; did you mean stage1?',
      '--set prompt.answer=a: b: must be text, not {"a":"b"}; put text in quotes',
    ]);
    const unreadable = ['nonsense', 'seed.x=1', 'labels=[', '=3'];
    expect(
      await problemsOf({ path: file('good.yaml', `${minimal}seed: 1\n`), overrides: unreadable }),
    ).toEqual([
      '--set nonsense: must be key=value, such as --set stage1.epochs=3',
      '--set seed.x=1: seed has no keys inside; set it as a whole',
      '--set labels=[: the value is not valid YAML: Flow sequence must end with a ]',
      '--set =3: must be key=value, such as --set stage1.epochs=3',
    ]);
  });

  it.each([
    ['seed=&a [*a]', 'it refers to itself'],
    ['seed=&a {b: *a}', 'it refers to itself'],
    ['seed=*a', 'Unresolved alias (the anchor must be set before the alias): a'],
    [`seed=${'['.repeat(1e5)}`, 'it nests more than 200 levels deep'],
    [`seed=${'- '.repeat(1e5)}1`, 'it nests more than 200 levels deep'],
    ['label_map={[a]: b}', 'a key must be a text, not a list or a map'],
    ['label_map={? {a: b} : c}', 'a key must be a text, not a list or a map'],
    ['label_map={&a happy: sad, *a : b}', 'a key must be a text, not a list or a map'],
  ])(
    'in a --set %.30j that nests or refers are one line, and nothing beside it',
    async (override, problem) => {
      const warned: unknown[] = [];
      const warn = vi.spyOn(process, 'emitWarning').mockImplementation((...words) => void warned.push(words));
      const path = file('good.yaml', minimal);
      const told = await problemsOf({ path, overrides: [override] }).finally(() => warn.mockRestore());
      expect(told).toEqual([expect.stringMatching(/^--set .{1,203}: the value is not valid YAML: /)]);
      expect(told[0]).toContain(problem);
      expect(warned).toEqual([]);
    },
  );

  it('such as a key that expands beyond memory are one line', async () => {
    const levels = [...'bcdefghi'].map(
      (name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdefgh'[i]}`)}]`,
    );
    const bomb = ['a: &a [x,x,x,x,x,x,x,x,x]', ...levels].join('\n');
    for (const text of [`${bomb}\n? [*i]\n: 1\n${minimal}`, `${minimal}${bomb}\n`, `${bomb}\n[ *i ]: 1\n`]) {
      const told = await problemsOf({ path: file('bomb.yaml', text) });
      expect(told).toHaveLength(1);
      expect(told[0]).toMatch(/bomb\.yaml:\d+:\d+: not valid YAML: /);
    }
  });

  it.each([
    ['labels: [a, b\nseed: 1\n', /:\d+:\d+: not valid YAML/],
    ['seed: 1\nseed: 2\n', /:2:1: not valid YAML: Map keys must be unique/],
    ['- a\n- b\n', /:1:1: a recipe must be keys with values/],
    ['just text\n', /:1:1: a recipe must be keys with values/],
    ['', /: labels: are not given and cannot be read/],
    ['{labels: [a, b], __proto__: 1}', /:1:18: __proto__: unknown key/],
    ['a: &x [1]\nb: [*x, *y]\n', /not valid YAML/],
  ])('%j is one clear line', async (content, message) => {
    const problems = await problemsOf({ path: file('broken.yaml', content) });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(message);
  });

  it('a missing file, an unknown dataset and no choice at all say what to do', async () => {
    expect(await problemsOf({ path: join(folder, 'none.yaml') })).toEqual([
      `recipe ${join(folder, 'none.yaml')} does not exist`,
    ]);
    const [unknown] = await problemsOf({ dataset: 'medl7' });
    expect(unknown).toMatch(/^--dataset medl7: .*meld7.* come with emoq.*; did you mean meld7\?$/);
    expect(await problemsOf({ dataset: 'my.yaml' })).toEqual([
      '--dataset my.yaml: is a file name; pass it with --recipe my.yaml',
    ]);
    expect((await problemsOf({}))[0]).toContain('--dataset NAME, --manifest FILE or --recipe FILE');
  });
});
