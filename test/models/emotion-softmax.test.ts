import { describe, expect, it } from 'vitest';
import { gradients } from '../../src/engine/autodiff/index.js';
import { linear } from '../../src/engine/onnx/index.js';
import { float32, int64, seededRandom, type Tensor } from '../../src/engine/tensor/index.js';
import { answerLoss, emotionSoftmax } from '../../src/models/emotion-softmax.js';
import { compute } from './qwen2/graph-run.js';

const [batch, length, width, vocabulary] = [2, 4, 3, 7];
const random = seededRandom(11, 'answers');
const normal = (shape: number[], scale: number): Tensor<'float32'> =>
  float32(
    shape,
    Array.from({ length: shape.reduce((product, size) => product * size) }, () => random.normal() * scale),
  );

/** Loss of answers with the identity as hidden-to-logits matrix given, and its gradient by the hidden states. */
async function lossOf(
  hidden: Tensor,
  matrix: Tensor,
  answers: { positions: number[]; tokens: number[]; weights: number[] },
) {
  const { positions, tokens, weights } = answers;
  const results = await compute(
    {
      hidden: [hidden, ['N', 'L', width]],
      matrix: [matrix, [vocabulary, width]],
      positions: [int64([positions.length], positions), ['M']],
      tokens: [int64([tokens.length], tokens), ['M']],
      weights: [float32([weights.length], weights), ['M']],
    },
    (_, inputs) => {
      const loss = answerLoss(
        {
          hidden: inputs.hidden,
          answerPositions: inputs.positions,
          answerTokens: inputs.tokens,
          answerWeights: inputs.weights,
        },
        (rows) => linear(rows, inputs.matrix),
      );
      return { loss, gradient: gradients(loss, [inputs.hidden])[0]! };
    },
  );
  return { loss: Number(results.loss!.data[0]), gradient: results.gradient!.data as Float32Array };
}

/** Equation 7 in float64, with its gradient: (1 / N) w (softmax - one-hot) W. */
function referenceLoss(
  hidden: Tensor<'float32'>,
  matrix: Tensor<'float32'>,
  { positions, tokens, weights }: { positions: number[]; tokens: number[]; weights: number[] },
) {
  let loss = 0;
  const gradient = new Float64Array(hidden.data.length);
  positions.forEach((position, answer) => {
    const logits = Array.from({ length: vocabulary }, (_, word) => {
      let sum = 0;
      for (let i = 0; i < width; i++)
        sum += hidden.data[position * width + i]! * matrix.data[word * width + i]!;
      return sum;
    });
    const largest = Math.max(...logits);
    const normalizer = largest + Math.log(logits.reduce((sum, value) => sum + Math.exp(value - largest), 0));
    const weight = weights[answer]! / batch;
    loss += weight * (normalizer - logits[tokens[answer]!]!);
    logits.forEach((value, word) => {
      const slope = weight * (Math.exp(value - normalizer) - (word === tokens[answer] ? 1 : 0));
      for (let i = 0; i < width; i++)
        gradient[position * width + i]! += slope * matrix.data[word * width + i]!;
    });
  });
  return { loss, gradient };
}

describe('the answer loss', () => {
  const hidden = normal([batch, length, width], 1);
  const matrix = normal([vocabulary, width], 1);
  const answers = { positions: [1, 2, 6, 0], tokens: [3, 6, 0, 0], weights: [5, 1, 5, 0] };

  it('is equation 7 with its analytic gradient', async () => {
    const wanted = referenceLoss(hidden, matrix, answers);
    const { loss, gradient } = await lossOf(hidden, matrix, answers);
    expect(loss).toBeCloseTo(wanted.loss, 5);
    gradient.forEach((value, i) => {
      expect(value).toBeCloseTo(wanted.gradient[i]!, 5);
    });
  });

  it('does not see padded answers, wherever they point', async () => {
    const { loss, gradient } = await lossOf(hidden, matrix, answers);
    const other = await lossOf(hidden, matrix, { ...answers, positions: [1, 2, 6, 7], tokens: [3, 6, 0, 5] });
    const short = await lossOf(hidden, matrix, {
      positions: [1, 2, 6],
      tokens: [3, 6, 0],
      weights: [5, 1, 5],
    });
    expect([other.loss, short.loss]).toEqual([loss, loss]);
    expect(other.gradient).toEqual(gradient);
    expect(gradient.subarray(0, width)).toEqual(new Float32Array(width));
  });

  it('adds up two answers at one position', async () => {
    const doubled = { positions: [1, 1], tokens: [3, 4], weights: [1, 2] };
    const wanted = referenceLoss(hidden, matrix, doubled);
    const { loss, gradient } = await lossOf(hidden, matrix, doubled);
    expect(loss).toBeCloseTo(wanted.loss, 5);
    gradient.forEach((value, i) => {
      expect(value).toBeCloseTo(wanted.gradient[i]!, 5);
    });
  });

  it('stays finite and right where probabilities vanish', async () => {
    const large = float32(
      hidden.shape,
      hidden.data.map((value) => value * 1000),
    );
    const wanted = referenceLoss(large, matrix, answers);
    const { loss, gradient } = await lossOf(large, matrix, answers);
    expect(wanted.loss).toBeGreaterThan(1000);
    expect(Math.abs(loss / wanted.loss - 1)).toBeLessThan(1e-5);
    gradient.forEach((value, i) => {
      expect(value).toBeCloseTo(wanted.gradient[i]!, 4);
    });
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
