/**
 * @file Products in integers, for inference on the CPU: in a finished graph, the products with constant matrices become
 * products of integers. In 8 bits a matrix has a scale for each row [out], found when it is written; the other factor
 * has one for each of its rows, found in each run. In 4 bits a matrix has a scale and a zero point for each block of a
 * row, and onnxruntime takes the other factor in 8-bit integers, in blocks too. A row's result depends on no other row.
 */

import { tensor } from '../tensor/index.js';
import { formatShape, sameShape } from './dims.js';
import { add, cast, div, max, mul, scalar, sqrt } from './elementwise.js';
import {
  addNode,
  constant,
  floatAttribute,
  type Graph,
  intAttribute,
  intsAttribute,
  type Node,
  type Value,
  valuesRead,
} from './graph.js';
import { reduceMax } from './matrix.js';

/** A constant matrix that products of a graph are with. */
export interface ProductMatrix {
  /** Name of its initializer. */
  readonly key: string;
  /** The order of the initializer's axes in the matrix: [0, 1], or [0, 2, 1] for windows of a convolution. */
  readonly axes: readonly number[];
  /** Rows [out] of the matrix, and their length [in]. */
  readonly out: number;
  readonly width: number;
}

/** A matrix in 8 bits as {@link useIntegerProducts} takes it. */
export interface IntegerMatrix {
  /** int8 [in, out]: transposed. */
  readonly integers: Value;
  /** float32 [out]: what an integer of each column stands for. */
  readonly scales: Value;
}

/** A matrix in 4 bits. Each row [in] is in blocks of equal size. */
export interface BlockMatrix {
  /** uint8 [out, blocks, block size / 2], the first of two elements in the low half. */
  readonly blocks: Value;
  /** float32 [out, blocks]: (element - zero point) * scale. */
  readonly scales: Value;
  /** uint8 [out, blocks / 2 rounded up], packed as the elements are. */
  readonly zeroPoints: Value;
}

/** Smaller matrices take no time worth saving, and are often those that a model is sensitive to. */
const SMALLEST_SIDE = 64;

/** The matrices of a graph that {@link useIntegerProducts} can replace: those that nothing but products reads. */
export function productMatrices(graph: Graph): ProductMatrix[] {
  const readers = new Map<Value, Node[]>();
  for (const node of graph.nodes) {
    for (const value of valuesRead(node)) readers.set(value, [...(readers.get(value) ?? []), node]);
  }
  const matrices = new Map<string, ProductMatrix>();
  for (const node of graph.nodes) {
    const found = isProduct(node) ? sourceOf(node.inputs[1]!) : undefined;
    if (found === undefined) continue;
    const { path, axes } = found;
    const isShared = path.some((value) => readers.get(value)!.some((other) => !reaches(other, path)));
    const [out, width] = node.inputs[1]!.shape as [number, number];
    if (isShared || Math.min(out, width) < SMALLEST_SIDE) continue;
    matrices.set(path[0]!.name, { key: path[0]!.name, axes, out, width });
  }
  return [...matrices.values()];
}

/** Whether a node is a step on the path from an initializer to its products, or such a product. */
function reaches(node: Node, path: readonly Value[]): boolean {
  return (isProduct(node) && node.inputs[1] === path.at(-1)) || path.includes(node.outputs[0]!);
}

/** x W' + b in float32. */
function isProduct(node: Node): boolean {
  return (
    node.operator === 'Gemm' &&
    node.outputs[0]!.dtype === 'float32' &&
    intAttribute(node, 'transB') === 1 &&
    intAttribute(node, 'transA') === 0 &&
    floatAttribute(node, 'alpha', 1) === 1
  );
}

/** The values from an initializer to a matrix that is made of it by casts and a change of its order; else undefined. */
function sourceOf(matrix: Value): { path: Value[]; axes: readonly number[] } | undefined {
  const path = [matrix];
  let axes: readonly number[] | undefined;
  for (;;) {
    const { content, producer, shape } = path[0]!;
    if (content !== undefined) return { path, axes: axes ?? shape.map((_, axis) => axis) };
    if (producer === undefined || !['Cast', 'Reshape', 'Transpose'].includes(producer.operator))
      return undefined;
    if (producer.operator === 'Transpose') {
      if (axes !== undefined) return undefined;
      axes = intsAttribute(producer, 'perm');
      if (axes[0] !== 0) return undefined;
    }
    const [before] = producer.inputs;
    // A matrix of the rest of the axes for each row.
    if (producer.operator === 'Reshape' && before!.shape[0] !== matrix.shape[0]) return undefined;
    path.unshift(before!);
  }
}

/**
 * Replaces products with constant matrices in a graph, and drops what is not read any more.
 * @param matrixOf by the key of a matrix of {@link productMatrices}: integers and scales in the same graph; undefined
 *   leaves the product as it is
 */
