/** @file Access to a model fragment's weights by checkpoint key and shape, independent of where they are stored. */

import type { Quantization, WeightRef } from '../checkpoints/index.js';
import {
  addInitializer,
  addInput,
  cast,
  createGraph,
  type Dim,
  type Graph,
  mul,
  quantizedMatrix,
  sub,
  type Value,
} from '../engine/onnx/index.js';
import { elementCount } from '../engine/tensor/index.js';
import type { ParameterShape } from '../engine/training/index.js';

/**
 * Returns the value of one weight; the same key always gives the same value. Fragments use the checkpoint's own keys
 * and the shapes implied by their config.
 */
export type Weights = (key: string, shape: readonly number[]) => Value;

/** The same weights under a key prefix: `under(weights, 'encoder.layer.0.')('attention...', shape)`. */
export function under(weights: Weights, prefix: string): Weights {
  return (key, shape) => weights(prefix + key, shape);
}

/**
 * The element type of a language model's matrix products, of their operands and results; sums are in float32 whatever it
 * is. Residual stream, norms, rotation, softmax, SiLU, losses and trained parameters are float32.
 */
export type Precision = 'float32' | 'bfloat16' | 'float16';

/**
 * Frozen weights, read from their checkpoint files as external data. Weights of a type other than the one to compute
 * with are cast; onnxruntime folds the cast at load. Quantized weights stay quantized, and are dequantized for each
 * product.
 * @param lookup finds a key with its expected shape, or throws an InputError if it is missing or has another shape
 * @param precision of matrices, by key; vectors (biases and normalisation scales) are float32
 */
export function checkpointWeights(
  graph: Graph,
  lookup: (key: string, shape: readonly number[]) => WeightRef,
  precision: (key: string) => Precision = () => 'float32',
): Weights {
  return remembering((key, shape) => {
    const ref = lookup(key, shape);
    if (ref.quantization !== undefined)
      return quantizedWeight(graph, key, ref, ref.quantization, precision(key));
    return cast(storedValue(graph, key, ref), shape.length === 2 ? precision(key) : 'float32');
  });
}

function storedValue(
  graph: Graph,
  name: string,
  { path, offset, byteLength, dtype, shape }: WeightRef,
): Value {
  return addInitializer(graph, name, { path, offset, byteLength }, dtype, shape);
}

/** A quantized weight in type `precision`, for `gemm` alone. */
function quantizedWeight(
  graph: Graph,
  key: string,
  ref: WeightRef,
  quantization: Quantization,
  precision: Precision,
): Value {
  const { blockSize, zeroPoints } = quantization;
  const shape = ref.shape as readonly [number, number];
  const blocks = elementCount(shape) / blockSize;
  const integers = storedValue(graph, key, { ...ref, shape: [blocks, blockSize] });
  const scales = storedValue(graph, `${key}_scale`, { ...quantization.scales, shape: [blocks] });
  const points = zeroPoints && storedValue(graph, `${key}_zero_point`, { ...zeroPoints, shape: [blocks] });
  return quantizedMatrix({ integers, scales, zeroPoints: points }, shape, precision);
}

/** The constant that a weight was cast from; the value itself if it was not cast. */
export function asStored(value: Value): Value {
  const source = value.producer?.operator === 'Cast' ? value.producer.inputs[0] : undefined;
  return source?.content === undefined ? value : source;
}

/** Weights from existing values: trainable parameters carried by a loop, or inputs of a graph. */
export function givenWeights(values: ReadonlyMap<string, Value>): Weights {
  return (key, shape) => {
    const value = values.get(key);
    if (value === undefined) throw new Error(`there is no parameter ${key}`);
    if (value.shape.join() !== shape.join()) {
      throw new Error(
        `parameter ${key} is [${value.shape.join(', ')}], the model wants [${shape.join(', ')}]`,
      );
    }
    return value;
  };
}

/** Trainable parameters if `values` has the key, otherwise `frozen`. */
export function layeredWeights(values: ReadonlyMap<string, Value>, frozen: Weights): Weights {
  const trainable = givenWeights(values);
  return (key, shape) => (values.has(key) ? trainable(key, shape) : frozen(key, shape));
}

/** Every weight that `build` asks for, with its shape, in order. Builds a graph that is thrown away. */
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

/** Weights that are inputs of a graph, float32 by their keys: to build or measure a graph without any values. */
export function inputWeights(graph: Graph): Weights {
  return remembering((key, shape) => addInput(graph, key, 'float32', shape as readonly Dim[]));
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
 * Dropout as the models see it. `site` identifies the layer, so that its mask depends only on seed, step and site.
 * Outside training it returns `x` itself.
 */
export type Dropout = (x: Value, rate: number, site: string) => Value;

/** Dropout outside training. */
export const noDropout: Dropout = (x) => x;

/** An additive attention bias from a mask: 0 where `mask` (int64, 1 = real) is 1, -1e9 elsewhere. */
export function attentionBias(mask: Value): Value {
  // Not minus infinity, so that a row without any valid position stays finite. exp(-1e9) is exactly 0 in float32.
  return mul(sub(1, cast(mask, 'float32')), -1e9);
}

/** A complete model: inputs, a fragment over named weights, and outputs. */
export interface ModelGraph {
  /** Name of the graph. */
  readonly name: string;
  /** One line that describes what it computes. */
  readonly description: string;
  /** Adds the model to an empty graph; asks `weights` for each weight by its checkpoint key. */
  readonly define: (graph: Graph, weights: Weights) => void;
}
