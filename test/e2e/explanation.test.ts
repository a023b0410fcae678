/** @file `emoq explain`: its numbers beside those of eval and predict, what it refuses, and its page in a browser. */

import { copyFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chromiumFor, lowContrastText, unnamedControls, useChromium } from './report-browser.js';
import { csvRows, makeWorkspace, shortPrompt, toyRecipe } from './workspace.js';

const work = makeWorkspace('explanation');
afterAll(() => work.remove());

const small = {
  former: { queries: 4, pooling_heads: 2, head_hidden: 16 },
  prompt: shortPrompt,
  stage1: { epochs: 1, batch_size: 16, learning_rate: 1e-3 },
  stage2: { epochs: 1, batch_size: 16 },
};

beforeAll(async () => {
  await work.toyCorpus(5, 4);
  work.file('small.yaml', toyRecipe('toy', small));
  await work.done('train', '--recipe', 'small.yaml');
});

interface Weights {
  readonly weights: readonly number[];
  readonly start_sec: readonly number[];
  readonly frame_sec: number;
  readonly cut: boolean;
  readonly layers: number;
  readonly by_query: readonly (readonly number[])[];
}

interface Explained {
  readonly id: string;
  readonly part: string;
  readonly transcript: string;
  readonly reference: string;
  readonly label: string;
  readonly probabilities: Readonly<Record<string, number>>;
  readonly attention: {
    readonly queries: readonly number[];
    readonly frames?: Weights;
    readonly words?: {
      readonly layers: number;
      readonly weights: readonly { word: string; tokens: number; weight: number }[];
      readonly elsewhere: { queries: number; tokens: number };
    };
  };
}