export function useIntegerProducts(
  graph: Graph,
  matrixOf: (matrix: ProductMatrix) => IntegerMatrix | BlockMatrix | undefined,
): void {
  const matrices = new Map(productMatrices(graph).map((matrix) => [matrix.key, matrix]));
  const quantized = new Map<Value, QuantizedRows>();
  const integers = new Map<string, IntegerMatrix | BlockMatrix | undefined>();
  const nodes = graph.nodes.splice(0);
  for (const node of nodes) {
    const matrix = isProduct(node) ? matrices.get(sourceOf(node.inputs[1]!)?.path[0]?.name ?? '') : undefined;
    if (matrix !== undefined && !integers.has(matrix.key)) integers.set(matrix.key, matrixOf(matrix));
    const own = matrix && integers.get(matrix.key);
    if (own === undefined) {
      graph.nodes.push(node);
      continue;
    }
    const [x, , bias] = node.inputs;
    if ('blocks' in own) {
      const product = matmulNBits(x!, own);
      takeOver(bias === undefined ? product : add(product, bias), node.outputs[0]!);
      continue;
    }
    const rows = quantized.get(x!) ?? quantizedRows(x!);
    quantized.set(x!, rows);
    takeOver(integerProduct(rows, own, bias), node.outputs[0]!);
  }
  dropUnread(graph);
}

/** A matrix of activations in integers. */
interface QuantizedRows {
  /** uint8, 128 for zero. */
  readonly integers: Value;
  /** The largest magnitude of each row, [rows, 1]. */
  readonly largest: Value;
}

const LEVELS = 127;
const ZERO = 128;
/** For rows of zeros. */
const TINY = 1e-30;

function quantizedRows(x: Value): QuantizedRows {
  const largest = max(sqrt(reduceMax(mul(x, x), [-1], true)), TINY); // fewer passes than with |x|
  return { integers: quantizeLinear(mul(x, div(1, largest)), 1 / LEVELS, ZERO), largest };
}

function integerProduct(
  { integers, largest }: QuantizedRows,
  matrix: IntegerMatrix,
  bias: Value | undefined,
): Value {
  const sums = cast(matmulInteger(integers, matrix.integers, ZERO), 'float32');
  const product = mul(mul(sums, mul(matrix.scales, 1 / LEVELS)), largest);
  return bias === undefined ? product : add(product, bias);
}

/** x / scale + zero, rounded to the nearest integer and cut to 0 to 255 (ONNX QuantizeLinear): uint8. */
export function quantizeLinear(x: Value, scale: number, zero: number): Value {
  const inputs = [x, scalar(x.graph, scale), zeroPoint(x.graph, zero)];
  return addNode(x.graph, 'QuantizeLinear', inputs, {}, [{ dtype: 'uint8', shape: x.shape }])[0]!;
}

/**
 * (a - zero) b in int32 (ONNX MatMulInteger): uint8 [m, k] and int8 [k, n] -> int32 [m, n].
 * @throws RangeError for shapes that do not fit
 */
export function matmulInteger(a: Value, b: Value, zero: number): Value {
  const [m, k] = a.shape;
  const [inner, n] = b.shape;
  if (a.shape.length !== 2 || b.shape.length !== 2 || k !== inner) {
    throw new RangeError(`matmul of ${a.name} ${formatShape(a.shape)} and ${b.name} ${formatShape(b.shape)}`);
  }
  const inputs = [a, b, zeroPoint(a.graph, zero)];
  return addNode(a.graph, 'MatMulInteger', inputs, {}, [{ dtype: 'int32', shape: [m!, n!] }])[0]!;
}

/** Products in 8-bit integers, summed in 32 bits (`accuracy_level` of MatMulNBits). */
const IN_INTEGERS = 4;

/**
 * x W' (MatMulNBits of onnxruntime): float32 [m, in] -> float32 [m, out].
 * @throws RangeError for shapes that do not fit
 */
export function matmulNBits(x: Value, { blocks, scales, zeroPoints }: BlockMatrix): Value {
  const [rows, width] = x.shape;
  const [out, count, bytes] = blocks.shape as [number, number, number];
  const blockSize = 2 * bytes;
  const packed = Math.ceil(count / 2);
  if (
    x.shape.length !== 2 ||
    width !== count * blockSize ||
    !sameShape(scales.shape, [out, count]) ||
    !sameShape(zeroPoints.shape, [out, packed])
  ) {
    throw new RangeError(
      `matmul of ${x.name} ${formatShape(x.shape)} and ${blocks.name} ${formatShape(blocks.shape)}`,
    );
  }
  const int = (value: number) => ({ kind: 'int', value }) as const;
  const attributes = {
    ...{ K: int(width), N: int(out), bits: int(4), block_size: int(blockSize) },
    accuracy_level: int(IN_INTEGERS),
  };
  const output = { dtype: 'float32', shape: [rows!, out] } as const;
  return addNode(x.graph, 'MatMulNBits', [x, blocks, scales, zeroPoints], attributes, [output])[0]!;
}

function zeroPoint(graph: Graph, value: number): Value {
  return constant(graph, tensor('uint8', [], Uint8Array.of(value)));
}

/** Makes the latest node of a graph the one that computes an existing value. */
function takeOver(made: Value, value: Value): void {
  const { nodes } = made.graph;
  const node = { ...nodes.pop()!, outputs: [value] };
  value.producer = node;
  nodes.push(node);
}

/** Drops nodes and initializers that no output depends on. */
function dropUnread(graph: Graph): void {
  const read = new Set<Value>(graph.outputs);
  const kept = graph.nodes.toReversed().filter((node) => {
    const isRead = node.outputs.some((output) => read.has(output));
    if (isRead) for (const value of valuesRead(node)) read.add(value);
    return isRead;
  });
  graph.nodes.splice(0, graph.nodes.length, ...kept.reverse());
  const initializers = graph.initializers.filter((value) => read.has(value));
  graph.initializers.splice(0, graph.initializers.length, ...initializers);
}
