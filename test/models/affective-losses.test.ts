/** @file Contrastive and focal loss against PyTorch, anchor by anchor (test/reference/stage1.py), and class weights. */

import { beforeAll, describe, expect, it } from 'vitest';
import { gradients } from '../../src/engine/autodiff/index.js';
import { float32, float32Of, int64, type Tensor } from '../../src/engine/tensor/index.js';
import {
  affectiveLoss,
  classWeights,
  focalLoss,
  supervisedContrastiveLoss,
} from '../../src/models/affective-losses.js';
import { compute, relativeError } from './qwen2/graph-run.js';
import { openReference } from './reference-case.js';

const cases = [
  'every class',
  'a class missing',
  'a single positive, the others alone',
  'no positives at all',
  'one class only',
  'a batch of one',
  'gamma 0, which is weighted cross-entropy',
  'gamma 0.5',
  'gamma 5',
  'sure and right',
  'sure and wrong',
];

let expected: (key: string) => Tensor;
beforeAll(async () => {
  ({ expected } = await openReference('stage1'));
});

const numbers = (value: Tensor): number[] => Array.from(value.data as Float64Array);

/** Both losses of a batch, with their gradients. */
function lossesOf(
  { embeddings, logits, labels }: Record<'embeddings' | 'logits' | 'labels', Tensor>,
  { temperature, alpha, gamma }: { temperature: number; alpha: readonly number[]; gamma: number },
): Promise<Record<string, Tensor>> {
  const feeds = {
    embeddings: [embeddings, ['N', embeddings.shape[1]!]],
    logits: [logits, ['N', logits.shape[1]!]],
    labels: [labels, ['N']],
  } as const;
  return compute(feeds, (_, values) => {
    const contrastive = supervisedContrastiveLoss(values.embeddings, values.labels, temperature);
    const focal = focalLoss(values.logits, values.labels, alpha, gamma);
    return {
      contrastive,
      focal,
      'gradient/embeddings': gradients(contrastive, [values.embeddings])[0]!,
      'gradient/logits': gradients(focal, [values.logits])[0]!,
    };
  });
}

describe('the losses of stage 1', () => {
  it.each(cases)('are those of PyTorch, with their gradients: %s', async (name) => {
    const of = (key: string): Tensor => expected(`losses/${name}/${key}`);
    const results = await lossesOf(
      { embeddings: of('embeddings'), logits: of('logits'), labels: of('labels') },
      {
        temperature: numbers(of('temperature'))[0]!,
        alpha: numbers(of('alpha')),
        gamma: numbers(of('gamma'))[0]!,
      },
    );
    for (const [key, value] of Object.entries(results)) {
      const [got, wanted] = [float32Of(value), numbers(of(key))];
      const size = Math.max(...wanted.map(Math.abs));
      // What is next to nothing need only be next to nothing, in float32.
      if (size > 1e-6) expect(relativeError(value, of(key)), key).toBeLessThan(1e-5);
      else for (const each of got) expect(Math.abs(each), key).toBeLessThan(1e-6);
    }
  });
});

describe('the contrastive loss', () => {
  const alone = { temperature: 0.07, alpha: [1, 1, 1], gamma: 2 };
  const logits = float32([3, 3], [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  const embeddings = float32([3, 2], [1, 0, 0.6, 0.8, 0, -1]);

  it('is exactly zero, and so is its gradient, where no anchor has a positive', async () => {
    const results = await lossesOf({ embeddings, logits, labels: int64([3], [0, 1, 2]) }, alone);
    expect(numbers(results.contrastive!)).toEqual([-0]);
    expect(numbers(results['gradient/embeddings']!).every((value) => value === 0)).toBe(true);
  });

  it('counts anchors without positives in the mean', async () => {
    const pair = float32([2, 2], [1, 0, 0.6, 0.8]);
    const two = { embeddings: pair, logits: float32([2, 3], [1, 2, 3, 4, 5, 6]), labels: int64([2], [1, 1]) };
    expect(numbers((await lossesOf(two, alone)).contrastive!)[0]).toBeCloseTo(0, 6);
    // Two anchors with one positive and one negative each; the third has no positive: (a + b + 0) / 3.
    const three = { embeddings, logits, labels: int64([3], [1, 1, 0]) };
    const term = (positive: number, negative: number): number =>
      Math.log(1 + Math.exp((negative - positive) / alone.temperature));
    const wanted = (term(0.6, 0) + term(0.6, -0.8)) / 3;
    expect(numbers((await lossesOf(three, alone)).contrastive!)[0]).toBeCloseTo(wanted, 6);
  });
});

describe('the objective of stage 1', () => {
  it('is the sum of its weighted parts, either of which can be left out', async () => {
    const feeds = {
      embeddings: [float32([3, 2], [1, 0, 0.6, 0.8, 0, -1]), ['N', 2]],
      logits: [float32([3, 2], [1, 2, -3, 4, 0, 1]), ['N', 2]],
      labels: [int64([3], [1, 0, 1]), ['N']],
    } as const;
    const objective = (contrastiveWeight: number, focalWeight: number) =>
      compute(feeds, (_, { embeddings, logits, labels }) =>
        affectiveLoss(embeddings, logits, labels, {
          ...{ temperature: 0.5, gamma: 2, alpha: [0.5, 1] },
          ...{ contrastiveWeight, focalWeight },
        }),
      );
    const { loss, contrastive, focal } = await objective(1, 0.25);
    const [scl, fl] = [numbers(contrastive!)[0]!, numbers(focal!)[0]!];
    expect(scl).toBeGreaterThan(0.1);
    expect(fl).toBeGreaterThan(0.1);
    expect(numbers(loss!)[0]).toBeCloseTo(scl + 0.25 * fl, 6);
    expect(numbers((await objective(0, 1)).loss!)[0]).toBeCloseTo(fl, 6);
    expect(numbers((await objective(2, 0)).loss!)[0]).toBeCloseTo(2 * scl, 6);
  });
});

describe('class weights', () => {
  it('are inverse frequencies, the rarest class at 1', () => {
    // MELD's training set: neutral, joy, surprise, anger, sadness, disgust, fear.
    const counts = [4710, 1743, 1205, 1109, 683, 271, 268];
    const weights = classWeights(counts);
    expect(Math.max(...weights)).toBe(1);
    expect(weights[0]).toBeCloseTo(268 / 4710, 12);
    counts.forEach((count, label) => {
      expect(count * weights[label]!).toBeCloseTo(268, 9);
    });
  });
  it('are equal for equal classes, and 1 for a class without utterances', () => {
    expect(classWeights([5, 5, 5])).toEqual([1, 1, 1]);
    expect(classWeights([8, 0, 4])).toEqual([0.5, 1, 1]);
    expect(classWeights([0, 0])).toEqual([1, 1]);
  });
});
