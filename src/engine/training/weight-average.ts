/**
 * @file Averages of the weights along a run, as graph nodes: exponential, or the mean over its last steps. They are part
 * of the training state, so a resumed run continues them exactly.
 */

import { add, cast, div, max, mul, pow, scalar, sub, type Value, withScope } from '../onnx/index.js';

/** What is averaged over the steps of a run. */
export type WeightAverage =
  /** Weights of k steps ago count decay^k (Polyak and Juditsky, 1992), divided by the sum of all these factors. */
  | { readonly kind: 'ema'; readonly decay: number }
  /** The mean over all steps from this one (0-based) on (Izmailov et al., 2018); before it, the weights themselves. */
  | { readonly kind: 'from'; readonly step: number };

/**
 * The averages after a step: (1 - c) a + c p, with the updated weights p and the share c of this step. At step s (from
 * 0), c is (1 - decay) / (1 - decay^(s + 1)), or 1 / (s - first + 1), never above 1. It is 1 at the first step, so that
 * what the averages start from does not matter.
 * @param step int64 scalar
 */
export function updatedAverages(
  averages: readonly Value[],
  updated: readonly Value[],
  step: Value,
  average: WeightAverage,
): Value[] {
  return withScope(step.graph, 'average', () => {
    const share = shareOf(step, average);
    const [taken, kept] = [share, sub(1, share)].map((each) => cast(each, 'float32')) as [Value, Value];
    return averages.map((value, index) => add(mul(value, kept), mul(updated[index]!, taken)));
  });
}

function shareOf(step: Value, average: WeightAverage): Value {
  const s = cast(step, 'float64');
  if (average.kind === 'from') return div(1, max(sub(s, average.step - 1), 1));
  const { decay } = average;
  return div(1 - decay, sub(1, pow(scalar(s.graph, decay, 'float64'), add(s, 1))));
}
