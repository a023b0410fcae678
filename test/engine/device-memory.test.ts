/** @file The memory estimate for a CUDA device, against calculations by hand. */

import { describe, expect, it } from 'vitest';
import {
  add,
  addInitializer,
  addInput,
  addOutput,
  cast,
  createGraph,
  exp,
  type Graph,
  gather,
  loop,
  matmul,
  mul,
  neg,
  reduceSum,
  reshape,
  softmax,
  transpose,
  type Value,
} from '../../src/engine/onnx/index.js';
import { graphAllocations } from '../../src/engine/training/allocation-trace.js';
import {
  CONTEXT_BYTES,
  inferenceMemory,
  type TrainingGraph,
  trainingEstimator,
} from '../../src/engine/training/index.js';

const ROW = 4096;
const SIZES = { rows: 16 };
/** Bytes of [rows, 1024] in float32. */
const ONE = 16 * ROW;

/** The trace of a graph from `x` [rows, 1024], in units of x, releases as [position]. */
function traceOf(build: (x: Value, graph: Graph) => Value): (number | [number])[] {
  const graph = createGraph('by_hand');
  const x = addInput(graph, 'x', 'float32', ['rows', 1024]);
  addOutput(graph, build(x, graph), 'y');
  const { run } = graphAllocations(graph);
  return run(SIZES, () => 0).entries.map((entry) => (entry < 0 ? [-1 - entry] : entry / ONE));
}

describe('the allocations of a graph', () => {
  it('are its inputs and values, each freed after its last reader', () => {
    // x is the feed, 0; the products are 1 to 3.
    const trace = traceOf((x, graph) => {
      const weight = addInput(graph, 'w', 'float32', [1024, 1024]);
      return matmul(matmul(matmul(x, weight), weight), weight);
    });
    expect(trace).toEqual([1, 64, 1, 1, [2], 1, [3], [4], [0], [1]]);
  });

  it('are written over an input that nothing else reads, where the operator can, but for results', () => {
    const trace = traceOf((x, graph) => {
      const weight = addInput(graph, 'w', 'float32', [1024, 1024]);
      const product = matmul(x, transpose(weight, [1, 0])); // 2, and that of its exponential
      return neg(exp(product)); // 3
    });
    expect(trace).toEqual([1, 64, 1, 1, [2], [3], [0], [1]]);
    const kept = traceOf((x) => {
      const e = exp(x); // x is the caller's
      return mul(neg(e), e); // e is read again, so that its negative is elsewhere
    });
    expect(kept).toEqual([1, 1, 1, 1, [1], [2], [3], [0]]);
  });

  it('are held for a later value of the same shape', () => {
    const trace = traceOf((x, graph) => {
      const wide = addInput(graph, 'w', 'float32', [1024, 2048]);
      const narrow = addInput(graph, 'v', 'float32', [2048, 1024]);
      const first = matmul(x, wide); // 3
      const second = matmul(first, narrow); // 4
      const third = matmul(second, wide); // 3 again, which was not free in between
      return matmul(third, narrow);
    });
    expect(trace).toEqual([1, 128, 128, 2, 1, [4], 1, [3], [5], [0], [1], [2]]);
  });

  it('are made once for nodes that repeat', () => {
    const trace = traceOf((x) => {
      const [one, two] = [exp(x), exp(x)]; // 1
      return add(neg(one), mul(two, two)); // 2, 1 again and 3
    });
    expect(trace.filter((entry) => typeof entry === 'number')).toHaveLength(4);
  });

  it('have space for the copies of a softmax over another axis than the last, of no stream', () => {
    const graph = createGraph('by_hand');
    const x = addInput(graph, 'x', 'float32', ['rows', 1024]);
    addOutput(graph, softmax(x, 0), 'y');
    const { entries, detached } = graphAllocations(graph).run(SIZES, () => 0);
    expect(entries).toEqual([ONE, ONE, ONE, ONE, -3, -4, -2, -1]);
    expect([...detached]).toEqual([2, 3]);
  });

  it('are none for views, for factors read transposed, and for what depends on constants alone', () => {
    const place = { path: '/weights.safetensors', offset: 0, byteLength: 2 * 1024 * 1024 };
    const graph = createGraph('by_hand');
    const x = addInput(graph, 'x', 'float32', ['rows', 1024]);
    const stored = addInitializer(graph, 'w', place, 'bfloat16', [1024, 1024]);
    addOutput(graph, matmul(reshape(x, ['rows', 1024]), cast(stored, 'float32')), 'y');
    const { weights, run } = graphAllocations(graph);
    expect(weights).toEqual([4 * 1024 * 1024]); // the stored one is not kept
    expect(run(SIZES, () => 0).entries).toEqual([ONE, ONE, -2, -1]);
  });
});

