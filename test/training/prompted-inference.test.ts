/** @file Inference with the constant beginning of the prompts computed once. */

import { describe, expect, it } from 'vitest';
import { float32, type Tensor, tensor } from '../../src/engine/tensor/index.js';
import type { Batch } from '../../src/engine/training/index.js';
import type { Example, Phase } from '../../src/systems/index.js';
import type { Evaluator } from '../../src/training/inference.js';
import { evenBatches } from '../../src/training/inference-batches.js';
import { promptedInference } from '../../src/training/prompted-inference.js';

const PRESENT = float32([2, 1, 3, 1], [1, 2, 3, 4, 5, 6]);
const features = {
  frames: () => 0,
  read: () => Promise.reject(new Error('no features are read')),
};

/** Examples are named by numbers; the even ones begin as all prompts do. */
const example = (number: number): Example => ({
  ...{ id: String(number), path: '', label: 0 },
  lengths: { inputs: { prompt: 10 }, targets: {} },
});
const phaseWith = (more: Partial<Phase>): Phase =>
  ({
    collate: async (examples: readonly Example[]): Promise<Batch> => ({
      tensors: {
        ids: float32(
          [examples.length],
          examples.map(({ id }) => Number(id)),
        ),
      },
      sizes: { batch: examples.length },
    }),
    ...more,
  }) as Phase;
/** A beginning of the examples whose number is a multiple; the rest of such an example has the quotient. */
const startOf = (id: number, divisor: number): NonNullable<Phase['promptStarts']>[number] => ({
  batch: async () => ({ tensors: { ids: float32([1], [id]) }, sizes: { batch: 1 } }),
  after: (given) =>
    Number(given.id) % divisor === 0 ? { ...given, id: String(Number(given.id) / divisor) } : undefined,
});
const prompted = phaseWith({
  past: { name: 'past', dtype: 'float32', shape: [2, 1, 'past', 1] },
  promptStarts: [startOf(-1, 2)],
});

/** An evaluator that gives each example its number as its first probability's hundredth, and what it was fed. */
function recorder(): {
  evaluator: Evaluator;
  fed: { ids: number[]; past: Tensor | undefined; sizes: object }[];
} {
  const fed: { ids: number[]; past: Tensor | undefined; sizes: object }[] = [];
  const evaluator: Evaluator = {
    batchesPerRun: () => 1,
    run: async ([batch]) => {
      const ids = [...(batch!.tensors.ids!.data as Float32Array)];
      fed.push({ ids, past: batch!.tensors.past, sizes: batch!.sizes });
      const probabilities = tensor('float32', [ids.length, 2]);
      ids.forEach((id, row) => {
        probabilities.data.set([id / 100, 1 - id / 100], 2 * row);
      });
      return [{ probabilities, present_key_values: PRESENT }];
    },
  };
  return { evaluator, fed };
}

const firsts = (results: Awaited<ReturnType<ReturnType<typeof promptedInference>>>): number[] =>
  results.map((each) => (each.kind === 'inferred' ? Math.round(100 * each.probabilities[0]!) : -1));

describe('inference of prompts that begin alike', () => {
  it('computes the beginning once, and continues after it', async () => {
    const { evaluator, fed } = recorder();
    const infer = promptedInference([evaluator], prompted);
    expect(firsts(await infer([4, 8, 6].map(example), { features, batching: evenBatches(2) }))).toEqual([
      2, 4, 3,
    ]);
    expect(firsts(await infer([2].map(example), { features, batching: evenBatches(2) }))).toEqual([1]);
    const [beginning, ...others] = fed;
    expect(beginning).toMatchObject({
      ids: [-1],
      past: { shape: [2, 1, 0, 1] },
      sizes: { batch: 1, past: 0 },
    });
    expect(others.map(({ ids }) => ids)).toEqual([[2, 4], [3], [1]]);
    for (const { past, sizes } of others) {
      expect(past).toBe(PRESENT);
      expect(sizes).toMatchObject({ past: 3 });
    }
  });

  it('computes prompts that begin otherwise in whole, and keeps the order', async () => {
    const { evaluator, fed } = recorder();
    const infer = promptedInference([evaluator], prompted);
    const progress: string[] = [];
    const results = await infer([7, 4, 5, 8].map(example), {
      ...{ features, batching: evenBatches(8) },
      onProgress: (done, total) => progress.push(`${done}/${total}`),
    });
    expect(firsts(results)).toEqual([7, 2, 5, 4]);
    expect(fed.map(({ ids, past }) => [ids, past!.shape[2]])).toEqual([
      [[-1], 0],
      [[2, 4], 3],
      [[7, 5], 0],
    ]);
    expect(progress).toEqual(['2/4', '4/4']);
  });

  it('continues after the first of several beginnings that a prompt has', async () => {
    const { evaluator, fed } = recorder();
    const infer = promptedInference(
      [evaluator],
      phaseWith({ ...prompted, promptStarts: [startOf(-1, 6), startOf(-2, 2)] }),
    );
    const results = await infer([7, 6, 4, 12].map(example), { features, batching: evenBatches(8) });
    expect(firsts(results)).toEqual([7, 1, 2, 2]);
    expect(fed.map(({ ids, past }) => [ids, past!.shape[2]])).toEqual([
      [[-1], 0],
      [[1, 2], 3],
      [[-2], 0],
      [[2], 3],
      [[7], 0],
    ]);
  });

  it('does not compute the beginning for prompts that have another', async () => {
    const { evaluator, fed } = recorder();
    await promptedInference([evaluator], prompted)([example(3)], { features, batching: evenBatches(8) });
    expect(fed.map(({ ids }) => ids)).toEqual([[3]]);
  });

  it('gives an empty past where prompts have no common beginning, and none where there are no prompts', async () => {
    for (const [phase, past] of [
      [phaseWith({ past: prompted.past! }), { shape: [2, 1, 0, 1] }],
      [phaseWith({}), undefined],
    ] as const) {
      const { evaluator, fed } = recorder();
      const results = await promptedInference([evaluator], phase)([3, 4].map(example), {
        features,
        batching: evenBatches(8),
      });
      expect(firsts(results)).toEqual([3, 4]);
      expect(fed).toHaveLength(1);
      if (past === undefined) expect(fed[0]!.past).toBeUndefined();
      else expect(fed[0]!.past).toMatchObject(past);
    }
  });
});
