/** @file The shipped recipes: complete, marked as in the schema, with the paper's settings and figures. */

import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { isMap, LineCounter, parseDocument, type YAMLMap } from 'yaml';
import { changedKeys, dumpRecipe, notInPaperMark } from '../../src/recipe/dump.js';
import { loadRecipe } from '../../src/recipe/recipe.js';
import { recipeKeys } from '../../src/recipe/schema.js';
import { loadEmoq } from './emoq-recipe.js';

const folder = new URL('../../recipes/', import.meta.url);
const keys = new Map(recipeKeys().map((key) => [key.path, key]));
const reproductions = ['iemocap4', 'meld4', 'meld7'] as const;
/** Keys of a recipe of another system; published figures are optional. */
const keysOf = (system: string) =>
  new Map(recipeKeys(system).flatMap((key) => (key.path.startsWith('paper.') ? [] : [[key.path, key]])));

/** The source line of every leaf key that a recipe sets. */
function writtenKeys(name: string, known: ReadonlyMap<string, unknown> = keys): Map<string, string> {
  const text = readFileSync(new URL(`${name}.yaml`, folder), 'utf8');
  const lines = new LineCounter();
  const found = new Map<string, string>();
  const visit = (map: YAMLMap, prefix: string): void => {
    for (const { key, value } of map.items as { key: { value: string; range: number[] }; value: unknown }[]) {
      const path = prefix + key.value;
      if (known.has(path)) found.set(path, text.split('\n')[lines.linePos(key.range[0]!).line - 1]!);
      else if (isMap(value)) visit(value as YAMLMap, `${path}.`);
    }
  };
  visit(parseDocument(text, { lineCounter: lines }).contents as YAMLMap, '');
  return found;
}

describe('every key of the schema', () => {
  it('says whether the paper gives it', () => {
    for (const { origin, description } of keys.values()) {
      expect(['paper', 'not in the paper', 'plumbing']).toContain(origin);
      expect(description).not.toBe('');
    }
  });

  it('that the paper leaves open is marked so', () => {
    const open = [
      'former.queries former.cross_attention_every former.pooling_heads former.head_hidden projector.hidden seed',
      'stage1.epochs stage2.epochs stage1.warmup_fraction stage1.weight_decay stage1.grad_clip prompt.system',
      'stage2.emotion_token_weight lora.alpha lora.targets max_audio_sec validation',
    ];
    for (const path of open.join(' ').split(' '))
      expect([path, keys.get(path)?.origin]).toEqual([path, notInPaperMark]);
    const given =
      'stage1.learning_rate stage1.batch_size lora.rank lora.dropout stage1.scl_temperature stage1.focal_gamma';
    for (const path of given.split(' ')) expect([path, keys.get(path)?.origin]).toEqual([path, 'paper']);
  });
});

/** @param known the keys of the recipe's system */
function checkMarks(name: string, known: typeof keys): void {
  const written = writtenKeys(name, known);
  for (const { path, origin } of known.values()) {
    const line = written.get(path);
    if (origin !== 'plumbing') expect(line, `${path} is not written out`).toBeDefined();
    if (line === undefined) continue;
    expect(line.endsWith(`# ${notInPaperMark}`), `mark of ${path}`).toBe(origin === notInPaperMark);
  }
}

const qieemoParts = ['emotion', 'lower', 'ppg', 'upper', 'without-cma', 'without-mmf'];

describe.each(['iemocap4', 'meld7'])('qieemo-%s', (corpus) => {
  const name = `qieemo-${corpus}`;

  it('writes out every key with the right mark', () => {
    checkMarks(name, keysOf('qieemo'));
  });

  it('has the corpus of the recipe of EmoQ', async () => {
    const [qieemo, beside] = [await loadRecipe({ dataset: name }), await loadRecipe({ dataset: corpus })];
    const shared = ['manifest', 'labels', 'label_map', 'id_pattern', 'folds', 'validation', 'seed'] as const;
    for (const key of shared) expect(qieemo[key], key).toEqual(beside[key]);
  });

  it.each(qieemoParts)('has the ablation %s, which changes one key', async (part) => {
    const [whole, less] = [
      await loadRecipe({ dataset: name }),
      await loadRecipe({ dataset: `${name}-${part}` }),
    ];
    const changed = changedKeys(dumpRecipe(whole), dumpRecipe(less)).map(({ key }) => key);
    expect(changed).toHaveLength(2);
    expect(changed).toContain('name');
  });
});

