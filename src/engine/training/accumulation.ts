/**
 * @file Gradient accumulation: a step's batch goes through the model in micro-batches, one after another in a Loop
 * inside the step's, so that activations are those of one micro-batch. Their gradients are summed before the update.
 */

import {
  add,
  addInput,
  cast,
  type Graph,
  gather,
  less,
  loop,
  mul,
  reduceSum,
  type Value,
} from '../onnx/index.js';

/** How many micro-batches all steps of a run of the graph have together: the first axis of what is stacked. */
export const MICRO_BATCHES = 'micro_batches_in_all';

/** The loss of a step or of a micro-batch, further scalars, and how to build a gradient for each parameter. */
export interface Differentiable {
  readonly loss: Value;
  readonly reported: Readonly<Record<string, Value>>;
  readonly gradients: () => readonly Value[];
}

/** Where the micro-batches of each step are in the stack, and what each counts. */
export interface MicroInputs {
  /** int64 [K] */
  readonly counts: Value;
  /** int64 [K] */
  readonly first: Value;
  /** float32 [micro-batches in all] */
  readonly weights: Value;
}

/** Adds the inputs `micro_batches` and `first_micro_batch` int64 [K], and `micro_weight` float32, one for each. */
export function declareMicroInputs(root: Graph): MicroInputs {
  return {
    counts: addInput(root, 'micro_batches', 'int64', ['K']),
    first: addInput(root, 'first_micro_batch', 'int64', ['K']),
    weights: addInput(root, 'micro_weight', 'float32', [MICRO_BATCHES]),
  };
}

/**
 * Loss, reported scalars and gradients of a whole step: sums over its micro-batches, each times its weight.
 * @param step number of the step among the K, int64 scalar
 * @param parameters what is differentiated by
 * @param forward builds the micro-batch at `index` of the stack in `graph`, loss and scalars times `weight`; `values` are
 *   the parameters there
 */
export function accumulate(
  { counts, first, weights }: MicroInputs,
  step: Value,
  parameters: readonly Value[],
  forward: (graph: Graph, index: Value, values: readonly Value[], weight: Value) => Differentiable,
): Differentiable {
  const start = gather(first, step, 0);
  const trips = gather(counts, step, 0);
  let names: string[] = [];
  // The sums start from the parameters times 0: zeros of their own would be one more copy in memory.
  const { states, collected } = loop(trips, 'micro_batches', parameters, (body, position, sums) => {
    const index = add(start, position);
    // As values of this graph: what is made of parameters alone is then built here, where it is differentiated.
    const values = parameters.map((parameter): Value => ({ ...parameter, graph: body }));
    const { loss, reported, gradients } = forward(body, index, values, gather(weights, index, 0));
    const slopes = gradients();
    names = Object.keys(reported);
    const keep = cast(less(0, position), 'float32');
    return {
      states: sums.map((sum, at) => add(mul(sum, keep), slopes[at]!)),
      collected: Object.entries({ loss, ...reported }).map(([name, value]) => ({ name, value })),
    };
  });
  const [loss, ...others] = collected.map((parts) => reduceSum(parts, [0])) as [Value, ...Value[]];
  return {
    loss,
    reported: Object.fromEntries(names.map((name, at) => [name, others[at]!])),
    gradients: () => states,
  };
}
