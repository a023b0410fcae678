/** @file How a model fragment asks for its weights: by checkpoint key and shape, never knowing where they live. */

import type { WeightRef } from '../checkpoints/index.js';
import {
  addInitializer,
  addInput,
  cast,
  createGraph,
  type Dim,
  type Graph,
  mul,
  sub,
  type Value,
} from '../engine/onnx/index.js';
import type { DType } from '../engine/tensor/index.js';
import type { ParameterShape } from '../engine/training/index.js';

/**
 * Gives the value of one weight. Asking twice for a key gives the same value. Fragments call it with the
 * checkpoint's own key and the shape that their config implies.
 */
export type Weights = (key: string, shape: readonly number[]) => Value;

/** The same weights below a key prefix: `under(weights, 'encoder.layer.0.')('attention...', shape)`. */
export function under(weights: Weights, prefix: string): Weights {
  return (key, shape) => weights(prefix + key, shape);
}

/**
 * Frozen weights, read in place from their checkpoint files as external data. Types other than `computeDtype` are
 * cast once, which onnxruntime folds at load.
 * @param lookup finds a key with its expected shape, throwing an InputError where it is missing or misshapen
 */
export function checkpointWeights(
  graph: Graph,
  lookup: (key: string, shape: readonly number[]) => WeightRef,
  computeDtype: DType = 'float32',
): Weights {
  return remembering((key, shape) => {
    const ref = lookup(key, shape);
    const { path, offset, byteLength } = ref;
    return cast(addInitializer(graph, key, { path, offset, byteLength }, ref.dtype, shape), computeDtype);
  });
}

/** The constant that a weight was cast from; the value itself where it was not cast. */
export function asStored(value: Value): Value {
  const source = value.producer?.operator === 'Cast' ? value.producer.inputs[0] : undefined;
  return source?.content === undefined ? value : source;
}

/** Weights that are given values: trainable parameters carried by a loop, or inputs of a graph. */
export function givenWeights(values: ReadonlyMap<string, Value>): Weights {
  return (key, shape) => {
    const value = values.get(key);
    if (value === undefined) throw new Error(`no parameter is called ${key}`);
    if (value.shape.join() !== shape.join()) {
      throw new Error(
        `parameter ${key} is [${value.shape.join(', ')}], the model wants [${shape.join(', ')}]`,
      );
    }
    return value;
  };
}

/** Trainable parameters where `values` has the key, else what `frozen` gives. */
export function layeredWeights(values: ReadonlyMap<string, Value>, frozen: Weights): Weights {
  const trainable = givenWeights(values);
  return (key, shape) => (values.has(key) ? trainable(key, shape) : frozen(key, shape));
}

/** Every weight that `build` asks for, with its shape, in the order asked. Builds a throw-away graph. */
export function declaredWeights(build: (graph: Graph, weights: Weights) => void): ParameterShape[] {
  const graph = createGraph('declaration');
  const parameters: ParameterShape[] = [];
  build(
    graph,
    remembering((key, shape) => {
      parameters.push({ key, shape });
      return addInput(graph, key, 'float32', shape as readonly Dim[]);
    }),
  );
  return parameters;
}

function remembering(make: Weights): Weights {
  const known = new Map<string, Value>();
  return (key, shape) => {
    const value = known.get(key) ?? make(key, shape);
    known.set(key, value);
    return value;
  };
}

/**
 * Dropout as the models see it: `site` names the place, so that its mask is a function of seed, step and site alone.
 * Outside training it returns `x` itself.
 */
export type Dropout = (x: Value, rate: number, site: string) => Value;

/** Dropout outside training. */
export const noDropout: Dropout = (x) => x;

/** An additive attention bias from a mask: 0 where `mask` (int64, 1 = real) is 1, -1e9 elsewhere. */
export function attentionBias(mask: Value): Value {
  // Not minus infinity: a row without any valid position then stays finite. exp(-1e9) is exactly 0 in float32.
  return mul(sub(1, cast(mask, 'float32')), -1e9);
}

/** Inputs, a fragment over named weights, and outputs. */
export interface ModelGraph {
  /** Name of the graph. */
  readonly name: string;
  /** One line that says what it computes. */
  readonly description: string;
  /** Adds the model to an empty graph; asks `weights` for each weight by the key that checkpoints have it under. */
  readonly define: (graph: Graph, weights: Weights) => void;
}
