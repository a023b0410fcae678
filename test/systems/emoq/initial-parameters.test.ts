/** @file Initial values: RoBERTa's weights where they exist, everything else at a known scale. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InputError } from '../../../src/base/index.js';
import { type Checkpoint, openCheckpoint } from '../../../src/checkpoints/index.js';
import { addInput, gelu, linear, type Value } from '../../../src/engine/onnx/index.js';
import {
  float32,
  float32Of,
  normalArray,
  seededRandom,
  type Tensor,
  tensor,
  writeSafetensors,
} from '../../../src/engine/tensor/index.js';
import type { ParameterShape } from '../../../src/engine/training/index.js';
import { formerInputs, formerViews } from '../../../src/nn/former/former-config.js';
import { emoqFormer, type FormerConfig, initialFormer, robertaKey } from '../../../src/nn/index.js';
import { declaredWeights, noDropout } from '../../../src/nn/weights.js';
import { initialHead } from '../../../src/systems/emoq/stage1.js';
import { initialProjector } from '../../../src/systems/emoq/stage2.js';
import { compute } from '../../backbones/decoders/graph-run.js';

const former: FormerConfig = {
  roberta: {
    ...{ vocabSize: 11, hiddenSize: 48, numHiddenLayers: 3, numAttentionHeads: 4, intermediateSize: 64 },
    ...{ maxPositionEmbeddings: 12, typeVocabSize: 1, padTokenId: 1, layerNormEps: 1e-5 },
    ...{ hiddenDropoutProb: 0, attentionProbsDropoutProb: 0 },
  },
  ...{ audioWidth: 40, queries: 3, crossAttentionEvery: 2, poolingHeads: 4, dropout: 0, attentionDropout: 0 },
  trainWordEmbeddings: true,
};
const shapes: ParameterShape[] = declaredWeights((graph, weights) => {
  const batch = Object.fromEntries(
    formerInputs(former.audioWidth, 'both').map(({ name, dtype, shape }) => [
      name,
      addInput(graph, name, dtype, shape),
    ]),
  );
  emoqFormer(weights, former, formerViews(batch, 'both'), noDropout);
});

const deviationOf = (values: ArrayLike<number>): number => {
  const all = Array.from(values);
  const mean = all.reduce((sum, value) => sum + value, 0) / all.length;
  return Math.sqrt(all.reduce((sum, value) => sum + (value - mean) ** 2, 0) / all.length);
};

let folder: string;
let roberta: Checkpoint;
const stored = new Map<string, Tensor>();
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'emoq-initial-'));
  for (const { key, shape } of shapes) {
    const source = robertaKey(key);
    if (source === undefined) continue;
    const size = shape.reduce((product, axis) => product * axis, 1);
    stored.set(source, tensor('float32', shape, normalArray(seededRandom('stored', source), size, 1)));
  }
  await writeFile(join(folder, 'config.json'), '{}');
  await writeSafetensors(join(folder, 'model.safetensors'), stored);
  roberta = await openCheckpoint(folder);
});
afterAll(() => rm(folder, { recursive: true }));

describe('the Former', () => {
  it("starts from RoBERTa: embeddings, self-attention, and its FFN for the text's and the queries' alike", async () => {
    const initial = await initialFormer(shapes, roberta, 1);
    expect([...initial.keys()]).toEqual(shapes.map(({ key }) => key));
    const sources: Record<string, string> = {
      'embeddings.word_embeddings.weight': 'embeddings.word_embeddings.weight',
      'encoder.layer.1.attention.self.query.weight': 'encoder.layer.1.attention.self.query.weight',
      'encoder.layer.1.intermediate.dense.bias': 'encoder.layer.1.intermediate.dense.bias',
      'encoder.layer.1.intermediate_query.dense.bias': 'encoder.layer.1.intermediate.dense.bias',
      'encoder.layer.2.output_query.LayerNorm.weight': 'encoder.layer.2.output.LayerNorm.weight',
    };
    for (const [key, source] of Object.entries(sources))
      expect(initial.get(key), key).toEqual(stored.get(source));
    const [text, queries] = ['', '_query'].map((suffix) =>
      initial.get(`encoder.layer.0.output${suffix}.dense.weight`),
    );
    expect(queries).toEqual(text);
    expect(queries!.data).not.toBe(text!.data);
  });

  it('has new parameters where RoBERTa has none', () => {
    const made = shapes.map(({ key }) => key).filter((key) => robertaKey(key) === undefined);
    const parts = new Set(
      made.map((key) => key.replace(/^encoder\.layer\.(\d)\.(\w+)\..*/, '$1.$2').split('.bias')[0]),
    );
    expect([...parts].filter((part) => part!.includes('crossattention'))).toEqual([
      '0.crossattention',
      '2.crossattention',
    ]);
    expect(made).toContain('query_tokens');
    expect(made).toContain('audio_projection.weight');
    expect(made).toContain('pooling.score.weight');
    expect(made.some((key) => key.includes('embeddings') || key.includes('.attention.'))).toBe(false);
  });

  it('keeps the variance of its input in new weights; biases are 0 and scales 1', async () => {
    const initial = await initialFormer(shapes, undefined, 1);
    for (const { key, shape } of shapes) {
      const values = float32Of(initial.get(key)!);
      if (key.endsWith('.bias')) expect(new Set(values), key).toEqual(new Set([0]));
      else if (key.endsWith('LayerNorm.weight')) expect(new Set(values), key).toEqual(new Set([1]));
      else if (values.length > 1000) {
        expect(deviationOf(values) * Math.sqrt(shape.at(-1)!), key).toBeCloseTo(1, 1);
      }
    }
  });

  it('is a function of seed and key, not of what else is asked for', async () => {
    const all = await initialFormer(shapes, undefined, 1);
    const backwards = await initialFormer([...shapes].reverse(), undefined, 1);
    const other = await initialFormer(shapes, undefined, 2);
    for (const key of all.keys()) expect(backwards.get(key)).toEqual(all.get(key));
    expect(other.get('query_tokens')).not.toEqual(all.get('query_tokens'));
    const keys = ['pooling.value.weight', 'pooling.output.weight'].map((key) => all.get(key)!.data);
    expect(keys[0]).not.toEqual(keys[1]);
  });

  it('refuses a RoBERTa that lacks a weight or has it in another shape, naming it', async () => {
    const wrong = [{ key: 'embeddings.LayerNorm.weight', shape: [49] }];
    await expect(initialFormer(wrong, roberta, 1)).rejects.toThrow(InputError);
    await expect(initialFormer(wrong, roberta, 1)).rejects.toThrow('embeddings.LayerNorm.weight');
    const missing = [{ key: 'encoder.layer.3.intermediate_query.dense.bias', shape: [64] }];
    await expect(initialFormer(missing, roberta, 1)).rejects.toThrow(
      'encoder.layer.3.intermediate.dense.bias',
    );
  });
});

