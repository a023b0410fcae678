/** @file The memory estimate: its parts against arithmetic by hand, the whole against a process that trains. */

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
  return { graph: root, body, state, dropout: { rates: [], sites: [] }, symbols: ['batch'], reported: [] };
}

/** The loop's own condition, a bool, is an initializer too. */
const CONDITION = 1;

describe('the memory estimate', () => {
  it('counts what is alive together, from a first use to a last', () => {
    const { stateBytes, frozenBytes, stepBytes, totalBytes } = estimateMemory(
      trainingGraph((w, x) => {
        const a = exp(x); // x' and a: 2 batches of 400 bytes a row; x' ends here
        const b = mul(a, a); // a and b
        const flat = reshape(b, [b.shape[0]!, 100]); // another name for b
        const c = add(flat, a); // a, b and c: the peak; a and b end here
        const d = neg(c); // c and d
        return mul(reduceSum(d, [0]), w); // d and 400 bytes; the updated state counts as state
      }),
      { batch: 8 },
    );
    expect(stateBytes).toBe(4 * 400);
    expect(frozenBytes).toBe(CONDITION);
    expect(stepBytes).toBe(2.5 * 3 * 8 * 400);
    expect(totalBytes).toBe(stateBytes + frozenBytes + stepBytes);
  });

  it('frees what nobody reads at once', () => {
    const { stepBytes } = estimateMemory(
      trainingGraph((w, x) => {
        exp(x); // x' and an unread value
        return mul(reduceSum(neg(x), [0]), w); // x' and neg(x)
      }),
      { batch: 8 },
    );
    expect(stepBytes).toBe(2.5 * 2 * 8 * 400);
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

  it('is near what a process comes to use', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'emoq-memory-'));
    const engine = new URL('../../dist/engine/', import.meta.url).href;
    const path = join(folder, 'train.mjs');
    await writeFile(
      path,
      `
      import { gelu, linear, mul, reduceMean, serializeModel } from '${engine}onnx/index.js';
      import { startSessionHost } from '${engine}runtime/index.js';
      import { float32, int64, tensor } from '${engine}tensor/index.js';
      import { buildTrainingGraph, estimateMemory, stackBatches } from '${engine}training/index.js';
      const [width, layers, batch] = [512, 4, 2048];
      const batchInputs = [{ name: 'x', dtype: 'float32', shape: ['batch', width] }];
      const training = buildTrainingGraph({
        name: 'measured',
        parameters: Array.from({ length: layers }, (_, i) => ({ key: 'w' + i, shape: [width, width] })),
        batch: batchInputs,
        optimizer: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, clipNorm: 1 },
        schedule: { warmupSteps: 0, totalSteps: 10 },
        step: ({ parameters, batch }) => {
          const y = [...parameters.values()].reduce((h, w) => gelu(linear(h, w)), batch.x);
          return { loss: reduceMean(mul(y, y)), reported: {} };
        },
      });
      const host = startSessionHost();
      const before = process.memoryUsage().rss;
      const model = serializeModel(training.graph);
      const session = await host.open(model, { device: { kind: 'cpu' }, threads: 1 }, training.state);
      const one = { tensors: { x: tensor('float32', [batch, width]) }, sizes: { batch } };
      for (let k = 0; k < 3; k++) {
        const feeds = { learning_rate: float32([], [0]), step: int64([], [k]), ...stackBatches(batchInputs, [one]) };
        await session.run(feeds);
      }
      const measured = process.resourceUsage().maxRSS * 1024 - before;
      console.log(JSON.stringify({ measured, estimated: estimateMemory(training, { batch }).totalBytes }));
      await host.close();
    `,
    );
    const { stdout } = await promisify(execFile)(process.execPath, [path], { timeout: 60_000 });
    await rm(folder, { recursive: true });
    const { measured, estimated } = JSON.parse(stdout) as { measured: number; estimated: number };
    console.log(
      `memory of a training step: ${(measured / 1e6).toFixed(0)} MB measured, ${(estimated / 1e6).toFixed(0)} MB estimated`,
    );
    expect(estimated / measured).toBeGreaterThan(0.7);
    expect(estimated / measured).toBeLessThan(2);
  });
});
