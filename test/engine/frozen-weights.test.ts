/** @file Frozen weights stay in their file: private memory of a session over many of them. */

import { execFile } from 'node:child_process';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, inject, it } from 'vitest';

const LAYERS = 16;
const WIDTH = 2048;
/** 16 x 2048 x 2048 x 4 = 268,435,456 */
const WEIGHT_BYTES = LAYERS * WIDTH * WIDTH * 4;

/**
 * Growth of anonymous memory (not backed by a file), in bytes, from before a session over the weights until it has
 * trained, and until it has evaluated.
 */
async function growth(
  dtype: 'float32' | 'float16',
): Promise<{ training: number; both: number; mapped: number }> {
  const folder = await mkdtemp(join(inject('diskFolder'), 'emoq-frozen-'));
  const weights = await open(join(folder, 'weights.bin'), 'w');
  await weights.truncate(WEIGHT_BYTES);
  await weights.close();
  const engine = new URL('../../dist/engine/', import.meta.url).href;
  const path = join(folder, 'run.mjs');
  await writeFile(
    path,
    `
    import { readFileSync } from 'node:fs';
    import { cast, addInitializer, linear, mul, reduceMean, serializeInPlace, add } from '${engine}onnx/index.js';
    import { startSessionWorker } from '${engine}runtime/index.js';
    import { float32, int64, tensor } from '${engine}tensor/index.js';
    import { buildTrainingGraph, evaluationFeeds, evaluationName, noEvaluationFeeds, stackBatches } from '${engine}training/index.js';
    const [layers, width] = [${LAYERS}, ${WIDTH}];
    const frozen = (graph) =>
      Array.from({ length: layers }, (_, i) => {
        const byteLength = width * width * ${dtype === 'float32' ? 4 : 2};
        const place = { path: '${join(folder, 'weights.bin')}', offset: i * byteLength, byteLength };
        return cast(addInitializer(graph, 'frozen.' + i, place, '${dtype}', [width, width]), 'float32');
      });
    let shared;
    const weightsOf = (root) => (shared ??= frozen(root));
    const through = (x, weights) => weights.reduce((h, weight) => add(h, linear(h, weight)), x);
    const resident = (kind) => 1024 * Number(new RegExp(kind + ':\\\\s+(\\\\d+)').exec(readFileSync('/proc/self/status', 'utf8'))[1]);
    const batchInputs = [{ name: 'x', dtype: 'float32', shape: ['batch', width] }];
    const training = buildTrainingGraph({
      name: 'frozen',
      parameters: [{ key: 'scale', shape: [width] }],
      batch: batchInputs,
      optimizer: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, clipNorm: 1 },
      schedule: { warmupSteps: 0, totalSteps: 10 },
      step: ({ root, parameters, batch }) => {
        const y = through(mul(batch.x, parameters.get('scale')), weightsOf(root));
        return { loss: reduceMean(mul(y, y)), reported: {} };
      },
      evaluation: {
        batch: batchInputs,
        forward: ({ root, parameters, batch }) => ({ y: through(mul(batch.x, parameters.get('scale')), weightsOf(root)) }),
      },
    });
    const worker = startSessionWorker();
    const sparing = { device: { kind: 'cpu' }, threads: 1, disablePrepacking: true, withoutArena: true };
    const opened = (graph, state) => {
      const { model, weightsFolder } = serializeInPlace(graph);
      return worker.open(model, { ...sparing, weightsFolder }, state);
    };
    const before = resident('RssAnon');
    const session = await opened(training.graph, training.state);
    const one = { tensors: { x: tensor('float32', [2, width]) }, sizes: { batch: 2 } };
    const settings = { learning_rate: float32([], [1e-3]), step: int64([], [0]) };
    const feeds = { ...settings, ...stackBatches(batchInputs, [one]), ...noEvaluationFeeds(training) };
    await session.run(feeds, training.reported);
    const own = resident('RssAnon') - before;
    await session.evaluate(evaluationFeeds(training, batchInputs, [one, one]), [evaluationName('y')]);
    console.log(JSON.stringify({ training: own, both: resident('RssAnon') - before, mapped: resident('RssFile') }));
    await worker.close();
  `,
  );
  const { stdout } = await promisify(execFile)(process.execPath, [path]);
  await rm(folder, { recursive: true });
  return JSON.parse(stdout) as { training: number; both: number; mapped: number };
}

describe.skipIf(process.platform !== 'linux')('frozen float32 weights in a file', () => {
  it('are mapped and never copied, neither for training nor for the validation in the same graph', async () => {
    const { training, both, mapped } = await growth('float32');
    const mb = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;
    console.log(
      `${mb(WEIGHT_BYTES)} of frozen weights: ${mb(training)} of own memory for training, ${mb(both)} with validation`,
    );
    expect(mapped).toBeGreaterThan(WEIGHT_BYTES); // all of them were read
    expect(training).toBeLessThan(0.25 * WEIGHT_BYTES);
    expect(both).toBeLessThan(0.25 * WEIGHT_BYTES);
  });

  it('would show if they were copied: 16-bit ones, cast at load, are held once for both', async () => {
    const { training, both } = await growth('float16');
    expect(training).toBeGreaterThan(0.9 * WEIGHT_BYTES);
    expect(both).toBeLessThan(1.6 * WEIGHT_BYTES);
  });
});
