/** @file The answer loss (eq. 7) against PyTorch (test/reference/stage2.py), and the softmax over the label words. */

import { afterAll, describe, expect, it } from 'vitest';
import { gradients } from '../../src/engine/autodiff/index.js';
import { linear } from '../../src/engine/onnx/index.js';
import { float32, int64, type Tensor } from '../../src/engine/tensor/index.js';
import { answerLoss, emotionSoftmax } from '../../src/nn/losses.js';
import { compute } from '../backbones/decoders/graph-run.js';
import { largestError, type ParityError, parityError, recordParity } from '../parity/figures.js';
import { openReference, referenceDtype } from '../systems/emoq/reference-case.js';

const names = ['hidden', 'matrix', 'positions', 'tokens', 'weights'] as const;
type Answered = Readonly<Record<(typeof names)[number], Tensor>>;

/** Loss of answers, and its gradients with respect to the hidden states [N, L, d] and the output matrix [V, d]. */
function lossOf(answered: Answered): Promise<Record<string, Tensor>> {
  const { hidden, matrix, positions, tokens, weights } = answered;
  return compute(
    {
      hidden: [hidden, ['N', 'L', hidden.shape[2]!]],
      matrix: [matrix, matrix.shape],
      positions: [positions, ['M']],
      tokens: [tokens, ['M']],
      weights: [weights, ['M']],
    },
    (_, inputs) => {
      const answers = {
        hidden: inputs.hidden,
        answerPositions: inputs.positions,
        answerTokens: inputs.tokens,
        answerWeights: inputs.weights,
      };
      const loss = answerLoss(answers, (rows) => linear(rows, inputs.matrix));
      const [byHidden, byMatrix] = gradients(loss, [inputs.hidden, inputs.matrix]);
      return { loss, 'gradient/hidden': byHidden!, 'gradient/matrix': byMatrix! };
    },
  );
}

describe('the answer loss', async () => {
  const { expected, described } = await openReference<{ answers: string[] }>('stage2');
  const answered = (name: string): Answered =>
    Object.fromEntries(names.map((key) => [key, expected(`answers/${name}/${key}`)])) as Answered;
  const worst: Record<'value' | 'gradient', ParityError[]> = { value: [], gradient: [] };

  it.each(described.answers)("is PyTorch's weighted cross-entropy, with its gradients: %s", async (name) => {
    for (const [key, value] of Object.entries(await lossOf(answered(name)))) {
      const error = parityError(value, expected(`answers/${name}/${key}`));
      expect(error.relative, key).toBeLessThan(1e-5);
      worst[key === 'loss' ? 'value' : 'gradient'].push(error);
    }
  });

  afterAll(() => {
    const shape = `${described.answers.length} batches of 1 to 3`;
    for (const [quantity, errors] of Object.entries(worst))
      recordParity({
        model: 'answer loss (eq. 7)',
        shape,
        dtype: referenceDtype,
        quantity,
        ...largestError(errors),
      });
  });

  it('does not see padded answers, wherever they point', async () => {
    const padded = answered('padding, which weighs nothing');
    const { loss, 'gradient/hidden': gradient } = await lossOf(padded);
    const elsewhere = await lossOf({
      ...padded,
      positions: int64([4], [1, 2, 6, 7]),
      tokens: int64([4], [3, 6, 0, 5]),
    });
    const left = {
      positions: int64([3], [1, 2, 6]),
      tokens: int64([3], [3, 6, 0]),
      weights: float32([3], [5, 1, 5]),
    };
    const without = await lossOf({ ...padded, ...left });
    expect([elsewhere.loss, without.loss]).toEqual([loss, loss]);
    expect(elsewhere['gradient/hidden']).toEqual(gradient);
    const [width] = padded.hidden.shape.slice(2);
    expect((gradient!.data as Float32Array).subarray(0, width)).toEqual(new Float32Array(width!));
  });
});

describe('the emotion softmax', () => {
  it('normalises over the label words, whatever the size of the logits', async () => {
    const logits = float32([2, 3], [0, Math.log(2), Math.log(5), 5000, 5000, -5000]);
    const { q } = await compute({ logits: [logits, ['N', 3]] }, (_, inputs) => ({
      q: emotionSoftmax(inputs.logits),
    }));
    const wanted = [1 / 8, 2 / 8, 5 / 8, 0.5, 0.5, 0];
    (q!.data as Float32Array).forEach((value, i) => {
      expect(value).toBeCloseTo(wanted[i]!, 6);
    });
  });
});
