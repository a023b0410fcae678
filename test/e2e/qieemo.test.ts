/** @file Qieemo, from transcripts through both phases to a bundle and a recogniser of its own. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readSafetensors } from '../../src/engine/tensor/index.js';
import { csvRows, makeWorkspace, metricsOf } from './workspace.js';

const work = makeWorkspace('qieemo');
afterAll(() => work.remove());

const json = (name: string) => JSON.parse(work.read(name).toString());
const labels = ['neutral', 'happy', 'angry', 'sad'];
const recipe = {
  system: 'qieemo',
  manifest: 'toy/manifest.csv',
  labels,
  backbones: { encoder: 'toy/backbones/recogniser' },
  qieemo: { width: 16, heads: 2, feed_forward: 16, head_hidden: 16 },
  emotion: { epochs: 2, learning_rate: 1e-3, select: 'last' },
};

beforeAll(async () => {
  await work.toyCorpus(10, 12);
  work.file('frozen.yaml', JSON.stringify(recipe));
  const trained = {
    encoder: { train: 'all', layers: 'all' },
    align: { epochs: 2, learning_rate: 1e-3, learning_rates: { encoder: 1e-3 } },
    emotion: { ...recipe.emotion, from_align: true, loss: 'mal' },
  };
  work.file('aligned.yaml', JSON.stringify({ ...recipe, ...trained }));
});

describe('Qieemo over a frozen recogniser', () => {
  it('is trained, scored and reported', async () => {
    await work.done('train', '--recipe', 'frozen.yaml');
    await work.done('eval', '--recipe', 'frozen.yaml');
    expect(json('runs/frozen/emotion/results.json').n).toBeGreaterThan(0);
    await work.done('report', '--recipe', 'frozen.yaml', '--mistakes', '0');
  });

  it.each([
    ['the posteriorgram alone', 'encoder.layers=[]'],
    ['features alone', 'encoder.logits=false'],
  ])('may read %s', async (_, set) => {
    const run = ['--recipe', 'frozen.yaml', '--run', set.replaceAll(/[^a-z]/g, ''), '--set', set];
    await work.done('train', ...run, '--set', 'emotion.epochs=1');
  });
});

describe('Qieemo with an encoder fine-tuned on transcripts', () => {
  it('is trained in two phases, the first of which is not scored', async () => {
    await work.done('train', '--recipe', 'aligned.yaml');
    const losses = metricsOf(work, 'runs/aligned/align').flatMap(({ loss }) => loss ?? []);
    expect(losses.at(-1)).toBeLessThan(losses[0]!);
    const refused = await work.refused('eval', '--run', 'runs/aligned/align');
    expect(refused).toContain('is of phase align, which knows no labels; name its run of emotion');
  });

  it('predicts from its bundle as from its run', async () => {
    await work.done('eval', '--recipe', 'aligned.yaml');
    await work.done('export', 'bundle', '--run', 'runs/aligned', '-o', 'bundle');
    await work.done('predict', 'toy/manifest.csv', '-o', 'run.csv', '--run', 'runs/aligned');
    await work.done('predict', 'toy/manifest.csv', '-o', 'bundle.csv', '--bundle', 'bundle');
    const [own, bundled] = [csvRows(work, 'run.csv'), csvRows(work, 'bundle.csv')];
    expect(bundled).toHaveLength(own.length);
    for (const [index, row] of own.entries()) {
      for (const label of labels) {
        const [a, b] = [row[`prob_${label}`], bundled[index]![`prob_${label}`]].map(Number);
        expect(Math.abs(a! - b!)).toBeLessThan(1e-4);
      }
    }
  });

  it('gives its recogniser to other programs, with what it trained', async () => {
    await work.done('export', 'checkpoint', '--run', 'runs/aligned/align', '-o', 'recogniser');
    const weightsOf = async (folder: string) =>
      (await readSafetensors(work.path(`${folder}/model.safetensors`))).tensors;
    const [before, after] = [await weightsOf('toy/backbones/recogniser'), await weightsOf('recogniser')];
    expect([...after.keys()].sort()).toEqual([...before.keys()].sort());
    const key = 'lm_head.weight';
    expect(after.get(key)!.data).not.toEqual(before.get(key)!.data);
    const frozen = 'hubert.feature_projection.projection.weight';
    expect(after.get(frozen)!.data).toEqual(before.get(frozen)!.data);
    await work.done('transcribe', 'toy/manifest.csv', '-o', 'heard.csv', '--model', 'recogniser');
    expect(csvRows(work, 'heard.csv')).toHaveLength(120);
    expect(await work.refused('export', 'checkpoint', '--run', 'runs/frozen', '-o', 'none')).toContain(
      'trained no layer of its encoder (encoder.train is frozen)',
    );
  });
});

describe('Qieemo with a recogniser that learns when words are spoken', () => {
  it('is told by the manifest, whose times must be there', async () => {
    await work.done('prepare-toy', '--spoken', '--out', 'spoken', '--speakers', '5', '--utterances', '8');
    const words = {
      ...recipe,
      manifest: 'spoken/manifest.csv',
      encoder: { train: 'all' },
      align: { targets: 'words', epochs: 4, learning_rate: 1e-3, learning_rates: { encoder: 1e-3 } },
      emotion: { ...recipe.emotion, epochs: 1, from_align: true },
    };
    work.file('words.yaml', JSON.stringify(words));
    await work.done('train', '--recipe', 'words.yaml');
    const steps = metricsOf(work, 'runs/words/align').filter(({ frames }) => frames !== undefined);
    for (const key of ['ctc', 'frames', 'loss'] as const) {
      expect(steps.at(-1)![key], key).toBeLessThan(steps[0]![key] as number);
    }
    const refused = await work.refused(
      ...['train', '--recipe', 'words.yaml', '--run', 'untimed', '--set', 'manifest=toy/manifest.csv'],
    );
    expect(refused).toContain('does not say when its words are spoken');
    expect(
      await work.refused(
        ...['train', '--recipe', 'words.yaml', '--run', 'fast', '--set', 'augment.copies=1'],
      ),
    ).toContain('augment.speed');
  });
});

describe('a recipe of Qieemo', () => {
  it.each([
    [
      'emotion.from_align=true',
      'needs layers of the encoder to fine-tune; set encoder.train to top:N or all',
    ],
    ['qieemo.heads=3', '3 does not divide qieemo.width 16'],
    ['backbones.encoder=toy/backbones/hubert', 'is not a speech recogniser'],
  ])('with %s is refused', async (set, message) => {
    const refused = await work.refused('train', '--recipe', 'frozen.yaml', '--run', 'none', '--set', set);
    expect(refused).toContain(message);
  });
});
