/**
 * @file Weights stored as blocks of 4- or 8-bit integers. A quantized matrix is dequantized anew for each product with
 * it, so that its floating-point values live only from there to the product.
 */

import { type DType, elementCount } from '../tensor/index.js';
import { formatShape } from './dims.js';
import { cast, mul } from './elementwise.js';
import { addNode, innermost, type Node, type Value } from './graph.js';
import { reshape } from './layout.js';

/**
 * A matrix in blocks of consecutive elements of its rows: (integers - zero points) * scales. Each block is a row of the
 * integers, since CUDA has a kernel for 8 bits with a scale per row, but none with blocks within rows.
 */
export interface BlockQuantized {
  /** uint4 or int8 [blocks, elements of a block]. */
  readonly integers: Value;
  /** float16 or float32 [blocks]. */
  readonly scales: Value;
  /** Of the integers' type [blocks]; absent: 0. */
  readonly zeroPoints?: Value | undefined;
}

/**
 * (integers - zero points) * scales (ONNX DequantizeLinear), in the scales' type: [blocks, elements of a block].
 * @throws RangeError if the scales do not fit the integers
 */
export function dequantizeLinear(blocks: BlockQuantized): Value {
  const { integers, scales, zeroPoints } = blocks;
  const inputs = zeroPoints === undefined ? [integers, scales] : [integers, scales, zeroPoints];
  for (const { name, shape } of inputs.slice(1)) {
    if (shape.length === 1 && shape[0] === integers.shape[0]) continue;
    throw new RangeError(
      `${name} ${formatShape(shape)} is not one value for each row of ${integers.name} ${formatShape(integers.shape)}`,
    );
  }
  const { dtype } = scales;
  const attributes = { axis: { kind: 'int', value: 0 } } as const;
  return addNode(innermost(inputs), 'DequantizeLinear', inputs, attributes, [
    { dtype, shape: integers.shape },
  ])[0]!;
}

/**
 * A quantized matrix as the second factor of `gemm`: a value of type `dtype` whose nodes are in no graph. `gemm` adds
 * them for each product.
 * @param blocks its integers, scales and zero points: initializers
 * @param shape [out, in]; `in` is a multiple of the block size
 */
export function quantizedMatrix(
  { integers, scales, zeroPoints }: BlockQuantized,
  shape: readonly [number, number],
  dtype: DType,
): Value {
  if (elementCount(shape) !== elementCount(integers.shape as readonly number[])) {
    throw new RangeError(
      `${integers.name} ${formatShape(integers.shape)} is no matrix ${formatShape(shape)}`,
    );
  }
  const { graph } = integers;
  const detached = (
    operator: Node['operator'],
    inputs: Node['inputs'],
    form: Pick<Value, 'dtype' | 'shape'>,
  ) => {
    const outputs: Value[] = [];
    const producer = { operator, name: '', inputs, attributes: {}, outputs };
    outputs.push({ graph, name: `${integers.name}/dequantized`, ...form, producer });
    return outputs[0]!;
  };
  const blocks = detached('DequantizeLinear', [integers, scales, zeroPoints], {
    dtype: scales.dtype,
    shape: integers.shape,
  });
  return detached('Reshape', [blocks], { dtype, shape });
}

/**
 * A quantized matrix, dequantized for a product with `other`; any other value itself.
 *
 * onnxruntime merges equal nodes, and then all products with a weight, forward and backward, would share one result
 * that lives from the first of them to the last. It also may run a node long before its result is needed. Both are
 * prevented by reshaping the scales to the row count of `other` times zero, where 0 stands for an unchanged size. On
 * CUDA this launches no kernel, because sizes are computed on the host.
 * @param matrix a result of `quantizedMatrix`, or one already dequantized for another product
 */
export function dequantizedFor(matrix: Value, other: Value): Value {
  const source = sourceOf(matrix);
  if (source === undefined) return matrix;
  const range = { start: { kind: 'int', value: 0 }, end: { kind: 'int', value: 1 } } as const;
  const rows = addNode(other.graph, 'Shape', [other], range, [{ dtype: 'int64', shape: [1] }])[0]!;
  const { dtype, shape } = source.scales;
  const inputs = [source.scales, mul(rows, 0)];
  const scales = addNode(innermost(inputs), 'Reshape', inputs, {}, [{ dtype, shape }])[0]!;
  // CUDA has no kernel that dequantizes to bfloat16: there the result is cast, elsewhere the scales, which are few.
  const wanted = matrix.dtype === 'bfloat16' ? dtype : matrix.dtype;
  const blocks = dequantizeLinear({ ...source, scales: cast(scales, wanted) });
  return reshape(cast(blocks, matrix.dtype), matrix.shape);
}

function sourceOf({ producer }: Value): BlockQuantized | undefined {
  const blocks = producer?.operator === 'Reshape' ? before(producer.inputs[0]!, 'Cast') : undefined;
  if (blocks?.producer?.operator !== 'DequantizeLinear') return undefined;
  const [integers, scales, zeroPoints] = blocks.producer.inputs;
  return { integers: integers!, scales: before(before(scales!, 'Cast'), 'Reshape'), zeroPoints };
}

/** The input of the node that computes a value, if it is of this operator; otherwise the value itself. */
function before(value: Value, operator: Node['operator']): Value {
  return value.producer?.operator === operator ? value.producer.inputs[0]! : value;
}
