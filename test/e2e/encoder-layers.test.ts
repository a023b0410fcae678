/** @file Models that read several layers of their encoder, from dry run to bundle and report. */

import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readManifest } from '../../src/data/corpora/index.js';
import { float32Of, readSafetensors } from '../../src/engine/tensor/index.js';
import { openBundleModel } from '../../src/inference/bundle/index.js';
import { LAYER_MIX_KEY, layerShares } from '../../src/systems/index.js';
import { makeWorkspace, onnxPython, toyRecipe } from './workspace.js';

const work = makeWorkspace('encoder-layers');
afterAll(() => work.remove());

const json = (name: string) => JSON.parse(work.read(name).toString());
const small = {
  former: { queries: 4, pooling_heads: 4, head_hidden: 64 },
  stage1: { epochs: 2, batch_size: 8, learning_rate: 1e-3, select: 'last' },
  stage2: { epochs: 1, batch_size: 8, learning_rate: 1e-3, select: 'last' },
  max_audio_sec: 2,
};
const hasRuntime =
  onnxPython !== undefined && spawnSync(onnxPython, ['-c', 'import onnxruntime, tokenizers']).status === 0;
const script = fileURLToPath(new URL('../../examples/predict.py', import.meta.url));

/** The encoder of the workspace has one layer, and that layer's input. */
const LAYERS = 2;

beforeAll(async () => {
  await work.toyCorpus(5, 8);
  const quick = { learning_rates: { mix: 0.1 } };
  const stages = { stage1: { ...small.stage1, ...quick }, stage2: { ...small.stage2, ...quick } };
  work.file('all.yaml', toyRecipe('toy', { ...small, ...stages, encoder: { layers: 'all' } }));
  work.file('mean.yaml', toyRecipe('toy', { ...small, encoder: { layers: [0, 1], mix: 'mean' } }));
  work.file('last.yaml', toyRecipe('toy', small));
  const probe = {
    system: 'linear-probe',
    manifest: 'toy/manifest.csv',
    labels: ['neutral', 'happy', 'angry', 'sad'],
  };
  const backbones = { encoder: 'toy/backbones/hubert' };
  const settings = { epochs: 3, learning_rate: 0.01, select: 'last' };
  work.file(
    'probe.yaml',
    JSON.stringify({ ...probe, backbones, probe: settings, encoder: { layers: [1, 0] } }),
  );
});

/** Of `features: 40 clips take about 1.5 MB in the cache`. */
function featureMegabytes(text: string): number {
  return Number(/take about ([\d.]+) MB in the cache/.exec(text)![1]);
}

