/** @file How much arithmetic a training step is, counted from its shapes. */

import { type DimBindings, evaluateDim, type Graph, intAttribute, type Node } from '../onnx/index.js';
import { stackedBindings, type TrainingGraph } from './training-graph.js';

/**
 * Floating-point operations of the matrix products in one step (a multiply-add counts two), forward and backward.
 * @param bindings sizes of a batch, or of each of the micro-batches that a step is made of
 */
export function matrixFlops(
  { gradientBody }: TrainingGraph,
  bindings: DimBindings,
  microBatches = 1,
): number {
  return microBatches * flopsOf(gradientBody, stackedBindings(bindings));
}

function flopsOf(graph: Graph, bindings: DimBindings): number {
  return graph.nodes.reduce((total, node) => {
    if (node.operator !== 'Gemm' && node.operator !== 'MatMul') return total;
    const outputs = node.outputs[0]!.shape.reduce<number>(
      (product, dim) => product * evaluateDim(dim, bindings),
      1,
    );
    return total + 2 * outputs * evaluateDim(innerSize(node), bindings);
  }, 0);
}

/** The axis that a product sums over. */
function innerSize(node: Node) {
  const { shape } = node.inputs[0]!;
  return node.operator === 'Gemm' && intAttribute(node, 'transA') === 1 ? shape[0]! : shape.at(-1)!;
}

/** How many nodes one step has, those of its micro-batches' graph once. */
export function stepNodes({ body, gradientBody }: TrainingGraph): number {
  return [...new Set([body, gradientBody])].reduce((total, { nodes }) => total + nodes.length, 0);
}