describe('the audio projection', () => {
  const random = seededRandom('audio statistics');
  const mean = Float32Array.from({ length: 40 }, () => 20 * random.normal());
  // The last channel is nearly constant.
  const deviation = Float32Array.from({ length: 40 }, (_, channel) =>
    channel === 39 ? 1e-8 : 0.5 + random.uniform(),
  );
  const project = (weight: Tensor, bias: Tensor, frame: ArrayLike<number>): number[] =>
    Array.from(bias.data as Float32Array, (start, out) =>
      Array.from(frame).reduce((sum, value, at) => sum + float32Of(weight)[out * 40 + at]! * value, start),
    );

  it('starts at the standardised features', async () => {
    const initial = await initialFormer(shapes, undefined, 1, { mean, deviation });
    const [weight, bias] = ['weight', 'bias'].map((part) => initial.get(`audio_projection.${part}`)!);
    for (const value of project(weight!, bias!, mean)) expect(value).toBeCloseTo(0, 3);
    const outputs = Array.from({ length: 60 }, () =>
      project(
        weight!,
        bias!,
        mean.map((value, channel) => value + deviation[channel]! * random.normal()),
      ),
    );
    expect(deviationOf(outputs.flat())).toBeGreaterThan(0.9);
    expect(deviationOf(outputs.flat())).toBeLessThan(1.1);
  });

  it('does not blow up a channel that hardly moves', async () => {
    const plain = await initialFormer(shapes, undefined, 1);
    const scaled = await initialFormer(shapes, undefined, 1, { mean, deviation });
    const [before, after] = [plain, scaled].map((each) => float32Of(each.get('audio_projection.weight')!));
    expect(after![39]! / before![39]!).toBeLessThan(200);
    expect(after![0]! / before![0]!).toBeCloseTo(1 / deviation[0]!, 4);
  });
});

