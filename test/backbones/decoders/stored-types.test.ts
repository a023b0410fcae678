/** @file Weights of every stored type in products of every type of 16 bits: each is rounded once. */

import { describe, expect, it } from 'vitest';
import { decoder, embedTokens, labelLogits, lmHead } from '../../../src/backbones/index.js';
import { storedTensor } from '../../../src/checkpoints/index.js';
import { cast, constant, type Graph, reshape, type Value } from '../../../src/engine/onnx/index.js';
import {
  encodeBfloat16,
  encodeHalf,
  float32,
  float32Of,
  type Tensor,
  tensor,
} from '../../../src/engine/tensor/index.js';
import type { Weights } from '../../../src/nn/weights.js';
import { emulatePrecision } from '../../engine/emulated-precision.js';
import { compute, type Fixture, openFixture } from './graph-run.js';

const LABELS = [11, 40, 7, 36];

type Narrow = 'bfloat16' | 'float16';

/** A model's logits over the vocabulary and over the label words. */
async function logitsOf(
  { config, checkpoint, expected }: Fixture,
  weightsIn: (graph: Graph) => { rows: Weights; layers: Weights },
): Promise<{ all: Tensor; labels: Tensor }> {
  const { all, labels } = await compute(
    { ids: [expected('input_ids'), ['N', 'L']], mask: [expected('right.mask'), ['N', 'L']] },
    (graph, { ids, mask }) => {
      const { rows, layers } = weightsIn(graph);
      const embeddings = embedTokens(rows, config, ids);
      const hidden = decoder(layers, config, { embeddings, attentionMask: mask });
      const flat: Value = reshape(hidden, ['L*N', config.hiddenSize]);
      return { all: lmHead(layers, config, flat), labels: labelLogits(layers, config, flat, LABELS) };
    },
    checkpoint.dir,
    emulatePrecision,
  );
  return { all: all!, labels: labels! };
}

async function storedValues({ checkpoint }: Fixture): Promise<Map<string, Tensor<'float32'>>> {
  const values = new Map<string, Tensor<'float32'>>();
  for (const [key, ref] of checkpoint.weights) {
    const bytes: Uint8Array[] = [];
    for await (const piece of storedTensor(ref).read()) bytes.push(Uint8Array.from(piece));
    const { buffer } = Uint8Array.from(Buffer.concat(bytes));
    const data = ref.dtype === 'float32' ? new Float32Array(buffer) : new Uint16Array(buffer);
    const read = float32Of(tensor(ref.dtype as Narrow, ref.shape, data as Uint16Array));
    values.set(key, float32(ref.shape, [...read]));
  }
  return values;
}

/** Rounded by JavaScript, once. */
function rounded({ shape, data }: Tensor<'float32'>, type: Narrow): Tensor<Narrow> {
  return tensor(type, shape, type === 'bfloat16' ? encodeBfloat16(data) : encodeHalf(data));
}

const fixtures = [
  ['tied', 'qwen2', 'float32'],
  ['untied', 'qwen2', 'bfloat16'],
  ['one-key-head', 'qwen2', 'float16'],
  ['tied', 'qwen3', 'float32'],
  ['biased', 'qwen3', 'float16'],
] as const;

describe.each(fixtures)('%s of %s, stored in %s', (name, family, stored) => {
  it.each(['bfloat16', 'float16'] as const)('has each weight rounded once to %s', async (type) => {
    const fixture = await openFixture(name, family);
    const values = await storedValues(fixture);
    expect([...fixture.checkpoint.weights.values()][0]!.dtype).toBe(stored);
    const read = await logitsOf(fixture, (graph) => {
      const weights = fixture.weights(graph, type);
      return { rows: weights, layers: weights };
    });
    const given = await logitsOf(fixture, (graph) => ({
      // Rows of word embeddings are no operand of a product.
      rows: (key) => constant(graph, values.get(key)!),
      layers: (key, shape) => {
        const value = values.get(key)!;
        if (key.endsWith('norm.weight')) return constant(graph, value);
        const narrow = constant(graph, rounded(value, type));
        return shape.length === 2 ? narrow : cast(narrow, 'float32');
      },
    }));
    expect(read).toEqual(given);
    const exact = await logitsOf(fixture, (graph) => {
      const weights = fixture.weights(graph);
      return { rows: weights, layers: weights };
    });
    expect(read.all).not.toEqual(exact.all);
  });

  it('has the logits of the label words that are among those of the vocabulary', async () => {
    const fixture = await openFixture(name, family);
    const { all, labels } = await logitsOf(fixture, (graph) => {
      const weights = fixture.weights(graph, 'bfloat16');
      return { rows: weights, layers: weights };
    });
    const [rows, words] = all.shape as [number, number];
    const among = Array.from({ length: rows }, (_, row) => LABELS.map((id) => all.data[row * words + id]));
    expect([...(labels.data as Float32Array)]).toEqual(among.flat());
  });
});