describe.each(['probe-iemocap4', 'probe-meld7'])('%s', (name) => {
  it('writes out every key with the right mark', () => {
    checkMarks(name, keysOf('linear-probe'));
  });

  it('has the settings of the benchmark, and the corpus of the recipe it is compared with', async () => {
    const probe = await loadRecipe({ dataset: name });
    expect(probe).toMatchObject({ system: 'linear-probe', probe: { batch_size: 32, learning_rate: 1e-4 } });
    const beside = await loadRecipe({ dataset: name.slice('probe-'.length) });
    const shared = ['manifest', 'labels', 'label_map', 'id_pattern', 'folds', 'validation', 'seed'] as const;
    for (const key of shared) expect(probe[key], key).toEqual(beside[key]);
    expect(probe.backbones.encoder).toBe(beside.backbones.encoder);
  });
});

describe.each(reproductions)('%s', (name) => {
  it('writes out every key with the right mark', () => {
    checkMarks(name, keys);
  });

  it('has the settings of the paper', async () => {
    const recipe = await loadEmoq({ dataset: name });
    expect(recipe.backbones).toEqual({
      encoder: 'facebook/hubert-large-ll60k',
      encoder_onnx: null,
      former: 'FacebookAI/roberta-base',
      llm: 'Qwen/Qwen2.5-7B-Instruct',
    });
    expect(recipe.lora).toMatchObject({ rank: 16, dropout: 0.1 });
    for (const stage of [recipe.stage1, recipe.stage2]) {
      expect(stage).toMatchObject({ batch_size: 8, learning_rate: 1e-5 });
    }
    expect(recipe.stage1).toMatchObject({
      scl_weight: 1,
      scl_temperature: 0.07,
      focal_weight: 1,
      focal_gamma: 2,
    });
    expect(recipe).toMatchObject({ name, inputs: 'both', stage2: { from_stage1: true } });
  });

  it("starts with what it reproduces, how to launch and override it, and the paper's figures as the paper's", async () => {
    const text = readFileSync(new URL(`${name}.yaml`, folder), 'utf8');
    const header = text.slice(0, text.indexOf('\n\n'));
    const { paper } = await loadEmoq({ dataset: name });
    for (const part of [
      `table ${paper!.table}`,
      `emoq stage1 --dataset ${name}`,
      '--set ',
      `WA ${paper!.wa}`,
      `UA ${paper!.ua}`,
      'The paper reports',
    ]) {
      expect(header).toContain(part);
    }
    expect(header).not.toMatch(/expect/i);
  });
});

describe.each(['iemocap4', 'meld7'])('%s-history', (base) => {
  it('adds earlier turns to the prompt of the recipe, and is beside no figure of the paper', async () => {
    const [own, without] = [
      await loadEmoq({ dataset: `${base}-history` }),
      await loadEmoq({ dataset: base }),
    ];
    expect(own).toEqual({
      ...without,
      name: `${base}-history`,
      prompt: { ...without.prompt, history: 12 },
      paper: null,
    });
    expect(without.prompt.history).toBe(0);
    const text = readFileSync(new URL(`${base}-history.yaml`, folder), 'utf8');
    expect(text).toContain("Ours, not the paper's.");
  });
});