async function explained(...args: string[]): Promise<Explained> {
  const { stdout } = await work.done('explain', '--format', 'json', ...args);
  return JSON.parse(stdout) as Explained;
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const manifest = () => csvRows(work, 'toy/manifest.csv');
const ofPart = (split: string) => manifest().filter((row) => row.split === split);

/** All that must hold of the shares of one explanation. */
function checkShares({ attention, transcript }: Explained): void {
  const { queries, frames, words } = attention;
  expect(sum(queries)).toBeCloseTo(1, 5);
  if (frames) {
    expect(sum(frames.weights)).toBeCloseTo(1, 5);
    expect(frames.start_sec).toHaveLength(frames.weights.length);
    expect(frames.by_query).toHaveLength(queries.length);
    for (const row of frames.by_query) expect(sum(row)).toBeCloseTo(1, 5);
    const weighted = frames.weights.map((_, at) => sum(queries.map((q, i) => q * frames.by_query[i]![at]!)));
    frames.weights.forEach((weight, at) => {
      expect(weight).toBeCloseTo(weighted[at]!, 7);
    });
  }
  if (words) {
    expect(words.weights.map(({ word }) => word)).toEqual(transcript.split(' '));
    const { elsewhere, weights } = words;
    expect(sum(weights.map(({ weight }) => weight)) + elsewhere.queries + elsewhere.tokens).toBeCloseTo(1, 5);
    for (const { weight, tokens } of weights) expect(weight > 0).toBe(tokens > 0);
  }
}

describe.each(['1', '2'])('an utterance judged by stage %s', (stage) => {
  it('has the probabilities of eval and of predict, and shares that add up to 1', async () => {
    const run = `runs/small/stage${stage}`;
    await work.done('eval', '--run', run);
    await work.done('predict', 'toy/manifest.csv', '-o', `predicted${stage}.csv`, '--run', run);
    const scored = csvRows(work, `${run}/predictions.csv`);
    const predicted = csvRows(work, `predicted${stage}.csv`);
    const [test, train] = [ofPart('test')[1]!, ofPart('train')[2]!];
    for (const { id, label } of [test, train]) {
      const explanation = await explained('--run', 'runs/small', '--stage', stage, '--id', id!);
      expect(explanation).toMatchObject({ id, reference: label, part: id === test.id ? 'test' : 'train' });
      checkShares(explanation);
      const rows = [scored, predicted].flatMap((table) => table.filter((row) => row.id === id));
      expect(rows).toHaveLength(id === test.id ? 2 : 1);
      for (const row of rows) {
        expect(explanation.label).toBe(row.label);
        for (const [name, probability] of Object.entries(explanation.probabilities)) {
          expect(probability, name).toBeCloseTo(Number(row[`prob_${name}`]), 5);
        }
      }
    }
    const { frames, words } = (await explained('--run', run, '--id', test.id!)).attention;
    // Toy HuBERT has 50 frames a second; half of the toy RoBERTa's layers, of which every other one has cross-attention.
    expect(frames).toMatchObject({ frame_sec: 0.02, cut: false, layers: 1 });
    expect(frames!.start_sec.slice(0, 3)).toEqual([0, 0.02, 0.04]);
    expect(frames!.weights.length).toBe(Math.floor((16_000 * Number(test.duration_sec) - 400) / 320) + 1);
    expect(words!.layers).toBe(2);
  });
});

describe('models of one input', () => {
  it('have the frames alone, those of a sum of layers too, as far as they read the clip', async () => {
    const settings = { ...small, inputs: 'audio', max_audio_sec: 1, encoder: { layers: 'all' } };
    work.file('audio.yaml', toyRecipe('toy', settings));
    await work.done('stage1', '--recipe', 'audio.yaml');
    const explanation = await explained('--run', 'runs/audio', '--id', ofPart('test')[0]!.id!);
    checkShares(explanation);
    expect(explanation.attention.words).toBeUndefined();
    expect(explanation.attention.frames).toMatchObject({ cut: true });
    expect(explanation.attention.frames!.weights).toHaveLength(49);
  });

  it('have the words alone, as far as they read them, and no Former in stage 2', async () => {
    work.file('text.yaml', toyRecipe('toy', { ...small, inputs: 'text', max_text_tokens: 6 }));
    for (const stage of ['stage1', 'stage2']) await work.done(stage, '--recipe', 'text.yaml');
    const { id } = ofPart('test')[0]!;
    const explanation = await explained('--run', 'runs/text/stage1', '--id', id!);
    checkShares(explanation);
    expect(explanation.attention.frames).toBeUndefined();
    const { weights } = explanation.attention.words!;
    expect(sum(weights.map(({ tokens }) => tokens))).toBe(4); // without <s> and </s>
    expect(weights.at(-1)!.tokens).toBe(0);
    await work.done('explain', '--run', 'runs/text/stage1', '--id', id!, '-o', 'text.html');
    expect(work.read('text.html').toString()).toContain('class="cut" title="not read: beyond');
    expect(await work.refused('explain', '--run', 'runs/text', '--id', id!, '--format', 'json')).toBe(
      'error: the run in runs/text/stage2 uses text only, and its stage 2 has no EmoQ-Former; name its stage-1 run',
    );
  });
});

describe('a run that trains layers of its encoder', () => {
  it('attends to what these layers make of the clip, as one with frozen layers of equal weights does', async () => {
    work.file('frozen.yaml', toyRecipe('toy', small));
    // Trained so slowly that they stay as they were.
    const still = { train: 'top:1', dropout: 0 };
    const stage1 = { ...small.stage1, learning_rates: { encoder: 1e-12 } };
    work.file('still.yaml', toyRecipe('toy', { ...small, encoder: still, stage1 }));
    work.file(
      'moved.yaml',
      toyRecipe('toy', {
        ...small,
        encoder: still,
        stage1: { ...stage1, learning_rates: { encoder: 1e-2 } },
      }),
    );
    const { id } = ofPart('test')[0]!;
    const found: Explained[] = [];
    for (const name of ['frozen', 'still', 'moved']) {
      await work.done('stage1', '--recipe', `${name}.yaml`);
      found.push(await explained('--run', `runs/${name}/stage1`, '--id', id!));
    }
    for (const each of found) checkShares(each);
    const [frozen, slow, moved] = found.map(({ attention }) => [
      ...attention.queries,
      ...attention.frames!.weights,
    ]);
    const apart = (one: readonly number[], other: readonly number[]): number =>
      Math.max(...one.map((value, at) => Math.abs(value - other[at]!)));
    expect(slow).toHaveLength(frozen!.length);
    expect(apart(slow!, frozen!)).toBeLessThan(1e-4);
    expect(apart(moved!, frozen!)).toBeGreaterThan(1e-3);
  });
});

describe('what is refused', () => {
  const json = ['--format', 'json'];

  it('is a run without a Former, in a line that says why', async () => {
    const { id } = ofPart('test')[0]!;
    work.file('frames.yaml', toyRecipe('toy', { ...small, fusion: 'none', projector: { slots: 4 } }));
    await work.done('stage2', '--recipe', 'frames.yaml');
    const probe = { system: 'linear-probe', manifest: 'toy/manifest.csv', probe: { epochs: 1 } };
    const labels = ['neutral', 'happy', 'angry', 'sad'];
    const backbones = { encoder: 'toy/backbones/hubert' };
    work.file('probe.yaml', JSON.stringify({ ...probe, labels, backbones }));
    await work.done('train', '--recipe', 'probe.yaml');
    const why = async (run: string) => work.refused('explain', '--run', run, '--id', id!, ...json);
    expect(await why('runs/frames')).toBe(
      'error: the run in runs/frames/stage2 has no EmoQ-Former (its recipe says fusion: none), whose attention would be shown',
    );
    expect(await why('runs/probe')).toBe(
      'error: the run in runs/probe/probe is of a linear probe, which weighs all frames of a clip alike and has no attention',
    );
  });

  it('is a run of Qieemo', async () => {
    const recipe = {
      ...{ system: 'qieemo', manifest: 'toy/manifest.csv', labels: ['neutral', 'happy', 'angry', 'sad'] },
      backbones: { encoder: 'toy/backbones/recogniser' },
      qieemo: { width: 16, heads: 2, feed_forward: 16, head_hidden: 16 },
      emotion: { epochs: 1, learning_rate: 1e-3, select: 'last' },
    };
    work.file('qieemo.yaml', JSON.stringify(recipe));
    await work.done('train', '--recipe', 'qieemo.yaml');
    const { id } = ofPart('test')[0]!;
    expect(await work.refused('explain', '--run', 'runs/qieemo', '--id', id!, ...json)).toBe(
      'error: the run in runs/qieemo/emotion is of Qieemo, which has no EmoQ-Former, whose attention would be shown',
    );
  });

  it('is an id that the corpus does not have, and an output that is read', async () => {
    const { id, path } = ofPart('test')[0]!;
    const run = ['explain', '--run', 'runs/small'];
    expect(await work.refused(...run, '--id', `${id}x`, ...json)).toContain(`; did you mean ${id}?`);
    expect(await work.refused(...run, '--id', 'nothing like it', ...json)).toMatch(
      /has the id nothing like it; its test set has toy_\d+, for example$/,
    );
    for (const file of ['toy/manifest.csv', `toy/${path}`, 'runs/small/stage2/checkpoint.safetensors']) {
      expect(await work.refused(...run, '--id', id!, '-o', file)).toMatch(
        / is .*, which is read; name another/,
      );
    }
    work.file('other.csv', work.read('toy/manifest.csv').toString().replace(',sad,', ',angry,'));
    expect(await work.refused(...run, '--id', id!, '--manifest', 'other.csv', ...json)).toContain(
      'other.csv has changed since runs/small/stage2 was trained',
    );
  });
});

/** A page of a run, and the utterance on it. */
async function writePage(file: string) {
  const utterance = ofPart('test')[1]!;
  await work.done('explain', '--run', 'runs/small', '--id', utterance.id!, '-o', file);
  return utterance;
}

describe('the page', () => {
  it('says what attention is not, names its parts, and has every word with its share', async () => {
    const { id, text } = await writePage('page.html');
    const page = work.read('page.html').toString();
    expect(page).toContain('Attention is not a cause');
    for (const cited of ['Jain and Wallace', 'Wiegreffe and Pinter']) expect(page).toContain(cited);
    const { words } = (await explained('--run', 'runs/small', '--id', id!)).attention;
    const titles = [...page.matchAll(/<span class="w\d" title="([\d.]+)"><bdi>/g)].map((match) => match[1]);
    expect(titles).toEqual(words!.weights.map(({ weight }) => weight.toFixed(4)));
    expect(titles).toHaveLength(text!.split(' ').length);
    expect(
      page.match(/<svg [^>]*role="img" aria-labelledby="[\w-]+" aria-describedby="[\w-]+"/g),
    ).toHaveLength(2);
    expect(readdirSync(work.path('.')).filter((name) => name.includes('page.html'))).toEqual(['page.html']);
  });
});

const chromium = chromiumFor('the page of emoq explain in a browser');

describe.runIf(chromium)('the page in Chromium', () => {
  const { folder, open } = useChromium(chromium!, 'explanation');
  const path = join(folder, 'page.html');
  beforeAll(async () => {
    await writePage('browser.html');
    copyFileSync(work.path('browser.html'), path);
  });

  it.each(['light', 'dark'] as const)('fits a phone and can be read, %s', async (colorScheme) => {
    const page = await open(path, { viewport: { width: 390, height: 800 }, colorScheme });
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
    const widths = await page
      .locator('.plot svg')
      .evaluateAll((all) => all.map((svg) => svg.getBoundingClientRect().right));
    expect(widths).toHaveLength(2);
    for (const right of widths) expect(right).toBeLessThanOrEqual(390);
    const texts = await page
      .locator('.plot svg text')
      .evaluateAll((all) => all.map((text) => Math.round(text.getBoundingClientRect().height)));
    for (const height of texts) expect(height).toBeGreaterThanOrEqual(11);
    expect(await page.evaluate(lowContrastText, 40)).toEqual([]);
    expect(await unnamedControls(page)).toEqual([]);
  });
});
