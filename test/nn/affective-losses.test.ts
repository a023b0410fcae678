/** @file Contrastive and focal loss against PyTorch, anchor by anchor (test/reference/stage1.py), and class weights. */

import { afterAll, describe, expect, it } from 'vitest';
import { gradients } from '../../src/engine/autodiff/index.js';
import { add, linear } from '../../src/engine/onnx/index.js';
import { float32, int64, type Tensor } from '../../src/engine/tensor/index.js';
import { affectiveLoss, classWeights, focalLoss, supervisedContrastiveLoss } from '../../src/nn/losses.js';
import { compute } from '../backbones/decoders/graph-run.js';
import { largestError, type ParityError, parityError, recordParity } from '../parity/figures.js';
import { openReference, referenceDtype } from '../systems/emoq/reference-case.js';

/** A loss that is nearly zero. */
const SMALL = 1e-3;

const numbers = (value: Tensor): number[] => Array.from(value.data as Float64Array);

interface LossSettings {
  readonly temperature: number;
  readonly alpha: readonly number[];
  readonly gamma: number;
  readonly focalWeight: number;
}

/** The losses of a batch with their gradients; for `affective` the logits depend on the embeddings through `head`. */
function lossesOf(
  { embeddings, logits, labels, head }: Record<'embeddings' | 'logits' | 'labels' | 'head', Tensor>,
  { temperature, alpha, gamma, focalWeight }: LossSettings,
): Promise<Record<string, Tensor>> {
  const feeds = {
    embeddings: [embeddings, ['N', embeddings.shape[1]!]],
    logits: [logits, ['N', logits.shape[1]!]],
    labels: [labels, ['N']],
    head: [head, head.shape],
  } as const;
  return compute(feeds, (_, values) => {
    const contrastive = supervisedContrastiveLoss(values.embeddings, values.labels, temperature);
    const focal = focalLoss(values.logits, values.labels, alpha, gamma);
    const seen = add(values.logits, linear(values.embeddings, values.head));
    const options = { temperature, alpha, gamma, contrastiveWeight: 1, focalWeight };
    const { loss: affective } = affectiveLoss(values.embeddings, seen, values.labels, options);
    return {
      contrastive,
      focal,
      affective,
      'gradient/contrastive/embeddings': gradients(contrastive, [values.embeddings])[0]!,
      'gradient/focal/logits': gradients(focal, [values.logits])[0]!,
      'gradient/affective/embeddings': gradients(affective, [values.embeddings])[0]!,
    };
  });
}

describe('the losses of stage 1', async () => {
  const { expected, described } = await openReference<{
    losses: string[];
    alpha: number[];
    focal_weight: number;
  }>('stage1');
  const errors = new Map<string, ParityError[]>();

  it.each(described.losses)('are those of PyTorch, with their gradients: %s', async (name) => {
    const of = (key: string): Tensor => expected(`losses/${name}/${key}`);
    const results = await lossesOf(
      { embeddings: of('embeddings'), logits: of('logits'), labels: of('labels'), head: of('head') },
      {
        temperature: numbers(of('temperature'))[0]!,
        alpha: described.alpha,
        gamma: numbers(of('gamma'))[0]!,
        focalWeight: described.focal_weight,
      },
    );
    for (const [key, value] of Object.entries(results)) {
      const wanted = of(key);
      const error = parityError(value, wanted);
      // One ulp of a similarity over tau, up to 14, is 1e-6: smaller losses are beyond float32.
      if (Math.max(...numbers(wanted).map(Math.abs)) < SMALL) {
        expect(error.absolute, key).toBeLessThan(2e-6);
        continue;
      }
      expect(error.relative, key).toBeLessThan(1e-5);
      errors.set(key, [...(errors.get(key) ?? []), error]);
    }
  });

  afterAll(() => {
    const models = { contrastive: 'SCL (eq. 4)', focal: 'focal loss (eq. 5)', affective: 'MAL (eq. 6)' };
    for (const [loss, model] of Object.entries(models)) {
      const row = { model, shape: `${described.losses.length} batches of 1 to 6`, dtype: referenceDtype };
      const gradient = [...errors].filter(([key]) => key.startsWith(`gradient/${loss}/`));
      recordParity({ ...row, quantity: 'value', ...largestError(errors.get(loss) ?? []) });
      recordParity({ ...row, quantity: 'gradient', ...largestError(gradient.flatMap(([, each]) => each)) });
    }
  });
});

describe('the contrastive loss', () => {
  const alone = { temperature: 0.07, alpha: [1, 1, 1], gamma: 2, focalWeight: 1 };
  const head = float32([3, 2], [0, 0, 0, 0, 0, 0]);
  const logits = float32([3, 3], [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  const embeddings = float32([3, 2], [1, 0, 0.6, 0.8, 0, -1]);

  it('is exactly zero, and so is its gradient, where no anchor has a positive', async () => {
    const results = await lossesOf({ embeddings, logits, labels: int64([3], [0, 1, 2]), head }, alone);
    expect(numbers(results.contrastive!)).toEqual([-0]);
    expect(numbers(results['gradient/contrastive/embeddings']!).every((value) => value === 0)).toBe(true);
  });

  it('counts anchors without positives in the mean', async () => {
    const pair = float32([2, 2], [1, 0, 0.6, 0.8]);
    const two = {
      embeddings: pair,
      logits: float32([2, 3], [1, 2, 3, 4, 5, 6]),
      labels: int64([2], [1, 1]),
      head,
    };
    expect(numbers((await lossesOf(two, alone)).contrastive!)[0]).toBeCloseTo(0, 6);
    // Two anchors with one positive and one negative each; the third has no positive: (a + b + 0) / 3.
    const three = { embeddings, logits, labels: int64([3], [1, 1, 0]), head };
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
  it('by effective number are (1 - beta) / (1 - beta^n), scaled to 1 for the rarest', () => {
    const counts = [4710, 1743, 268];
    const raw = counts.map((count) => (1 - 0.999) / (1 - 0.999 ** count));
    classWeights(counts, 0.999).forEach((weight, label) => {
      expect(weight).toBeCloseTo(raw[label]! / raw[2]!, 10);
    });
    expect(classWeights([40, 10, 0], 0)).toEqual([1, 1, 1]);
    const nearOne = classWeights([40, 10, 0], 1 - 1e-12);
    expect(nearOne[0]).toBeCloseTo(10 / 40, 6);
    expect(nearOne.slice(1)).toEqual([1, 1]);
  });
  it('are equal for equal classes, and 1 for a class without utterances', () => {
    expect(classWeights([5, 5, 5])).toEqual([1, 1, 1]);
    expect(classWeights([8, 0, 4])).toEqual([0.5, 1, 1]);
    expect(classWeights([0, 0])).toEqual([1, 1]);
  });
});
