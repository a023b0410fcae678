/** @file The decoder of each family against transformers (test/reference/decoders.py), and rejected inputs. */

import { describe, expect, it } from 'vitest';
import { decoder, decoderFamilyOf, embedTokens, labelLogits, lmHead } from '../../../src/backbones/index.js';
import { addInput, reshape } from '../../../src/engine/onnx/index.js';
import { float32Of, type Tensor } from '../../../src/engine/tensor/index.js';
import { declaredWeights } from '../../../src/nn/weights.js';
import { parityError, recordParity } from '../../parity/figures.js';
import { compute, type Fixture, openFixture, relativeError } from './graph-run.js';

const ids = (fixture: Fixture) => [fixture.expected('input_ids'), ['N', 'L']] as const;

/** Selects the rows of real tokens: states of padding are finite but meaningless. */
const realRows = (mask: Tensor) => (row: number) => mask.data[row] === 1n;

/** Sizes of a model and its batch, for the table of errors. */
function describeShape({ config, checkpoint, expected }: Fixture) {
  const [batch, length] = expected('input_ids').shape;
  const { numHiddenLayers, hiddenSize, numAttentionHeads, numKeyValueHeads, headDim, ropeTheta } = config;
  const heads = `${numAttentionHeads} heads of ${headDim} on ${numKeyValueHeads}`;
  const ties = config.tieWordEmbeddings ? 'tied' : 'untied';
  return {
    model: decoderFamilyOf(config).title,
    shape: `${numHiddenLayers} layers, ${hiddenSize}; ${heads}; theta ${ropeTheta}; ${ties}; ${batch} x ${length} tokens`,
    dtype: `${[...checkpoint.weights.values()][0]!.dtype} weights, float32 arithmetic`,
  };
}

const checkpoints = [
  ['qwen2', 'tied'],
  ['qwen2', 'untied'],
  ['qwen2', 'one-key-head'],
  ['qwen2', 'all-key-heads'],
  ['llama', 'stretched'],
  ['llama', 'biased'],
  ['llama', 'all-key-heads'],
  ['qwen3', 'tied'],
  ['qwen3', 'biased'],
  ['qwen3', 'all-key-heads'],
  ['mistral', 'wide-heads'],
  ['mistral', 'windowed'],
  ['mistral', 'all-key-heads'],
] as const;
for (const [family, name] of checkpoints) {
  describe(`${family}, the checkpoint "${name}"`, async () => {
    const fixture = await openFixture(name, family);
    const { config, checkpoint } = fixture;

    for (const side of ['right', 'left']) {
      it(`agrees with transformers on hidden states and logits, padded on the ${side}`, async () => {
        const mask = fixture.expected(`${side}.mask`);
        const { hidden, logits } = await compute(
          { inputIds: ids(fixture), attentionMask: [mask, ['N', 'L']] },
          (graph, { inputIds, attentionMask }) => {
            const weights = fixture.weights(graph);
            const embeddings = embedTokens(weights, config, inputIds);
            const hidden = decoder(weights, config, { embeddings, attentionMask });
            const rows = reshape(hidden, ['L*N', config.hiddenSize]);
            return { hidden, logits: lmHead(weights, config, rows) };
          },
          checkpoint.dir,
        );
        const wanted = fixture.expected(`${side}.logits`);
        const rows = realRows(mask);
        const errors = {
          'last hidden state': parityError(hidden!, fixture.expected(`${side}.hidden`), rows),
          logits: parityError({ ...logits!, shape: wanted.shape }, wanted, rows),
        };
        for (const [quantity, error] of Object.entries(errors)) {
          const padded = `${quantity}, padded on the ${side}`;
          recordParity({ ...describeShape(fixture), quantity: padded, ...error });
          expect(error.relative, quantity).toBeLessThan(2e-5);
          expect(error.absolute, quantity).toBeLessThan(1e-4);
        }
        expect(float32Of(hidden!).every(Number.isFinite)).toBe(true);
      });
    }

    it('asks for exactly the weights of the checkpoint', () => {
      const asked = declaredWeights((graph, weights) => {
        const inputIds = addInput(graph, 'inputIds', 'int64', ['N', 'L']);
        const attentionMask = addInput(graph, 'attentionMask', 'int64', ['N', 'L']);
        const embeddings = embedTokens(weights, config, inputIds);
        const hidden = decoder(weights, config, { embeddings, attentionMask });
        lmHead(weights, config, reshape(hidden, ['L*N', config.hiddenSize]));
      });
      const stored = [...checkpoint.weights.values()].map(({ key, shape }) => ({ key, shape }));
      const byKey = (a: { key: string }, b: { key: string }) => (a.key < b.key ? -1 : 1);
      expect(asked.toSorted(byKey)).toEqual(stored.toSorted(byKey));
    });

    it('takes position ids, far ones too', async () => {
      const [mask, positions] = ['right.mask', 'far.positions'].map((key) => fixture.expected(key));
      const { hidden } = await compute(
        { inputIds: ids(fixture), mask: [mask!, ['N', 'L']], positionIds: [positions!, ['N', 'L']] },
        (graph, { inputIds, mask: attentionMask, positionIds }) => {
          const weights = fixture.weights(graph);
          const embeddings = embedTokens(weights, config, inputIds);
          return { hidden: decoder(weights, config, { embeddings, attentionMask, positionIds }) };
        },
        checkpoint.dir,
      );
      const error = parityError(hidden!, fixture.expected('far.hidden'), realRows(mask!));
      recordParity({
        ...describeShape(fixture),
        quantity: 'last hidden state from position 20,000 on',
        ...error,
      });
      expect(error.relative).toBeLessThan(2e-5);
    });

    it('gives the label words the logits that the whole vocabulary gives them', async () => {
      const labels = [config.vocabSize - 1, 0, 17, 5];
      const mask = fixture.expected('right.mask');
      const [batch, length] = mask.shape as [number, number];
      const { logits } = await compute(
        { hidden: [fixture.expected('right.hidden'), ['N', 'L', config.hiddenSize]] },
        (graph, { hidden }) => {
          const rows = reshape(hidden, ['L*N', config.hiddenSize]);
          return { logits: labelLogits(fixture.weights(graph), config, rows, labels) };
        },
        checkpoint.dir,
      );
      const all = fixture.expected('right.logits').data as Float32Array;
      expect(logits!.shape).toEqual([batch * length, labels.length]);
      (logits!.data as Float32Array).forEach((value, i) => {
        const [row, label] = [Math.floor(i / labels.length), labels[i % labels.length]!];
        expect(value).toBeCloseTo(all[row * config.vocabSize + label]!, 4);
      });
    });
  });
}

