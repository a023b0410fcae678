/** @file Exported encoders in place of emoq's own, from the dry run to predictions: Optimum's, and a foreign one. */

import { cpSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readSafetensors } from '../../src/engine/tensor/index.js';
import { otherEncoderFile } from '../backbones/speech-encoders/other-encoder.js';
import { csvRows, listing, makeWorkspace, metricsOf, shortPrompt, toyRecipe } from './workspace.js';

const work = makeWorkspace('exported-encoder');
afterAll(() => work.remove());

const fixtures = fileURLToPath(new URL('../fixtures/', import.meta.url));
// 1,333 frames a second: a quarter of a second is enough.
const recipe = toyRecipe('toy', {
  max_audio_sec: 0.25,
  former: { queries: 4, pooling_heads: 4, head_hidden: 32, dropout: 0, attention_dropout: 0 },
  stage1: { epochs: 1, batch_size: 8, learning_rate: 1e-3, select: 'last' },
});
const own = ['--recipe', 'small.yaml', '--set', 'backbones.encoder=hubert'];
const exported = (onnx: string) => [
  ...['--recipe', 'small.yaml', '--set', 'backbones.encoder=optimum'],
  ...['--set', `backbones.encoder_onnx=${onnx}`],
];
const withGraph = exported('optimum/model.onnx');

beforeAll(async () => {
  work.file('small.yaml', recipe);
  cpSync(join(fixtures, 'hubert', 'large-odd'), work.path('hubert'), { recursive: true });
  cpSync(join(fixtures, 'optimum-hubert', 'large-odd'), work.path('optimum'), { recursive: true });
  cpSync(join(fixtures, 'optimum-hubert', 'large-odd'), work.path('mixed'), { recursive: true });
  cpSync(join(fixtures, 'optimum-hubert', 'base-odd', 'model.onnx'), work.path('mixed/model.onnx'));
  await work.toyCorpus(5, 4);
});

describe('a recipe with backbones.encoder_onnx', () => {
  it('is checked by a dry run', async () => {
    const before = listing(work.dir);
    const { stdout } = await work.done('stage1', ...withGraph, '--dry-run');
    expect(stdout).toMatch(/^ {2}encoder_onnx: optimum\/model\.onnx$/m);
    expect(listing(work.dir)).toEqual(before);
    expect(await work.refused('stage1', ...exported('no.onnx'), '--dry-run')).toBe(
      'error: encoder no.onnx does not exist',
    );
  });

  it('trains, scores and predicts as the checkpoint does from which the graph was made', async () => {
    await work.done('stage1', ...own, '--run', 'own');
    await work.done('stage1', ...withGraph, '--run', 'exported');
    const [ofOwn, ofExported] = [metricsOf(work, 'own/stage1'), metricsOf(work, 'exported/stage1')];
    expect(ofExported).toHaveLength(ofOwn.length);
    ofExported.forEach(({ loss }, line) => {
      if (loss !== undefined) expect(loss).toBeCloseTo(ofOwn[line]!.loss!, 2);
    });

    const scores: unknown[] = [];
    const probabilities: number[][] = [];
    for (const run of ['own', 'exported']) {
      const { stdout } = await work.done('eval', '--run', run, '--stage', '1', '--json');
      scores.push((JSON.parse(stdout) as { confusion: unknown }).confusion);
      await work.done('predict', 'toy/manifest.csv', '-o', `${run}.csv`, '--run', run);
      const rows = csvRows(work, `${run}.csv`);
      expect(rows).toHaveLength(20);
      probabilities.push(rows.map(({ prob_sad }) => Number(prob_sad)));
    }
    expect(scores[1]).toEqual(scores[0]);
    probabilities[1]!.forEach((value, row) => {
      expect(value).toBeCloseTo(probabilities[0]![row]!, 2);
    });
  });

  it('keeps its features apart from those of the checkpoint', () => {
    const caches = readdirSync(work.path('..', 'features'), { withFileTypes: true });
    expect(caches.filter((entry) => entry.isDirectory())).toHaveLength(2);
  });

  it('is refused in one line if the graph does not fit, or is missing', async () => {
    expect(await work.refused('stage1', ...exported('mixed/model.onnx'), '--run', 'x')).toMatch(
      /^error: encoder mixed\/model\.onnx gives features of width 10, where .* hidden_size 21;/,
    );
    expect(await work.refused('stage1', ...exported('small.yaml'), '--run', 'x')).toBe(
      'error: encoder small.yaml is not an ONNX file, or is cut short',
    );
    renameSync(work.path('optimum', 'model.onnx'), work.path('moved.onnx'));
    const gone =
      'error: encoder optimum/model.onnx does not exist; if it was moved, say where it is: --backbone encoder_onnx=FILE';
    expect(await work.refused('eval', '--run', 'exported', '--stage', '1')).toBe(gone);
    expect(await work.refused('predict', 'toy/manifest.csv', '-o', 'x.csv', '--run', 'exported')).toBe(gone);
  });
});

