/** @file Exported models in integers of 8 and 4 bits, opened by path, against the same models in float32. */

import { mkdtempSync, realpathSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { buildByteLevelTokenizer } from '../../src/data/text/index.js';
import { writeToyDecoder } from '../../src/data/toy-backbones/toy-backbones.js';
import { writeToySpeechEncoder } from '../../src/data/toy-backbones/toy-speech-encoders.js';
import { writeToyWhisper } from '../../src/data/toy-backbones/toy-whisper.js';
import {
  float32Of,
  int64,
  readSafetensors,
  seededRandom,
  type Tensor,
  tensor,
} from '../../src/engine/tensor/index.js';
import {
  type ExportableModel,
  exportableEncoder,
  exportableLanguageModel,
  writeModelFiles,
} from '../../src/inference/export/index.js';
import { integerModel } from '../../src/inference/export/integer-model.js';
import { openByPath } from './exported-files.js';

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'emoq-integers-')));
afterAll(() => rmSync(folder, { recursive: true }));

async function outputs(name: string, model: ExportableModel, feeds: Record<string, Tensor>) {
  const path = join(folder, `${name}.onnx`);
  await writeModelFiles(path, model, {});
  const session = await openByPath(path);
  const results = await session.run(feeds);
  await session.dispose();
  const { tensors } = await readSafetensors(`${path}.safetensors`);
  return { results, keys: [...tensors.keys()], bytes: statSync(`${path}.safetensors`).size };
}

/** Root mean square of the differences, as a share of that of the values. */
function distance(a: Tensor, b: Tensor): number {
  const [values, wanted] = [float32Of(a), float32Of(b)];
  const squares = (at: (index: number) => number): number =>
    values.reduce((sum, _, index) => sum + at(index) ** 2, 0);
  return Math.sqrt(squares((index) => values[index]! - wanted[index]!) / squares((index) => wanted[index]!));
}

describe('a model in 8-bit integers', () => {
  it.each(['hubert', 'wavlm', 'whisper'] as const)('is close to the speech encoder %s', async (family) => {
    const dir = join(folder, family);
    if (family === 'whisper') await writeToyWhisper(dir, 1);
    else await writeToySpeechEncoder(dir, 1, family);
    const model = await exportableEncoder(dir);
    const random = seededRandom('clip');
    const samples = Float32Array.from({ length: 2 * 16_000 }, () => random.normal());
    const feeds = {
      input_values: tensor('float32', [2, 16_000], samples),
      attention_mask: int64([2, 16_000], Array(2 * 16_000).fill(1)),
    };
    const [floats, integers] = [
      await outputs(family, model, feeds),
      await outputs(`${family}-int8`, integerModel(model, { type: 'int8' }), feeds),
    ];
    expect(distance(integers.results.last_hidden_state!, floats.results.last_hidden_state!)).toBeLessThan(
      0.05,
    );
    const layer = family === 'whisper' ? 'layers.0.fc1' : 'encoder.layers.0.feed_forward.intermediate_dense';
    expect(integers.keys).toContain(`${layer}.weight_int8`);
    expect(integers.keys).toContain(`${layer}.weight_int8_scale`);
    expect(integers.keys).toContain(`${layer}.bias`);
    expect(integers.keys).not.toContain(`${layer}.weight`);
    expect(integers.bytes).toBeLessThan(0.7 * floats.bytes); // toy convolutions are too small for it
  });

  it('is close to the language model, a row alone as in a batch', async () => {
    const dir = join(folder, 'qwen2');
    await writeToyDecoder(dir, 1, 'qwen2', buildByteLevelTokenizer({ words: ['we', 'won'], kind: 'qwen2' }));
    const model = integerModel(await exportableLanguageModel({ checkpoint: dir }), { type: 'int8' });
    const ids = Array.from({ length: 24 }, (_, at) => (at * 37) % 250);
    const feeds = (rows: number) => ({
      input_ids: int64([rows, 12], ids.slice(0, rows * 12)),
      attention_mask: int64([rows, 12], Array(rows * 12).fill(1)),
    });
    const floats = await outputs('llm', await exportableLanguageModel({ checkpoint: dir }), feeds(2));
    const integers = await outputs('llm-int8', model, feeds(2));
    expect(distance(integers.results.logits!, floats.results.logits!)).toBeLessThan(0.1);
    expect(integers.keys).toContain('model.embed_tokens.weight'); // which the head reads too
    const isKept = (key: string): boolean => key.endsWith('.mlp.down_proj.weight');
    const kept = integerModel(await exportableLanguageModel({ checkpoint: dir }), { type: 'int8', isKept });
    const partly = await outputs('llm-partly', kept, feeds(2));
    const down = 'model.layers.0.mlp.down_proj.weight';
    expect([down, `${down}_int8`].map((key) => integers.keys.includes(key))).toEqual([false, true]);
    expect([down, `${down}_int8`].map((key) => partly.keys.includes(key))).toEqual([true, false]);
    expect(distance(partly.results.logits!, floats.results.logits!)).toBeLessThan(
      distance(integers.results.logits!, floats.results.logits!),
    );
    const alone = await outputs('llm-int8', model, feeds(1));
    const first = float32Of(integers.results.logits!).slice(0, float32Of(alone.results.logits!).length);
    expect(distance({ ...alone.results.logits!, data: first } as Tensor, alone.results.logits!)).toBeLessThan(
      1e-6,
    );
  });
});

describe('a language model in 4 bits', () => {
  it('is near the model, smaller than in 8 bits, and a row alone is as in a batch', async () => {
    const dir = join(folder, 'qwen2-int4');
    await writeToyDecoder(dir, 1, 'qwen2', buildByteLevelTokenizer({ words: ['we', 'won'], kind: 'qwen2' }));
    const whole = () => exportableLanguageModel({ checkpoint: dir });
    const ids = Array.from({ length: 24 }, (_, at) => (at * 37) % 250);
    const feeds = (rows: number) => ({
      input_ids: int64([rows, 12], ids.slice(0, rows * 12)),
      attention_mask: int64([rows, 12], Array(rows * 12).fill(1)),
    });
    const floats = await outputs('llm-floats', await whole(), feeds(2));
    const eight = await outputs('llm-eight', integerModel(await whole(), { type: 'int8' }), feeds(2));
    const four = await outputs('llm-four', integerModel(await whole(), { type: 'int4' }), feeds(2));
    const far = distance(four.results.logits!, floats.results.logits!);
    expect(far).toBeLessThan(0.3);
    expect(far).toBeGreaterThan(distance(eight.results.logits!, floats.results.logits!));
    expect(four.bytes).toBeLessThan(eight.bytes);
    const down = 'model.layers.0.mlp.down_proj.weight';
    for (const suffix of ['int4', 'int4_scale', 'int4_zero'])
      expect(four.keys).toContain(`${down}_${suffix}`);
    expect(four.keys).not.toContain(down);
    const alone = await outputs('llm-four', integerModel(await whole(), { type: 'int4' }), feeds(1));
    const first = float32Of(four.results.logits!).slice(0, float32Of(alone.results.logits!).length);
    expect(distance({ ...alone.results.logits!, data: first } as Tensor, alone.results.logits!)).toBeLessThan(
      1e-6,
    );
  });
});