/** A training graph around the given step: state w [1024, 1024], batch input x [K, rows_padded, 1024]. */
function trainingGraph(step: (w: Value, x: Value, root: Graph) => Value): TrainingGraph {
  const root = createGraph('by_hand');
  const trips = addInput(root, 'trips', 'int64', []);
  const x = addInput(root, 'x', 'float32', ['K', 'rows_padded', 1024]);
  const w = addInput(root, 'w', 'float32', [1024, 1024]);
  let body = root;
  const { states } = loop(trips, 'K', [w], (inner, iteration, [carried]) => {
    body = inner;
    return { states: [step(carried!, gather(x, iteration, 0), root)], collected: [] };
  });
  addOutput(root, states[0]!, 'updated/w');
  return {
    ...{
      graph: root,
      body,
      gradientBody: body,
      accumulates: false,
      averages: false,
      memory: [],
      reported: [],
      evaluation: undefined,
    },
    dropout: { rates: [], sites: [] },
    state: [{ input: 'w', output: 'updated/w', dtype: 'float32', shape: [1024, 1024] }],
  };
}

const STATE = 4 * 1024 * 1024;

describe('the memory of training on a device', () => {
  const training = trainingGraph((w, x) => add(w, reduceSum(x, [0, 1])));

  it('has the state as fed, as the last step read it, as it updated it, and as it is given back', () => {
    const several = trainingEstimator(training)({ rows: 16 }, { stepsPerRun: 5 });
    expect(several.stateBytes).toBe(4 * STATE);
    expect(several.workingBytes).toBeGreaterThanOrEqual(5 * ONE);
    expect(several.workingBytes).toBeLessThan(5 * ONE + STATE); // gaps
    expect(several.contextBytes).toBe(CONTEXT_BYTES);
    const { weightBytes, stateBytes, workingBytes, totalBytes, takenBytes } = several;
    expect(totalBytes).toBe(weightBytes + stateBytes + workingBytes + CONTEXT_BYTES);
    expect(takenBytes).toBeGreaterThanOrEqual(totalBytes);
  });

  it('has one copy of the state less in a run of one step', () => {
    const estimate = trainingEstimator(training);
    const [one, two] = [1, 2].map((stepsPerRun) => estimate({ rows: 16 }, { stepsPerRun })) as [
      ReturnType<typeof estimate>,
      ReturnType<typeof estimate>,
    ];
    expect(one.stateBytes).toBe(3 * STATE);
    expect(two.totalBytes - one.totalBytes).toBeGreaterThan(0.9 * STATE);
    expect(two.totalBytes - one.totalBytes).toBeLessThan(1.1 * STATE + ONE);
  });

  it('does not grow with the steps of a run but by their batches', () => {
    const estimate = trainingEstimator(training);
    const of = (stepsPerRun: number) => estimate({ rows: 512 }, { stepsPerRun }).totalBytes;
    const batches = 100 * 512 * ROW;
    expect(of(150) - of(50)).toBeGreaterThan(0.9 * batches);
    expect(of(150) - of(50)).toBeLessThan(1.1 * batches);
  });
});

describe('the memory of inference on a device', () => {
  it('has weights in the type they are computed with, and what is alive at once', () => {
    const place = { path: '/weights.safetensors', offset: 0, byteLength: 2 * 4096 * 4096 };
    const [wide, narrow] = (['float32', 'bfloat16'] as const).map((dtype) => {
      const graph = createGraph('by_hand');
      const x = addInput(graph, 'x', dtype, ['rows', 4096]);
      const stored = addInitializer(graph, 'w', place, 'bfloat16', [4096, 4096]);
      addOutput(graph, matmul(x, cast(stored, dtype)), 'y');
      return inferenceMemory(graph, { rows: 16 });
    });
    expect([wide!.weightBytes, narrow!.weightBytes]).toEqual([4 * 4096 * 4096, 2 * 4096 * 4096]);
    expect(narrow!.workingBytes).toBeGreaterThanOrEqual(2 * 2 * 16 * 4096);
    expect(narrow!.stateBytes).toBe(0);
  });
});