describe('a model of all layers', () => {
  it('says before training how much their features take', async () => {
    const sizeOf = async (recipe: string): Promise<number> =>
      featureMegabytes((await work.done('stage1', '--recipe', recipe, '--dry-run')).stderr);
    const [all, mean, last] = [
      await sizeOf('all.yaml'),
      await sizeOf('mean.yaml'),
      await sizeOf('last.yaml'),
    ];
    expect(mean).toBe(last);
    expect(all / last).toBeGreaterThan(1.5);
    expect(all / last).toBeLessThan(2.5);
  });

  it('trains their weights in both stages', async () => {
    await work.done('train', '--recipe', 'all.yaml');
    const sharesOf = async (stage: string): Promise<number[]> => {
      const { tensors } = await readSafetensors(work.path(`runs/all/${stage}/checkpoint.safetensors`));
      return layerShares(float32Of(tensors.get(LAYER_MIX_KEY)!));
    };
    const [first, second] = [await sharesOf('stage1'), await sharesOf('stage2')];
    for (const shares of [first, second]) {
      expect(shares).toHaveLength(LAYERS);
      expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 6);
      expect(Math.max(...shares) - Math.min(...shares)).toBeGreaterThan(0.01);
    }
    expect(second).not.toEqual(first);
  });

  it('has its features apart from those of the last layer', () => {
    const caches = readdirSync(work.path('../features')).filter((name) => /^[0-9a-f]+/.test(name));
    expect(caches.some((name) => name.endsWith('-layers-all'))).toBe(true);
  });

  it('is scored, and reported with the weights', async () => {
    await work.done('eval', '--recipe', 'all.yaml');
    expect(json('runs/all/stage2/results.json').n).toBeGreaterThan(0);
    await work.done('report', '--recipe', 'all.yaml', '--mistakes', '0');
    const page = work.read('runs/all/stage2/report.html').toString();
    expect(page).toMatch(/The encoder(?:'|&#\d+;)s layers/);
    expect(page).toContain('Weight of each layer, in percent.');
  });

  it('predicts from its bundle as from its run', async () => {
    await work.done('export', 'bundle', '--run', 'runs/all', '-o', 'bundle');
    expect(work.read('bundle/recipe.yaml').toString()).toContain('layers: [0, 1]');
    const predict = async (output: string, ...model: string[]): Promise<string> => {
      await work.done('predict', 'toy/manifest.csv', '-o', output, ...model);
      return work.read(output).toString();
    };
    const [own, bundled] = [
      await predict('run.csv', '--run', 'runs/all'),
      await predict('bundle.csv', '--bundle', 'bundle'),
    ];
    const cells = (text: string) => text.split('\n').map((line) => line.split(','));
    const [a, b] = [cells(own), cells(bundled)];
    expect(b.length).toBe(a.length);
    for (const [row, values] of a.entries()) {
      for (const [column, value] of values.entries()) {
        const other = b[row]![column]!;
        if (/^0?\.\d+$|^\d\.\d+/.test(value))
          expect(Math.abs(Number(value) - Number(other))).toBeLessThan(1e-4);
        else expect(other).toBe(value);
      }
    }
    const model = await openBundleModel(work.path('bundle'), {
      device: { kind: 'cpu' },
      threads: 1,
      cacheDir: '',
    });
    await model.close();
  });

  it.runIf(hasRuntime)("gives the same probabilities with Python's onnxruntime", async () => {
    const { utterances } = await readManifest(work.path('toy/manifest.csv'));
    const { path, text, speaker, gender } = utterances[0]!;
    const args = [script, work.path('bundle'), path, text, speaker, gender];
    const found = JSON.parse(execFileSync(onnxPython!, args).toString()) as Record<string, number>;
    const [header, first] = work
      .read('bundle.csv')
      .toString()
      .split('\n')
      .map((line) => line.split(','));
    for (const [label, value] of Object.entries(found)) {
      const own = Number(first!.at(header!.indexOf(`prob_${label}`) - header!.length));
      expect(Math.abs(own - value)).toBeLessThan(1e-4);
    }
    expect(Object.keys(found)).toHaveLength(4);
  });

  it('has a Former that is not exported without the sum', async () => {
    expect(await work.refused('export', 'former', '--run', 'runs/all', '-o', 'former.onnx')).toContain(
      'reads a sum of several encoder layers; emoq export bundle has it with what comes before it',
    );
  });

  it('has an exported encoder that is not taken for one of other layers', async () => {
    const encoder = 'backbones.encoder_onnx=bundle/encoder/encoder.onnx';
    const stage1 = ['stage1', '--recipe', 'all.yaml', '--run', 'other', '--set', encoder, '--set'];
    expect(await work.refused(...stage1, 'encoder.layers=[1, 2]')).toContain(
      'gives layers 0-1, where encoder.layers asks for 1-2',
    );
  });

  it('is not begun from a stage 1 that read other layers', async () => {
    const said = await work.refused(
      'stage2',
      '--recipe',
      'mean.yaml',
      '--run',
      'runs/all2',
      '--set',
      'encoder.layers=[0]',
    );
    expect(said).toMatch(/stage 1|stage1/);
  });
});

describe('other models', () => {
  it('read the mean of layers without parameters for it', async () => {
    await work.done('stage1', '--recipe', 'mean.yaml');
    const { tensors } = await readSafetensors(work.path('runs/mean/stage1/checkpoint.safetensors'));
    expect(tensors.has(LAYER_MIX_KEY)).toBe(false);
  });

  it('may be linear probes', async () => {
    await work.done('train', '--recipe', 'probe.yaml');
    const { tensors } = await readSafetensors(work.path('runs/probe/probe/checkpoint.safetensors'));
    expect(tensors.get(LAYER_MIX_KEY)!.shape).toEqual([2]);
    await work.done('eval', '--recipe', 'probe.yaml');
    expect(json('runs/probe/probe/results.json').n).toBeGreaterThan(0);
  });

  it('are refused where the encoder has no such layer, and where an exported one gives the last', async () => {
    const refused = (...set: string[]) =>
      work.refused(
        'stage1',
        '--recipe',
        'last.yaml',
        '--run',
        'none',
        ...set.flatMap((each) => ['--set', each]),
      );
    expect(await refused('encoder.layers=[7]')).toContain(
      "encoder.layers has 7, but the encoder's layers are 0 to 1",
    );
    expect(await refused('encoder.layers=some')).toContain(
      'must be last, all, lower, middle, upper or a list of layers',
    );
    await work.done('export', 'encoder', '--checkpoint', 'toy/backbones/hubert', '-o', 'encoder.onnx');
    expect(await refused('encoder.layers=[0]', 'backbones.encoder_onnx=encoder.onnx')).toContain(
      'was exported without the encoder.layers that the recipe asks for',
    );
  });
});
