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
 * {@link inferAll} with the evaluators of a phase's `phaseInferenceGraph`. The keys and values of the constant beginning
 * of the prompts are computed with the first examples, and prompts go on after them; a prompt that begins otherwise is
 * computed in whole. Which of the two depends on nothing but the example.
 */
export function promptedInference(evaluators: readonly Evaluator[], phase: Phase): Infer {
  const { past, promptStart } = phase;
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
  if (promptStart === undefined) return infer(whole);
  const begin = async (): Promise<Evaluator[]> => {
    const [outputs] = await whole[0]!.run([await promptStart.batch()]);
    const present = outputs![PRESENT_KEY_VALUES]!;
    return evaluators.map((evaluator) => continuing(evaluator, past, present));
  };
  let begun: Promise<Evaluator[]> | undefined;
  return async (examples, options) => {
    const rests = examples.map((example) => promptStart.after(example));
    const results: (Inference | FailedInference)[] = new Array(examples.length);
    let done = 0;
    const inferThose = async (isRest: boolean, by: () => Promise<readonly Evaluator[]>): Promise<void> => {
      const indices = [...examples.keys()].filter((index) => (rests[index] !== undefined) === isRest);
      if (indices.length === 0) return;
      const own = indices.map((index) => rests[index] ?? examples[index]!);
      const onProgress = (some: number): void => options.onProgress?.(done + some, examples.length);
      const inferences = await infer(await by())(own, { ...options, onProgress });
      indices.forEach((index, position) => {
        results[index] = inferences[position]!;
      });
      done += indices.length;
    };
    await inferThose(true, () => {
      begun ??= begin();
      return begun;
    });
    await inferThose(false, async () => whole);
    return results;
  };
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