describe.each(['iemocap4', 'meld7'])('%s-tuned', (corpus) => {
  const name = `${corpus}-tuned`;

  it('is a recipe of ours over that of the paper, and marks every change', async () => {
    const [of, tuned] = [await loadEmoq({ dataset: corpus }), await loadEmoq({ dataset: name })];
    const changed = changedKeys(dumpRecipe(of), dumpRecipe(tuned)).map(({ key }) => key);
    expect(changed.every((key) => key === 'name' || /^stage[12]\./.test(key))).toBe(true);
    const text = readFileSync(new URL(`${name}.yaml`, folder), 'utf8');
    expect(text).toContain('settings of our own');
    for (const line of writtenKeys(name, new Map(changed.map((key) => [key, true]))).values())
      if (!line.startsWith('name:')) expect(line.endsWith(`# ${notInPaperMark}`), line).toBe(true);
    // The paper's own rate stays that of its recipes.
    expect([of.stage1.learning_rate, of.stage2.learning_rate]).toEqual([1e-5, 1e-5]);
  });

  it('has about the steps of the other corpus', async () => {
    const { stage1, stage2 } = await loadEmoq({ dataset: name });
    // MELD's training split; four sessions of IEMOCAP without a speaker.
    const steps = Math.ceil((corpus === 'meld7' ? 9989 : 3920) / stage2.batch_size);
    expect(Math.abs(stage1.epochs * steps - 12_400)).toBeLessThan(300);
    expect(Math.abs(stage2.epochs * steps - 7_400)).toBeLessThan(200);
    expect(stage2.learning_rates.lora).toBe(2e-4);
  });
});

describe('the figures to compare with', () => {
  it("are the paper's tables 1 to 3", async () => {
    const figures = async (dataset: string) => (await loadEmoq({ dataset })).paper;
    expect(await figures('iemocap4')).toEqual({
      table: 1,
      ...{ wa: 74.4, ua: 74.5, wf1: null },
      best_earlier: { wa: 72.4, ua: 74.0, wf1: null },
    });
    expect(await figures('meld4')).toEqual({
      table: 2,
      ...{ wa: 73.6, ua: 57.2, wf1: 71.6 },
      best_earlier: { wa: 63.0, ua: 56.3, wf1: 59.9 },
    });
    expect(await figures('meld7')).toEqual({
      table: 3,
      ...{ wa: 67.6, ua: 50.8, wf1: 66.5 },
      best_earlier: { wa: 53.5, ua: 27.3, wf1: 49.3 },
    });
  });
});

it('every shipped recipe loads, under its own name', async () => {
  const names = [folder, new URL('ablations/', folder)].flatMap((each) =>
    readdirSync(each).flatMap((file) => (file.endsWith('.yaml') ? [file.replace('.yaml', '')] : [])),
  );
  expect(names.sort()).toEqual([
    'cmu-mosei',
    'crema-d',
    'emo-db',
    'esd-en',
    'esd-zh',
    'iemocap4',
    'iemocap4-history',
    'iemocap4-improvised',
    'iemocap4-lastepoch',
    'iemocap4-tuned',
    'iemocap5',
    'iemocap5-excited',
    'iemocap6',
    'meld4',
    'meld7',
    'meld7-audio',
    'meld7-focal',
    'meld7-history',
    'meld7-neither',
    'meld7-scl',
    'meld7-text',
    'meld7-tuned',
    'meld7-without-former',
    'meld7-without-stage1',
    'msp-podcast',
    'probe-iemocap4',
    'probe-meld7',
    'probe-toy4',
    'qieemo-iemocap4',
    ...qieemoParts.map((part) => `qieemo-iemocap4-${part}`),
    'qieemo-meld7',
    ...qieemoParts.map((part) => `qieemo-meld7-${part}`),
    'qieemo-toy4',
    'ravdess',
    'savee',
    'small-corpus',
    'tess',
    'toy-dialogues',
    'toy4',
  ]);
  for (const dataset of names) expect((await loadRecipe({ dataset })).name).toBe(dataset);
  const own = ['meld7-history']; // which the paper does not have
  for (const dataset of names.filter((name) => name.startsWith('meld7-') && !own.includes(name))) {
    const path = dataset === 'meld7-tuned' ? dataset : `ablations/${dataset}`;
    const text = readFileSync(new URL(`${path}.yaml`, folder), 'utf8');
    const { paper } = await loadEmoq({ dataset });
    expect(text).toContain(`# The paper reports on the test set: WA ${paper!.wa}`);
  }
});
