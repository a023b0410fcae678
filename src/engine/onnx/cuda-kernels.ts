/**
 * @file Whether CUDA has kernels for the nodes of a graph. onnxruntime gives a node without one to the CPU, with a copy
 * of each of its tensors to the host and back in every step.
 */

import { type DType, isFloating } from '../tensor/index.js';
import { CUDA_KERNELS, type KernelTypes } from './cuda-kernel-table.js';
import type { Graph, Node, Value } from './graph.js';
import { OPSET, opsetOf } from './wire.js';

/**
 * Kernels that round 1 + exp(x), its reciprocal and the difference from 1 to the type they compute in, and so are wrong
 * by much more than its precision (read off the machine code of onnxruntime 1.30.0).
 */
const INEXACT: ReadonlyMap<string, readonly DType[]> = new Map([
  ['Sigmoid', ['bfloat16']],
  ['QuickGelu', ['bfloat16', 'float16']],
]);

const kernels = new Map<string, KernelTypes>(Object.entries(CUDA_KERNELS));

/**
 * Why onnxruntime's CUDA provider cannot compute an operator in a type, or not well; undefined if it can.
 * @param kernel an operator; for DequantizeLinear as in the table, with the type of its integers
 * @param opset of the model, from 18
 */
export function cudaKernelProblem(kernel: string, dtype: DType, opset = OPSET): string | undefined {
  const listed = kernels.get(kernel);
  if (listed === undefined) return `${kernel} is not in the table of CUDA kernels`;
  const types = typeof listed === 'string' ? listed : listed[opset < 21 ? 18 : 21];
  if (!types.split(' ').includes(dtype)) return `CUDA has no kernel for ${kernel} of ${dtype}`;
  return INEXACT.get(kernel)?.includes(dtype)
    ? `CUDA's kernel for ${kernel} of ${dtype} loses small results; compute it in float32`
    : undefined;
}

/**
 * Checks that every node that computes with floats, in subgraphs too, has a CUDA kernel in its type. Integers are not
 * checked: onnxruntime rightly computes shapes on the CPU.
 * @throws Error naming the first node that has none, its operator and its type
 */
export function checkCudaKernels(graph: Graph, opset = opsetOf(graph)): void {
  for (const node of graph.nodes) {
    const kernel = kernelOf(node);
    for (const dtype of new Set(decidingValues(node).map((value) => value.dtype))) {
      const problem = isFloating(dtype) ? cudaKernelProblem(kernel, dtype, opset) : undefined;
      if (problem !== undefined) throw new Error(`node ${node.name} cannot run on CUDA: ${problem}`);
    }
    for (const attribute of Object.values(node.attributes)) {
      if (attribute.kind === 'graph') checkCudaKernels(attribute.value, opset);
    }
  }
}

/** The table's name of a node's kernel. */
function kernelOf({ operator, inputs, attributes }: Node): string {
  const name: string = operator;
  if (name !== 'DequantizeLinear') return name;
  return `${attributes.block_size === undefined ? '' : 'blockwise '}${name} of ${inputs[0]!.dtype}`;
}

/** Position of the input whose type the table lists, if it is not the first. */
const DECIDING_INPUT: Readonly<Record<string, number>> = { DequantizeLinear: 1, OneHot: 2, Where: 1 };
/** Operators with tensors of several types that must all have kernels. */
const OF_ALL_TYPES: ReadonlySet<string> = new Set(['Cast', 'ConstantOfShape', 'If', 'Loop']);

function decidingValues({ operator, inputs, outputs }: Node): Value[] {
  const values = OF_ALL_TYPES.has(operator)
    ? [...inputs, ...outputs]
    : [inputs[DECIDING_INPUT[operator] ?? 0]];
  return values.filter((value) => value !== undefined);
}
