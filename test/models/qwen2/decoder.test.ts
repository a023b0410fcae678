import { describe, expect, it } from 'vitest';
import { addInput, reshape } from '../../../src/engine/onnx/index.js';
import { float32Of, int64, type Tensor } from '../../../src/engine/tensor/index.js';
import { embedTokens, labelLogits, lmHead, qwen2Decoder } from '../../../src/models/qwen2/index.js';
import { declaredWeights } from '../../../src/models/weights.js';
import { compute, type Fixture, openFixture, relativeError } from './graph-run.js';

const ids = (fixture: Fixture) => [fixture.expected('input_ids'), ['N', 'L']] as const;

/** Keeps the rows of real tokens: padding's states are finite, but mean nothing. */
const realRows = (mask: Tensor) => (row: number) => mask.data[row] === 1n;

for (const name of ['tied', 'untied']) {
  describe(`Qwen2 with ${name} embeddings`, async () => {
    const fixture = await openFixture(name);
    const { config, checkpoint } = fixture;

    for (const side of ['right', 'left']) {
      it(`agrees with PyTorch on hidden states and logits, padded on the ${side}`, async () => {
        const mask = fixture.expected(`${side}.mask`);
        const { hidden, logits } = await compute(
          { inputIds: ids(fixture), attentionMask: [mask, ['N', 'L']] },
          (graph, { inputIds, attentionMask }) => {
            const weights = fixture.weights(graph);
            const embeddings = embedTokens(weights, config, inputIds);
            const hidden = qwen2Decoder(weights, config, { embeddings, attentionMask });
            const rows = reshape(hidden, ['L*N', config.hiddenSize]);
            return { hidden, logits: lmHead(weights, config, rows) };
          },
          checkpoint.dir,
        );
        const wanted = fixture.expected(`${side}.logits`);
        const rows = realRows(mask);
        expect(relativeError(hidden!, fixture.expected(`${side}.hidden`), rows)).toBeLessThan(2e-5);
        expect(relativeError({ ...logits!, shape: wanted.shape }, wanted, rows)).toBeLessThan(2e-5);
        expect(float32Of(hidden!).every(Number.isFinite)).toBe(true);
      });
    }

    it('asks for exactly the weights of the checkpoint', () => {
      const asked = declaredWeights((graph, weights) => {
        const inputIds = addInput(graph, 'inputIds', 'int64', ['N', 'L']);
        const attentionMask = addInput(graph, 'attentionMask', 'int64', ['N', 'L']);
        const embeddings = embedTokens(weights, config, inputIds);
        const hidden = qwen2Decoder(weights, config, { embeddings, attentionMask });
        lmHead(weights, config, reshape(hidden, ['L*N', config.hiddenSize]));
      });
      const stored = [...checkpoint.weights.values()].map(({ key, shape }) => ({ key, shape }));
      const byKey = (a: { key: string }, b: { key: string }) => (a.key < b.key ? -1 : 1);
      expect(asked.toSorted(byKey)).toEqual(stored.toSorted(byKey));
    });

    it('takes position ids, and only their differences matter', async () => {
      const mask = fixture.expected('right.mask');
      const positions = int64(
        mask.shape,
        Array.from({ length: mask.data.length }, (_, i) => 5 + (i % mask.shape[1]!)),
      );
      const { hidden } = await compute(
        { inputIds: ids(fixture), mask: [mask, ['N', 'L']], positionIds: [positions, ['N', 'L']] },
        (graph, { inputIds, mask: attentionMask, positionIds }) => {
          const weights = fixture.weights(graph);
          const embeddings = embedTokens(weights, config, inputIds);
          return { hidden: qwen2Decoder(weights, config, { embeddings, attentionMask, positionIds }) };
        },
        checkpoint.dir,
      );
      expect(relativeError(hidden!, fixture.expected('right.hidden'), realRows(mask))).toBeLessThan(5e-5);
    });

    it('gives the label words the logits that the whole vocabulary gives them', async () => {
      const labels = [60, 0, 17, 5];
      const mask = fixture.expected('right.mask');
      const [, length] = mask.shape as [number, number];
      const { logits } = await compute(
        { hidden: [fixture.expected('right.hidden'), ['N', 'L', config.hiddenSize]] },
        (graph, { hidden }) => {
          const rows = reshape(hidden, ['L*N', config.hiddenSize]);
          return { logits: labelLogits(fixture.weights(graph), config, rows, labels) };
        },
        checkpoint.dir,
      );
      const all = fixture.expected('right.logits').data as Float32Array;
      expect(logits!.shape).toEqual([3 * length, labels.length]);
      (logits!.data as Float32Array).forEach((value, i) => {
        const [row, label] = [Math.floor(i / labels.length), labels[i % labels.length]!];
        expect(value).toBeCloseTo(all[row * config.vocabSize + label]!, 4);
      });
    });
  });
}

describe('the Qwen2 builder', async () => {
  const fixture = await openFixture('tied');
  const { config, checkpoint } = fixture;
  const mask = fixture.expected('right.mask');

  it('computes products in the type of the weights, norms and softmax in float32', async () => {
    const { hidden } = await compute(
      { inputIds: ids(fixture), attentionMask: [mask, ['N', 'L']] },
      (graph, { inputIds, attentionMask }) => {
        const weights = fixture.weights(graph, 'float16');
        const embeddings = embedTokens(weights, config, inputIds);
        return { hidden: qwen2Decoder(weights, config, { embeddings, attentionMask }) };
      },
      checkpoint.dir,
    );
    expect(hidden!.dtype).toBe('float32');
    const error = relativeError(hidden!, fixture.expected('right.hidden'), realRows(mask));
    expect(error).toBeGreaterThan(1e-5); // it did round to 11 bits
    expect(error).toBeLessThan(2e-2);
  });

  it('refuses inputs of other shapes and label tokens outside the vocabulary', async () => {
    const build = (width: number, maskDims: string[]) =>
      compute(
        { x: [fixture.expected('right.hidden'), ['N', 'L', width]], mask: [mask, maskDims] },
        (graph, { x, mask: attentionMask }) => ({
          y: qwen2Decoder(fixture.weights(graph), config, { embeddings: x, attentionMask }),
        }),
        checkpoint.dir,
      );
    await expect(build(config.hiddenSize + 1, ['N', 'L'])).rejects.toThrow(/Qwen2 of width 32 got/);
    await expect(build(config.hiddenSize, ['N', 'K'])).rejects.toThrow(/\[N, L, 32\], \[N, K\]/);
    await expect(
      compute({ x: [fixture.expected('right.hidden'), ['N', 'L', 32]] }, (graph, { x }) => ({
        y: labelLogits(fixture.weights(graph), config, reshape(x, ['L*N', 32]), [3, 61]),
      })),
    ).rejects.toThrow('label token 61 lies outside the 61 words');
  });
});
