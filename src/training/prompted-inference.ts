/**
 * @file Inference of an opened model whose prompts begin with the same tokens: their keys and values are computed once,
 * and every batch is given them.
 */

import { type Tensor, tensor } from '../engine/tensor/index.js';
import type { GraphInput } from '../engine/training/index.js';
import { type Example, type Phase, PRESENT_KEY_VALUES } from '../systems/index.js';
import {
  type Evaluator,
  type FailedInference,
  type Inference,
  type InferenceOptions,
  inferAll,
} from './inference.js';

/** {@link inferAll} with the evaluators of a model. */
export type Infer = (
  examples: readonly Example[],
  options: Omit<InferenceOptions, 'evaluators' | 'phase'>,
) => Promise<(Inference | FailedInference)[]>;

/**
 * {@link inferAll} with the evaluators of a phase's `phaseInferenceGraph`. The keys and values of a constant beginning
 * are computed with the first prompt that has it, and prompts go on after the first beginning that they have; one that
 * has none is computed in whole. Which of these depends on nothing but the example.
 */
export function promptedInference(evaluators: readonly Evaluator[], phase: Phase): Infer {
  const { past, promptStarts = [] } = phase;
  const infer =
    (by: readonly Evaluator[]): Infer =>
    (examples, options) =>
      inferAll(examples, { ...options, evaluators: by, phase });
  if (past === undefined) return infer(evaluators);
  const nothing = tensor(
    'float32',
    past.shape.map((size) => (typeof size === 'number' ? size : 0)),
  );
  const whole = evaluators.map((evaluator) => continuing(evaluator, past, nothing));
  const ways = promptStarts.map(({ batch, after }): Way => {
    const begin = async (): Promise<Evaluator[]> => {
      const [outputs] = await whole[0]!.run([await batch()]);
      const present = outputs![PRESENT_KEY_VALUES]!;
      return evaluators.map((evaluator) => continuing(evaluator, past, present));
    };
    let begun: Promise<readonly Evaluator[]> | undefined;
    return {
      restOf: after,
      evaluators: () => {
        begun ??= begin();
        return begun;
      },
    };
  });
  ways.push({ restOf: (example) => example, evaluators: async () => whole });
  return async (examples, options) => {
    const results: (Inference | FailedInference)[] = new Array(examples.length);
    let left = [...examples.keys()];
    for (const way of ways) {
      const rests = left.map((index) => ({ index, rest: way.restOf(examples[index]!) }));
      const own = rests.flatMap(({ index, rest }) => (rest === undefined ? [] : [{ index, rest }]));
      if (own.length === 0) continue;
      const done = examples.length - left.length;
      const onProgress = (some: number): void => options.onProgress?.(done + some, examples.length);
      const given = own.map(({ rest }) => rest);
      const inferences = await infer(await way.evaluators())(given, { ...options, onProgress });
      own.forEach(({ index }, position) => {
        results[index] = inferences[position]!;
      });
      left = rests.flatMap(({ index, rest }) => (rest === undefined ? [index] : []));
    }
    return results;
  };
}

/** How some of the prompts are computed. */
interface Way {
  /** What is computed of a prompt; undefined if it is not computed in this way. */
  readonly restOf: (example: Example) => Example | undefined;
  readonly evaluators: () => Promise<readonly Evaluator[]>;
}

/** An evaluator that gives every batch these past keys and values. */
function continuing(evaluator: Evaluator, past: GraphInput, keyValues: Tensor): Evaluator {
  return {
    batchesPerRun: evaluator.batchesPerRun,
    run: (batches) =>
      evaluator.run(
        batches.map(({ tensors, sizes }) => ({
          tensors: { ...tensors, [past.name]: keyValues },
          sizes: { ...sizes, past: keyValues.shape[2]! },
        })),
      ),
  };
}
