/** @file The table of CUDA kernels, and the check of a graph against it. */

import { describe, expect, it } from 'vitest';
import {
  add,
  addInput,
  addOutput,
  cast,
  checkCudaKernels,
  createGraph,
  cudaKernelProblem,
  equal,
  type Graph,
  log,
  loop,
  reduceMean,
  scalar,
  shapeOf,
  sizeOf,
  slice,
  type Value,
  where,
  withScope,
} from '../../src/engine/onnx/index.js';
import type { DType } from '../../src/engine/tensor/index.js';

const graphOf = (dtype: DType, build: (x: Value, graph: Graph) => Value): Graph => {
  const graph = createGraph('test');
  addOutput(graph, build(addInput(graph, 'x', dtype, ['rows', 8]), graph), 'y');
  return graph;
};

describe('the table of CUDA kernels', () => {
  it('knows what CUDA computes in bfloat16', () => {
    for (const operator of [
      'Add',
      'Gemm',
      'MatMul',
      'ReduceMean',
      'Softmax',
      'SimplifiedLayerNormalization',
      'Tanh',
    ])
      expect(cudaKernelProblem(operator, 'bfloat16'), operator).toBeUndefined();
    for (const operator of [
      'Clip',
      'Cos',
      'Equal',
      'GreaterOrEqual',
      'Less',
      'Log',
      'Pad',
      'ReduceMax',
      'Sin',
    ])
      expect(cudaKernelProblem(operator, 'bfloat16')).toBe(`CUDA has no kernel for ${operator} of bfloat16`);
  });

  it('knows kernels that lose small results', () => {
    for (const [operator, dtype] of [
      ['Sigmoid', 'bfloat16'],
      ['QuickGelu', 'bfloat16'],
      ['QuickGelu', 'float16'],
    ] as const) {
      expect(cudaKernelProblem(operator, dtype)).toBe(
        `CUDA's kernel for ${operator} of ${dtype} loses small results; compute it in float32`,
      );
      expect(cudaKernelProblem(operator, 'float32')).toBeUndefined();
    }
  });

  it('tells opsets apart', () => {
    const kernel = 'DequantizeLinear of int8';
    expect(cudaKernelProblem(kernel, 'float16', 18)).toBe(`CUDA has no kernel for ${kernel} of float16`);
    expect(cudaKernelProblem(kernel, 'float16', 20)).toBeDefined();
    expect(cudaKernelProblem(kernel, 'float16', 21)).toBeUndefined();
    expect(cudaKernelProblem(kernel, 'float16', 23)).toBeUndefined();
  });

  it('says of an operator that it does not list that it cannot tell', () => {
    expect(cudaKernelProblem('Det', 'float32')).toBe('Det is not in the table of CUDA kernels');
  });
});

describe('the check of a graph', () => {
  it('names the node, its operator and its type', () => {
    const graph = graphOf('bfloat16', (x, own) => withScope(own, 'loss', () => log(x)));
    expect(() => checkCudaKernels(graph)).toThrow(
      'node /loss/Log cannot run on CUDA: CUDA has no kernel for Log of bfloat16',
    );
  });

  it('passes the same graph where the node is computed in float32', () => {
    const build = (x: Value): Value => cast(log(cast(x, 'float32')), 'bfloat16');
    expect(() => checkCudaKernels(graphOf('bfloat16', build))).not.toThrow();
    expect(() => checkCudaKernels(graphOf('bfloat16', (x) => reduceMean(x, [-1])))).not.toThrow();
  });

  it('looks into the body of a loop', () => {
    const graph = graphOf('bfloat16', (x, own) => {
      const { states } = loop(scalar(own, 3, 'int64'), 3, [x], (_body, _iteration, [state]) => ({
        states: [log(state!)],
        collected: [],
      }));
      return states[0]!;
    });
    expect(() => checkCudaKernels(graph)).toThrow('CUDA has no kernel for Log of bfloat16');
  });

  it('leaves integers alone, and judges a Where by what it chooses from', () => {
    const shapes = (x: Value): Value => add(slice(shapeOf(x), 0, 0, 1), sizeOf(x, 0));
    expect(() => checkCudaKernels(graphOf('bfloat16', shapes))).not.toThrow();
    const chosen = (x: Value): Value => where(equal(cast(x, 'float32'), 0), x, x);
    expect(() => checkCudaKernels(graphOf('bfloat16', chosen))).not.toThrow();
    expect(() => checkCudaKernels(graphOf('bfloat16', (x) => where(equal(x, 0), x, x)))).toThrow(
      'CUDA has no kernel for Equal of bfloat16',
    );
  });
});
