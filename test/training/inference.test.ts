/**
 * @file Model outputs for examples: values that are not numbers are a fault of their example and never become a label.
 */

import { describe, expect, it } from 'vitest';
import { ComputationError } from '../../src/base/index.js';
import type { WorkerSession } from '../../src/engine/runtime/index.js';
import { float32 } from '../../src/engine/tensor/index.js';
import type { Batch } from '../../src/engine/training/index.js';
import { argmax } from '../../src/evaluation/metrics/confusion.js';
import type { Example, FeatureSource, Phase } from '../../src/systems/system.js';
import {
  type Evaluator,
  inferAll,
  requireInferences,
  sessionEvaluator,
} from '../../src/training/inference.js';
import { evenBatches } from '../../src/training/inference-batches.js';

const examples = Array.from(
  { length: 8 },
  (_, index) =>
    ({
      id: `u${index}`,
      path: '',
      label: 0,
      lengths: { inputs: { text: 1 }, targets: {} },
    }) as unknown as Example,
);
const phase = { collate: async () => ({ tensors: {}, sizes: {} }) } as unknown as Phase;
const features: FeatureSource = {
  frames: () => 0,
  read: () => Promise.reject(new Error('no audio is wanted')),
};

/** A model that returns these rows for any input. */
function sessionOf(probabilities: number[][], embeddings?: number[][]): WorkerSession {
  const matrix = (rows: number[][]) => float32([rows.length, rows[0]!.length], rows.flat());
  return {
    run: async () => ({
      probabilities: matrix(probabilities),
      ...(embeddings && { embedding: matrix(embeddings) }),
    }),
  } as unknown as WorkerSession;
}

const infer = (probabilities: number[][], embeddings?: number[][]) =>
  inferAll(examples.slice(0, probabilities.length), {
    evaluators: [sessionEvaluator(sessionOf(probabilities, embeddings))],
    phase,
    features,
    batching: evenBatches(16),
  });

describe('an inference', () => {
  it('whose probabilities or embedding are not numbers is a fault of its example only', async () => {
    const { NaN: nan, POSITIVE_INFINITY: inf } = Number;
    const probabilities = [
      [0.25, 0.75],
      [nan, nan],
      [nan, 0.5],
      [0.5, inf],
      [0, 0],
      [0.6, 0.6],
      [1.5, -0.5],
      [1, 0],
    ];
    const embeddings = [...probabilities.slice(1).map(() => [1, 0]), [nan, 0]];
    const found = await infer(probabilities, embeddings);
    const numbers = 'the model gave probabilities that are not numbers';
    expect(found).toEqual([
      { kind: 'inferred', probabilities: Float32Array.of(0.25, 0.75), embedding: Float32Array.of(1, 0) },
      { kind: 'failed', fault: numbers },
      { kind: 'failed', fault: numbers },
      { kind: 'failed', fault: numbers },
      { kind: 'failed', fault: 'the model gave probabilities that add up to 0, not to 1' },
      { kind: 'failed', fault: 'the model gave probabilities that add up to 1.2, not to 1' },
      { kind: 'failed', fault: 'the model gave negative probabilities' },
      { kind: 'failed', fault: 'the model gave an embedding that is not of numbers' },
    ]);
  });

  it('may miss a sum of 1 by as much as float32 does', async () => {
    const many = Array.from({ length: 3000 }, () => Math.fround(1 / 3000));
    expect((await infer([many]))[0]).toHaveProperty('probabilities');
  });

  it('that failed fails all that need every one, naming utterances, how many, and what it means', async () => {
    const found = await infer(examples.map((_, index) => (index === 3 ? [1, 0] : [Number.NaN, 1])));
    const needed = (): unknown => requireInferences(examples, found, 'the weights of runs/x are damaged');
    expect(needed).toThrow(ComputationError);
    expect(needed).toThrow(
      'the model gave probabilities that are not numbers for 7 of 8 utterances (u0, u1, u2, u4, u5 and 2 more): the weights of runs/x are damaged',
    );
    expect(requireInferences(examples.slice(3, 4), found.slice(3, 4), '')).toEqual(found.slice(3, 4));
  });
});

/** Holds what awaits `opened` until `open` is called. */
function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open!: () => void;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

describe('several evaluators', () => {
  /** The batch of an example is its position; the probabilities are functions of it. */
  const numbered = {
    collate: async (batch: readonly Example[]) => ({ tensors: { batch }, sizes: {} }),
  } as unknown as Phase;
  const answerTo = (batches: readonly Batch[]) =>
    batches.map(({ tensors }) => {
      const ids = (tensors.batch as unknown as Example[]).map(({ id }) => Number(id.slice(1)));
      return {
        probabilities: float32(
          [ids.length, 2],
          ids.flatMap((id) => [id / 8, 1 - id / 8]),
        ),
      };
    });
  const inferWith = (evaluators: Evaluator[], onProgress?: (done: number, total: number) => void) =>
    inferAll(examples, { evaluators, phase: numbered, features, batching: evenBatches(2), onProgress });

  it('share the batches, and every example gets its own answer', async () => {
    const taken: number[][] = [[], [], []];
    // The first evaluator ends last: the others take what is left.
    let others = 0;
    const release = gate();
    const evaluators = taken.map(
      (sizes, index): Evaluator => ({
        batchesPerRun: () => 1,
        run: async (batches) => {
          sizes.push(batches.length);
          if (index === 0) await release.opened;
          else if (++others === 3) release.open();
          return answerTo(batches);
        },
      }),
    );
    const progress: number[] = [];
    const found = await inferWith(evaluators, (done) => progress.push(done));
    expect(found).toEqual(
      examples.map((_, id) => ({
        kind: 'inferred',
        probabilities: Float32Array.of(id / 8, 1 - id / 8),
        embedding: undefined,
      })),
    );
    expect(taken[0]).toEqual([1]);
    expect(taken[1]!.length + taken[2]!.length).toBe(3);
    expect(progress).toEqual([2, 4, 6, 8]);
  });

  it('of which one fails end with its error, once the others have ended their batches', async () => {
    const release = gate();
    let [begun, ended] = [0, 0];
    const failing: Evaluator = {
      batchesPerRun: () => 1,
      run: async () => {
        setImmediate(release.open);
        throw new ComputationError('the device is lost');
      },
    };
    const slow: Evaluator = {
      batchesPerRun: () => 1,
      run: async (batches) => {
        begun += 1;
        await release.opened;
        ended += 1;
        return answerTo(batches);
      },
    };
    await expect(inferWith([slow, failing])).rejects.toThrow('the device is lost');
    expect([begun, ended]).toEqual([1, 1]);
  });
});

describe('the largest of values', () => {
  it('is the first of equal ones, and none where one is not a number', () => {
    expect(argmax([1, 3, 3, 2])).toBe(1);
    expect(argmax([Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY])).toBe(1);
    for (const values of [[Number.NaN], [Number.NaN, 1], [1, Number.NaN], []]) {
      expect(() => argmax(values), String(values)).toThrow(RangeError);
    }
  });
});