/** Rows of unit length, as e'_q is. */
function unitRows(rows: number, width: number): Tensor {
  const values = normalArray(seededRandom('unit rows'), rows * width, 1);
  for (let row = 0; row < rows; row++) {
    const own = values.subarray(row * width, (row + 1) * width);
    const length = Math.hypot(...own);
    own.forEach((value, i) => {
      own[i] = value / length;
    });
  }
  return tensor('float32', [rows, width], values);
}

describe('the parts behind an embedding of unit length', () => {
  const embeddings = [unitRows(64, 48), ['N', 48]] as const;
  const rootMeanSquare = (values: ArrayLike<number>): number =>
    Math.sqrt(Array.from(values).reduce((sum, value) => sum + value * value, 0) / values.length);

  it('have a head whose first layer gives unit variance', async () => {
    const head = initialHead(
      [
        { key: 'dense.weight', shape: [96, 48] },
        { key: 'dense.bias', shape: [96] },
        { key: 'out_proj.weight', shape: [4, 96] },
      ],
      1,
    );
    const { inner } = await compute(
      { embeddings, weight: [head.get('dense.weight')!, [96, 48]] },
      (_, values) => ({ inner: linear(values.embeddings, values.weight) }),
    );
    expect(deviationOf(float32Of(inner!))).toBeCloseTo(1, 1);
    expect(new Set(head.get('dense.bias')!.data)).toEqual(new Set([0]));
    expect(deviationOf(head.get('out_proj.weight')!.data) * Math.sqrt(96)).toBeCloseTo(1, 1);
  });

  it('have a projector whose soft prompt is at the scale of the word embeddings, with a hidden layer or without', async () => {
    const rms = 0.017;
    const straight = initialProjector([{ key: 'linear.weight', shape: [128, 48] }], rms, 1);
    const deep = initialProjector(
      [
        { key: 'hidden.weight', shape: [96, 48] },
        { key: 'hidden.bias', shape: [96] },
        { key: 'out.weight', shape: [128, 96] },
        { key: 'out.bias', shape: [128] },
      ],
      rms,
      1,
    );
    const results = await compute(
      {
        embeddings,
        linear: [straight.get('linear.weight')!, [128, 48]],
        hidden: [deep.get('hidden.weight')!, [96, 48]],
        out: [deep.get('out.weight')!, [128, 96]],
      },
      (_, values) => ({
        straight: linear(values.embeddings, values.linear),
        deep: linear(gelu(linear(values.embeddings, values.hidden)), values.out),
      }),
    );
    for (const prompt of Object.values(results)) {
      expect(rootMeanSquare(float32Of(prompt)) / rms).toBeGreaterThan(0.9);
      expect(rootMeanSquare(float32Of(prompt)) / rms).toBeLessThan(1.1);
    }
  });

  it('have a projector that takes frames of any mean and scale to the scale of the word embeddings', async () => {
    const [rms, count, width] = [0.017, 200, 48];
    const random = seededRandom(5, 'frames');
    const mean = Float32Array.from({ length: width }, (_, channel) => 3 + channel);
    const deviation = Float32Array.from({ length: width }, (_, channel) => 0.5 + (channel % 4));
    const frames = float32(
      [count, width],
      Array.from(
        normalArray(random, count * width, 1),
        (value, i) => mean[i % width]! + deviation[i % width]! * value,
      ),
    );
    const shapes = {
      straight: [
        { key: 'linear.weight', shape: [128, width] },
        { key: 'linear.bias', shape: [128] },
      ],
      deep: [
        { key: 'hidden.weight', shape: [96, width] },
        { key: 'hidden.bias', shape: [96] },
        { key: 'out.weight', shape: [128, 96] },
        { key: 'out.bias', shape: [128] },
      ],
    };
    const feeds = Object.values(shapes).flatMap((parameters) => [
      ...initialProjector(parameters, rms, 1, { mean, deviation }),
    ]);
    const results = await compute(
      {
        frames: [frames, [count, width]],
        ...Object.fromEntries(feeds.map(([key, value]) => [key, [value, value.shape] as const])),
      },
      (_, { frames: clip, ...values }) => {
        const given: Readonly<Record<string, Value>> = values;
        const layer = (name: string, x: Value): Value =>
          linear(x, given[`${name}.weight`]!, given[`${name}.bias`]!);
        return { straight: layer('linear', clip), deep: layer('out', gelu(layer('hidden', clip))) };
      },
    );
    for (const [name, slots] of Object.entries(results)) {
      expect(rootMeanSquare(float32Of(slots)) / rms, name).toBeGreaterThan(0.9);
      expect(rootMeanSquare(float32Of(slots)) / rms, name).toBeLessThan(1.1);
    }
  });
});
