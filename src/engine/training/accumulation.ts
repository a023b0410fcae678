/**
 * @file Gradient accumulation: processes a step's batch as micro-batches, in a Loop inside the step's Loop, so that
 * only one micro-batch's activations are in memory. Gradients are summed before the update.
 */

import {
  add,
  addInput,
  cast,
  type Graph,
  gather,
  hostTable,
  less,
  loop,
  mul,
  onDevice,
  reduceSum,
  type Value,
} from '../onnx/index.js';

/** Total number of micro-batches over all steps of a run: the first axis of the stacked inputs. */
export const MICRO_BATCHES = 'micro_batches_in_all';

/** The loss of a step or micro-batch, further scalars, and how to build the gradient of each group of parameters. */
export interface Differentiable {
  readonly loss: Value;
  readonly reported: Readonly<Record<string, Value>>;
  readonly gradients: () => readonly Value[];
  /** What the model hands on, in the order of the memory that it was given. */
  readonly memory: readonly Value[];
}

/** Position of each step's micro-batches in the stack, and their weights. */
export interface MicroInputs {
  /** int64 [K], prepared as a table of the host. */
  readonly counts: Value;
  /** int64 [K] */
  readonly first: Value;
  /** float32 [total micro-batches] */
  readonly weights: Value;
}

/**
 * Adds the inputs `micro_batches` and `first_micro_batch` int64 [K], and `micro_weight` float32, one per micro-batch.
 */
export function declareMicroInputs(root: Graph): MicroInputs {
  return {
    counts: hostTable(addInput(root, 'micro_batches', 'int64', ['K'])),
    first: addInput(root, 'first_micro_batch', 'int64', ['K']),
    weights: addInput(root, 'micro_weight', 'float32', [MICRO_BATCHES]),
  };
}

/**
 * Loss, reported scalars and gradients of a whole step: weighted sums over its micro-batches. A micro-batch finds in its
 * memory what the one before it left.
 * @param step index of the step among the K: the loop's counter
 * @param state the groups' values, to differentiate with respect to
 * @param memory what the step before left
 * @param forward builds a micro-batch in `graph`, with loss and scalars multiplied by `weight`: the one at `position`
 *   (a counter) of the step and at `index` of the stack; `values` are the groups' values in that graph
 */
export function accumulate(
  { counts, first, weights }: MicroInputs,
  step: Value,
  { state, memory }: { readonly state: readonly Value[]; readonly memory: readonly Value[] },
  forward: (
    graph: Graph,
    at: { readonly position: Value; readonly index: Value },
    given: { readonly values: readonly Value[]; readonly memory: readonly Value[]; readonly weight: Value },
  ) => Differentiable,
): Differentiable {
  const start = gather(first, onDevice(step), 0);
  const trips = cast(gather(counts, step, 0), 'int64');
  let names: string[] = [];
  // The sums start from the parameters times 0: separate zeros would take one more copy in memory.
  const { states, collected } = loop(
    trips,
    'micro_batches',
    [...state, ...memory],
    (body, position, carried) => {
      const sums = carried.slice(0, state.length);
      const ordinal = onDevice(position);
      const index = add(start, ordinal);
      // Values of this graph, so that anything computed from parameters alone is built here, where it is differentiated.
      const values = state.map((value): Value => ({ ...value, graph: body }));
      const given = { values, memory: carried.slice(state.length), weight: gather(weights, index, 0) };
      const { loss, reported, gradients, memory: left } = forward(body, { position, index }, given);
      const slopes = gradients();
      names = Object.keys(reported);
      const keep = cast(less(0, ordinal), 'float32');
      return {
        states: [...sums.map((sum, at) => add(mul(sum, keep), slopes[at]!)), ...left],
        collected: Object.entries({ loss, ...reported }).map(([name, value]) => ({ name, value })),
      };
    },
  );
  const [loss, ...others] = collected.map((parts) => reduceSum(parts, [0])) as [Value, ...Value[]];
  return {
    loss,
    reported: Object.fromEntries(names.map((name, at) => [name, others[at]!])),
    gradients: () => states.slice(0, state.length),
    memory: states.slice(state.length),
  };
}
