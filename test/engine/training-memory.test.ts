/** @file The memory estimate: its parts against calculations by hand, the total against a process that trains. */

import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import {
  add,
  addInitializer,
  addInput,
  cast,
  createGraph,
  exp,
  type Graph,
  gather,
  loop,
  mul,
  neg,
  reduceSum,
  reshape,
  type Value,
} from '../../src/engine/onnx/index.js';
import { estimateMemory, type TrainingGraph } from '../../src/engine/training/index.js';

/** A training graph around the given step: state w [100], batch input x [K, batch_padded, 100]. */
function trainingGraph(step: (w: Value, x: Value, root: Graph) => Value): TrainingGraph {
  const root = createGraph('by_hand');
  const trips = addInput(root, 'trips', 'int64', []);
  const x = addInput(root, 'x', 'float32', ['K', 'batch_padded', 100]);
  const w = addInput(root, 'w', 'float32', [100]);
  let body = root;
  const { states } = loop(trips, 'K', [w], (inner, iteration, [carried]) => {
    body = inner;
    return { states: [step(carried!, gather(x, iteration, 0), root)], collected: [] };
  });
  const state = [{ input: 'w', output: states[0]!.name, dtype: 'float32', shape: [100] } as const];
  const dropout = { rates: [], sites: [] };
  return {
    graph: root,
    body,
    gradientBody: body,
    state,
    dropout,
    accumulates: false,
    averages: false,
    memory: [],
    reported: [],
    evaluation: undefined,
  };
}

/** The loop's own condition, a bool, is an initializer too. */
const CONDITION = 1;
/** Trip count and the batches of two steps, in four copies. */
const FEEDS = 4 * (8 + 2 * 8 * 400);
/** Freed memory that later blocks do not fit into. */
const HEAP_FACTOR = 1.12;

describe('the memory estimate', () => {
  it('counts what is alive together, from a first use to a last', () => {
    const { processBytes, stateBytes, frozenBytes, stepBytes, totalBytes } = estimateMemory(
      trainingGraph((w, x) => {
        const a = exp(x); // x' and a: 2 batches of 400 bytes a row; x' ends here
        const b = mul(a, a); // a and b
        const flat = reshape(b, [b.shape[0]!, 100]); // a view of b
        const c = add(flat, a); // a, b and c: the peak; a and b end here
        const d = neg(c); // c and d
        return mul(reduceSum(d, [0]), w); // d and 400 bytes; the updated state counts as state
      }),
      { batch: 8 },
    );
    expect(stateBytes).toBeCloseTo(HEAP_FACTOR * 2 * 400, 6); // fed and carried
    expect(frozenBytes).toBe(CONDITION);
    expect(stepBytes).toBeCloseTo(HEAP_FACTOR * 3 * 8 * 400 + FEEDS, 6);
    expect(totalBytes).toBe(processBytes + stateBytes + frozenBytes + stepBytes);
  });

  it('frees unused values at once', () => {
    const { stepBytes } = estimateMemory(
      trainingGraph((w, x) => {
        exp(x); // x' and an unread value
        return mul(reduceSum(neg(x), [0]), w); // x' and neg(x)
      }),
      { batch: 8 },
    );
    expect(stepBytes).toBeCloseTo(HEAP_FACTOR * 2 * 8 * 400 + FEEDS, 6);
  });

  it('counts frozen weights as they are computed with', () => {
    const place = { path: '/weights.safetensors', offset: 0, byteLength: 200 };
    const { frozenBytes } = estimateMemory(
      trainingGraph((w, _, root) => {
        const stored = addInitializer(root, 'stored', place, 'bfloat16', [100]);
        const plain = addInitializer(root, 'plain', { ...place, byteLength: 400 }, 'float32', [100]);
        return mul(mul(w, cast(stored, 'float32')), plain);
      }),
      { batch: 8 },
    );
    expect(frozenBytes).toBe(400 + 400 + CONDITION);
  });

  it('counts what tokenizers hold', () => {
    const training = trainingGraph((w) => mul(w, w));
    const [none, some] = [0, 1000].map((vocabulary) =>
      estimateMemory(training, { batch: 8 }, { vocabulary }),
    );
    expect(some!.processBytes - none!.processBytes).toBe(1000 * 1400);
  });

  it('counts the batches of all the steps that a run of the graph is fed', () => {
    const graph = trainingGraph((w, x) => mul(reduceSum(x, [0]), w));
    const [two, ten] = [2, 10].map((stepsPerRun) => estimateMemory(graph, { batch: 8 }, { stepsPerRun }));
    expect(ten!.stepBytes - two!.stepBytes).toBeCloseTo(4 * 8 * 8 * 400, 6);
  });

  it('counts the state once for a single step, and thrice where more is left than activations', () => {
    const graph = trainingGraph((w) => mul(w, w));
    const [one, several] = [1, 8].map((stepsPerRun) => estimateMemory(graph, { batch: 1 }, { stepsPerRun }));
    expect(several!.stateBytes).toBe(2 * one!.stateBytes);
    // The loop's own copy, and the one on its way to JavaScript or from the last step.
    expect(several!.stepBytes).toBeGreaterThanOrEqual(2 * one!.stateBytes);
  });
});

/** Layers of a deep narrow model (two products around a GELU, with a residual), and how it is trained. */
interface Deep {
  readonly width: number;
  readonly layers: number;
  readonly batch: number;
  readonly recompute?: boolean;
  /** Micro-batches per step; absent for the whole batch. */
  readonly microBatches?: number;
}

