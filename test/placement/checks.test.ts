/** @file The checks of the placement test, on models made to break them: they need no stub. */

import { describe, expect, it } from 'vitest';
import {
  add,
  addInitializer,
  addInput,
  addOutput,
  cast,
  createGraph,
  type Graph,
  loop,
  matmul,
  scalar,
  serializeModel,
  transpose,
  type Value,
} from '../../src/engine/onnx/index.js';
import { tensor } from '../../src/engine/tensor/index.js';

const script = (name: string) => import(new URL(`./${name}`, import.meta.url).href);
const { compareBudget, describeViolations, violationsOf, wideWeights } = await script('checks.mjs');
const { figuresOf, perStep } = await script('figures.mjs');
const { parseModel } = await script('onnx-graph.mjs');
const { zeroFeeds } = await script('zero-feeds.mjs');

const parsed = (build: (graph: Graph, x: Value) => Value) => {
  const graph = createGraph('test');
  addOutput(graph, build(graph, addInput(graph, 'x', 'float32', ['rows', 4])), 'y');
  return parseModel(serializeModel(graph));
};

const stored = (graph: Graph, ...shape: number[]): Value =>
  addInitializer(graph, 'weight', tensor('bfloat16', shape));
const castInGraph = parsed((graph, x) => matmul(x, transpose(cast(stored(graph, 4, 4), 'float32'), [1, 0])));

describe('a frozen 16-bit weight in float32', () => {
  it('is found where it is cast in every run', () => {
    expect(wideWeights(castInGraph, castInGraph)).toEqual(['weight, cast by /Cast in every run']);
  });

  it('is found where it was folded while loading, under the name of what it was folded into', () => {
    const folded = parsed((graph, x) =>
      matmul(x, addInitializer(graph, '/Transpose/output', tensor('float32', [4, 4]))),
    );
    expect(wideWeights(castInGraph, folded)).toEqual([
      'weight as /Transpose/output [4, 4], made while loading',
    ]);
  });

  it('is none where the weight stays as it is, or is a vector', () => {
    const kept = parsed((graph, x) => cast(matmul(cast(x, 'bfloat16'), stored(graph, 4, 4)), 'float32'));
    expect(wideWeights(kept, kept)).toEqual([]);
    const vector = parsed((graph, x) => add(x, cast(stored(graph, 4), 'float32')));
    expect(wideWeights(vector, vector)).toEqual([]);
  });
});

describe('the placement of nodes', () => {
  const model = parsed((graph, x) => {
    const { states } = loop(scalar(graph, 3, 'int64'), 3, [x], (_body, iteration, [state]) => ({
      states: [add(state!, cast(iteration, 'float32'))],
      collected: [],
    }));
    return add(states[0]!, 1);
  });
  const line = (text: string) =>
    `2026 [V:onnxruntime:, session_state.cc:1 VerifyEachNodeIsAssignedToAnEp] ${text}`;
  const log = (cast: 'CPU' | 'CUDA', last: 'CPU' | 'CUDA') =>
    Object.entries({ CPU: [], CUDA: ['Loop (/Loop)', 'Add (/Add)', 'Identity (/Identity)'] })
      .flatMap(([provider, nodes]) => [
        line(` Node(s) placed on [${provider}ExecutionProvider]. Number of nodes: 1`),
        ...[
          ...nodes,
          ...(provider === cast ? ['Cast (/Cast)'] : []),
          ...(provider === last ? ['Add (/Add_1)'] : []),
        ].map((node) => line(`  ${node}`)),
      ])
      .join('\n');

  it('is in order where all that computes with floats is on CUDA', () => {
    expect(violationsOf(model, model, log('CUDA', 'CUDA'))).toEqual({
      copiesInLoops: [],
      floatsOnCpuInLoops: [],
      floatsOnCpu: [],
      wideWeights: [],
    });
  });

  it('is not where a float node is on the CPU, inside a loop or outside', () => {
    const { floatsOnCpuInLoops, floatsOnCpu } = violationsOf(model, model, log('CPU', 'CPU'));
    expect(floatsOnCpuInLoops).toEqual(['Cast /Cast of int64, float32']);
    expect(floatsOnCpu).toEqual(['Add /Add_1 of float32']);
  });

  it('has to be told for every node', () => {
    expect(() => violationsOf(model, model, '')).toThrow('the log names no provider for Loop /Loop');
  });
});

describe('a message', () => {
  const none = { copiesInLoops: [], floatsOnCpuInLoops: [], floatsOnCpu: [], wideWeights: [] };

  it('has the number of violations of a rule, and the first of them', () => {
    expect(describeViolations({ ...none, copiesInLoops: ['a to b', 'c to d'] })).toEqual([
      '2 copies between host and device inside a loop:\n      a to b\n      c to d',
    ]);
    expect(describeViolations(none)).toEqual([]);
  });
});

describe('budgets and figures', () => {
  it('allow no more than is in the budget', () => {
    const budget = { launches: 10, copiesToHost: 1, loadedBytes: 100, memoryMib: 8 };
    const figures = { launches: 10, copiesToHost: 1, loadedBytes: 100 };
    expect(compareBudget(figures, budget)).toEqual([]);
    expect(compareBudget({ ...figures, launches: 9, copiesToHost: 2 }, budget)).toEqual([
      '2 copies to the host per step or run, where the budget is 1',
    ]);
    expect(compareBudget(figures, undefined)).toHaveLength(1);
  });

  it('of a step are what a longer run has more than a run of one step', () => {
    const section = (launches: number, bytes: number) =>
      figuresOf({
        usedBytes: 1,
        peakBytes: bytes,
        entries: [
          { kind: 'launch', label: 'kernel', count: launches, amount: 0 },
          { kind: 'product', label: '2x2x2', count: launches, amount: 16 * launches },
          { kind: 'copy', label: 'host to device', count: 1, amount: bytes },
        ],
      });
    const step = perStep(section(35, 700), section(15, 500), 3);
    expect(step).toMatchObject({
      launches: 10,
      products: 10,
      flop: 160,
      peakBytes: 700,
      byKernel: { kernel: 10 },
    });
    expect(step.copies.hostToDevice).toEqual({ count: 0, bytes: 100 });
  });
});

describe('feeds of zeros', () => {
  /** In place of onnxruntime's tensors. */
  class Fed {
    constructor(
      readonly type: string,
      readonly data: ArrayLike<unknown>,
      readonly dims: readonly number[],
    ) {}
  }
  const inputs = [
    { name: 'features', type: 'float16', shape: ['K', 'batch_padded', 'frames_padded', 4] },
    { name: 'frame_mask', type: 'int64', shape: ['K', 'batch_padded', 'frames_padded'] },
    { name: 'batch_sizes', type: 'int64', shape: [3, 'K'] },
    { name: 'evaluation/features', type: 'float16', shape: ['evaluated', 'evaluated_batch_padded', 4] },
  ];

  it('have the sizes that a training model asks for, masks of ones and no batches to evaluate', () => {
    const feeds = zeroFeeds(Fed, inputs, { K: 2, batch: 3, frames: 5 });
    expect(feeds.features.dims).toEqual([2, 3, 5, 4]);
    expect(new Set(feeds.frame_mask.data)).toEqual(new Set([1n]));
    expect([...feeds.batch_sizes.data]).toEqual([0n, 0n, 3n, 3n, 5n, 5n]);
    expect(feeds['evaluation/features'].dims).toEqual([0, 3, 4]);
  });

  it('need a size for every axis', () => {
    expect(() => zeroFeeds(Fed, inputs, { K: 2, batch: 3 })).toThrow('--size frames_padded=N');
  });
});
