/**
 * @file Weights stored as blocks of 4- or 8-bit integers. A quantized matrix is dequantized anew for each product with
 * it, so that its floating-point values live only from there to the product.
 */

import type { DType } from '../tensor/index.js';
import { formatShape } from './dims.js';
import { cast, mul } from './elementwise.js';
import { addNode, innermost, intAttribute, type Node, type Value } from './graph.js';
import { shapeOf } from './layout.js';

/** A matrix [out, in] in blocks along its rows: (integers - zero points) * scales. */
export interface BlockQuantized {
  /** int4, uint4, int8 or uint8 [out, in]. */
  readonly integers: Value;
  /** float16, bfloat16 or float32 [out, in / block]. */
  readonly scales: Value;
  /** Of the integers' type [out, in / block]; absent: 0. */
  readonly zeroPoints?: Value | undefined;
  /** Elements that share a scale. */
  readonly blockSize: number;
}

/**
 * (integers - zero points) * scales (ONNX DequantizeLinear, opset 21), in the scales' type: [out, in].
 * @throws RangeError if the scales do not fit the integers
 */
export function dequantizeLinear(matrix: BlockQuantized): Value {
  const node = dequantization(matrix, matrix.scales.dtype);
  const inputs = node.inputs as readonly Value[];
  return addNode(innermost(inputs), node.operator, inputs, node.attributes, node.outputs)[0]!;
}

/**
 * A quantized matrix as the second factor of `gemm`: a value of type `dtype` without a node in any graph. `gemm` adds
 * the nodes for each product.
 * @throws RangeError if the scales do not fit the integers
 */
export function quantizedMatrix(matrix: BlockQuantized, dtype: DType): Value {
  return dequantization(matrix, dtype).outputs[0]!;
}

/** A DequantizeLinear node that is in no graph yet, with its result as type `dtype`. */
function dequantization(matrix: BlockQuantized, dtype: DType): Node {
  const { integers, scales, zeroPoints, blockSize } = matrix;
  const [out, width] = integers.shape as [number, number];
  for (const { name, shape } of zeroPoints === undefined ? [scales] : [scales, zeroPoints]) {
    if (shape.length === 2 && shape[0] === out && shape[1] === width / blockSize) continue;
    throw new RangeError(
      `${name} ${formatShape(shape)} cannot belong to ${integers.name} ${formatShape(integers.shape)} in blocks of ${blockSize}`,
    );
  }
  const outputs: Value[] = [];
  const node: Node = {
    operator: 'DequantizeLinear',
    name: '',
    inputs: zeroPoints === undefined ? [integers, scales] : [integers, scales, zeroPoints],
    attributes: { axis: { kind: 'int', value: 1 }, block_size: { kind: 'int', value: blockSize } },
    outputs,
  };
  const { graph, name, shape } = integers;
  outputs.push({ graph, name: `${name}/dequantized`, dtype, shape, producer: node });
  return node;
}

/**
 * A quantized matrix, dequantized for a product with `other`; any other value itself.
 *
 * onnxruntime merges equal nodes, and then all products with a weight, forward and backward, would share one result
 * that lives from the first of them to the last. It also may run a node long before its result is needed. Both are
 * prevented by reshaping the scales to the shape of `other` times zero, where 0 stands for an unchanged size. (With a
 * Concat in between, onnxruntime's fusion of reshapes would make a constant of it.) On CUDA this launches no kernel,
 * because sizes are computed on the host.
 * @param matrix a result of `quantizedMatrix`, or one already dequantized for another product
 */
export function dequantizedFor(matrix: Value, other: Value): Value {
  const source = sourceOf(matrix);
  if (source === undefined) return matrix;
  const graph = innermost([other, source.integers]);
  const unchanged = mul(shapeOf(other), 0); // [0, 0]
  const { dtype, shape } = source.scales;
  const scales = addNode(graph, 'Reshape', [source.scales, unchanged], {}, [{ dtype, shape }])[0]!;
  return cast(dequantizeLinear({ ...source, scales }), matrix.dtype);
}

function sourceOf({ producer }: Value): BlockQuantized | undefined {
  const node = producer?.operator === 'Cast' ? producer.inputs[0]!.producer : producer;
  if (node?.operator !== 'DequantizeLinear') return undefined;
  const [integers, given, zeroPoints] = node.inputs as readonly Value[];
  const scales = given!.producer?.operator === 'Reshape' ? given!.producer.inputs[0]! : given!;
  return { integers: integers!, scales, zeroPoints, blockSize: intAttribute(node, 'block_size') };
}