describe('an encoder that is no HuBERT, without any config', () => {
  const encoder = { width: 24, kernel: 400, stride: 640 };
  const other = ['--recipe', 'other.yaml'];

  beforeAll(() => {
    work.file('other/model.onnx', otherEncoderFile(encoder));
    work.file('other/preprocessor_config.json', '{"do_normalize": false}');
    const backbones = {
      encoder: null,
      encoder_onnx: 'other/model.onnx',
      former: 'toy/backbones/roberta',
      llm: 'toy/backbones/qwen2',
    };
    const settings = {
      manifest: 'toy/manifest.csv',
      labels: ['neutral', 'happy', 'angry', 'sad'],
      backbones,
      prompt: shortPrompt,
      former: { queries: 4, pooling_heads: 4, head_hidden: 32 },
      stage1: { epochs: 1, batch_size: 8, learning_rate: 1e-3 },
      stage2: { epochs: 1, batch_size: 8, learning_rate: 1e-3 },
    };
    work.file('other.yaml', JSON.stringify(settings)); // JSON is YAML
  });

  it('trains both stages, scores and predicts, and is reported by the doctor', async () => {
    for (const stage of ['stage1', 'stage2']) {
      const planned = await work.done(stage, ...other, '--dry-run');
      expect(planned.stderr).not.toContain('warning');
      expect((await work.done(stage, ...other)).stderr).not.toContain('warning');
    }
    const { tensors } = await readSafetensors(work.path('runs/other/stage1/checkpoint.safetensors'));
    expect(tensors.get('former.audio_projection.weight')!.shape[1]).toBe(24);
    await work.done('eval', ...other);
    await work.done('predict', 'toy/manifest.csv', '-o', 'other.csv', '--run', 'runs/other');
    const [evaluated, predicted] = [
      csvRows(work, 'runs/other/stage2/predictions.csv'),
      csvRows(work, 'other.csv'),
    ];
    for (const { id, prob_sad } of evaluated) {
      const row = predicted.find((each) => each.id === id);
      expect(Number(row!.prob_sad)).toBeCloseTo(Number(prob_sad), 4);
    }
    const doctor = await work.done('doctor', ...other);
    expect(doctor.stdout).toMatch(/^ok +encoder +other\/model\.onnx: features of width 24, \d+(\.\d+)? kB/m);
  });

  it('is warned of where nothing says how it is fed, and missed where it is not named', async () => {
    work.file('bare/model.onnx', otherEncoderFile(encoder));
    const bare = [...other, '--set', 'backbones.encoder_onnx=bare/model.onnx'];
    const warning = /^warning: encoder bare\/model\.onnx: its waveform preprocessing is not known/m;
    expect((await work.done('stage1', ...bare, '--dry-run')).stderr).toMatch(warning);
    expect((await work.done('stage1', ...bare, '--run', 'bare-run')).stderr).toMatch(warning);
    expect(await work.refused('stage1', ...other, '--set', 'backbones.encoder_onnx=null')).toContain(
      'backbones.encoder: is null, and so is encoder_onnx; name a speech encoder or an exported one',
    );
    const { stdout } = await work.run('doctor', ...other, '--set', 'backbones.encoder_onnx=no.onnx');
    expect(stdout).toMatch(/^missing +encoder +encoder no\.onnx does not exist$/m);
    work.file('whisper.onnx', otherEncoderFile({ ...encoder, input: 'input_features' }));
    expect(await work.refused('stage1', ...other, '--set', 'backbones.encoder_onnx=whisper.onnx')).toContain(
      'wants spectrograms (input_features), as Whisper does, but emoq only provides waveforms',
    );
  });
});