describe('the builder', async () => {
  const fixture = await openFixture('tied');
  const { config, checkpoint } = fixture;
  const mask = fixture.expected('right.mask');

  it('computes products in the type of the weights, norms and softmax in float32', async () => {
    const { hidden } = await compute(
      { inputIds: ids(fixture), attentionMask: [mask, ['N', 'L']] },
      (graph, { inputIds, attentionMask }) => {
        const weights = fixture.weights(graph, 'float16');
        const embeddings = embedTokens(weights, config, inputIds);
        return { hidden: decoder(weights, config, { embeddings, attentionMask }) };
      },
      checkpoint.dir,
    );
    expect(hidden!.dtype).toBe('float32');
    const error = relativeError(hidden!, fixture.expected('right.hidden'), realRows(mask));
    expect(error).toBeGreaterThan(1e-5); // it was rounded to 11 bits
    expect(error).toBeLessThan(2e-2);
  });

  it('refuses inputs of other shapes and label tokens outside the vocabulary', async () => {
    const build = (width: number, maskDims: string[]) =>
      compute(
        { x: [fixture.expected('right.hidden'), ['N', 'L', width]], mask: [mask, maskDims] },
        (graph, { x, mask: attentionMask }) => ({
          y: decoder(fixture.weights(graph), config, { embeddings: x, attentionMask }),
        }),
        checkpoint.dir,
      );
    await expect(build(config.hiddenSize + 1, ['N', 'L'])).rejects.toThrow(/Qwen2 of width 32 got/);
    await expect(build(config.hiddenSize, ['N', 'K'])).rejects.toThrow(/\[N, L, 32\], \[N, K\]/);
    await expect(
      compute({ x: [fixture.expected('right.hidden'), ['N', 'L', 32]] }, (graph, { x }) => ({
        y: labelLogits(fixture.weights(graph), config, reshape(x, ['L*N', 32]), [3, 61]),
      })),
    ).rejects.toThrow('label token 61 is outside the vocabulary of 61 tokens');
  });
});