/** Peak memory of a separate process that trains, and the estimate for it, in bytes; and the losses of its steps. */
async function measure(deep: Deep) {
  const folder = await mkdtemp(join(tmpdir(), 'emoq-memory-'));
  const engine = new URL('../../dist/engine/', import.meta.url).href;
  const path = join(folder, 'train.mjs');
  await writeFile(
    path,
    `
    import { peakMemoryBytes } from '${new URL('../../dist/base/', import.meta.url).href}index.js';
    import { add, asBlock, gelu, linear, mul, reduceMean, serializeModel } from '${engine}onnx/index.js';
    import { startSessionWorker } from '${engine}runtime/index.js';
    import { float32, int64, tensor } from '${engine}tensor/index.js';
    import { buildTrainingGraph, estimateMemory, stackBatches, stackMicroBatches } from '${engine}training/index.js';
    const { width, layers, batch, recompute = false, microBatches } = ${JSON.stringify(deep)};
    const batchInputs = [{ name: 'x', dtype: 'float32', shape: ['batch', width] }];
    const names = Array.from({ length: layers }, (_, i) => ['a' + i, 'b' + i]);
    const parameters = names.flat().map((key) => ({ key, shape: [width, width] }));
    const training = buildTrainingGraph({
      name: 'measured',
      parameters,
      batch: batchInputs,
      optimizer: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, clipNorm: 1 },
      schedule: { warmupSteps: 0, totalSteps: 10 },
      step: ({ body, parameters, batch }) => {
        const y = names.reduce(
          (h, [a, b]) =>
            asBlock(body, [h], () => add(h, linear(gelu(linear(h, parameters.get(a))), parameters.get(b)))),
          batch.x,
        );
        return { loss: reduceMean(mul(y, y)), reported: {} };
      },
      recompute,
      accumulate: microBatches !== undefined,
    });
    const worker = startSessionWorker();
    const options = { device: { kind: 'cpu' }, threads: 1, withoutArena: true };
    const session = await worker.open(serializeModel(training.graph), options, training.state);
    const base = process.memoryUsage.rss(); // less than emoq itself, with its commands and recipes
    const wave = (size, scale) => Float32Array.from({ length: size }, (_, i) => scale * Math.sin(i * i));
    for (const { key } of parameters)
      await session.setState({ [key]: tensor('float32', [width, width], wave(width * width, 0.05)) });
    const rows = batch / (microBatches ?? 1);
    const x = wave(batch * width, 1);
    const micro = Array.from({ length: microBatches ?? 1 }, (_, part) => {
      const values = x.subarray(part * rows * width, (part + 1) * rows * width);
      return { batch: { tensors: { x: tensor('float32', [rows, width], values) }, sizes: { batch: rows } }, weight: rows / batch };
    });
    const stacked = () =>
      microBatches === undefined
        ? stackBatches(batchInputs, [micro[0].batch, micro[0].batch])
        : stackMicroBatches(batchInputs, [micro, micro]);
    const losses = [];
    let next = stacked();
    for (let k = 0; k < 4; k += 2) {
      const running = session.run({ learning_rate: float32([], [1e-3]), step: int64([], [k]), ...next });
      next = stacked(); // prepared while the previous step computes, as in the trainer
      losses.push(...(await running).loss.data);
    }
    const measured = peakMemoryBytes();
    const { totalBytes, processBytes } = estimateMemory(training, { batch: rows }, { stepsPerRun: 2, microBatches });
    const estimated = base + totalBytes - processBytes;
    console.log(JSON.stringify({ measured, estimated, losses }));
    await worker.close();
  `,
  );
  const { stdout } = await promisify(execFile)(process.execPath, [path]);
  await rm(folder, { recursive: true });
  return JSON.parse(stdout) as { measured: number; estimated: number; losses: number[] };
}

describe('a process that trains a deep narrow model', () => {
  it('comes to use what was estimated, and less than half of it with activation checkpointing or in micro-batches', async () => {
    const deep = { width: 64, layers: 24, batch: 24_576 };
    const kept = await measure(deep);
    const sparing = {
      'activations recomputed': await measure({ ...deep, recompute: true }),
      'four micro-batches': await measure({ ...deep, microBatches: 4 }),
      'four micro-batches, activations recomputed': await measure({
        ...deep,
        microBatches: 4,
        recompute: true,
      }),
    };
    const mb = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;
    for (const [name, { measured, estimated }] of Object.entries({ 'activations kept': kept, ...sparing })) {
      console.log(`${name}: peak ${mb(measured)} measured, ${mb(estimated)} estimated`);
      // Figures depend on the machine; the printed ratio shows how close the estimate is.
      expect(estimated / measured, name).toBeGreaterThan(0.8);
      expect(estimated / measured, name).toBeLessThan(1.25);
    }
    expect(kept.losses[3]).toBeLessThan(kept.losses[0]!);
    for (const [name, { measured, losses }] of Object.entries(sparing)) {
      expect(kept.measured / measured, name).toBeGreaterThan(2);
      // A mean over 1.6 million values rounds by up to 4e-5, and by less in four parts.
      const tolerance = name.startsWith('four') ? 1e-4 : 1e-6;
      losses.forEach((loss, step) => {
        const error = Math.abs(loss / kept.losses[step]! - 1);
        expect(error, `${name}: loss of step ${step}`).toBeLessThan(tolerance);
      });
    }
  });
});
