/**
 * @file Uses emoq's modules from a program: opens a trained run, predicts the emotions of its test set, and feeds a
 * graph float16 words. Prints one line of JSON.
 *
 *     node library.mjs INSTALLATION RUN
 */

import assert from 'node:assert/strict';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [installation, run] = process.argv.slice(2);
const load = (module) => import(pathToFileURL(join(resolve(installation), 'dist', module, 'index.js')).href);
const { addInput, addOutput, cast, createGraph, serializeModel } = await load('engine/onnx');
const { startSessionWorker } = await load('engine/runtime');
const { findRun, predictTestSet } = await load('inference');

// float16 values 1, 2 and -3: where Node has Float16Array, some versions of onnxruntime-node read none of them.
const graph = createGraph('widen');
addOutput(graph, cast(addInput(graph, 'x', 'float16', ['N']), 'float32'), 'y');
addOutput(graph, cast(addInput(graph, 'z', 'float32', ['N']), 'float16'), 'words');
const worker = startSessionWorker();
const session = await worker.open(serializeModel(graph), { device: { kind: 'cpu' }, threads: 1 });
const words = Uint16Array.of(0x3c00, 0x4000, 0xc200);
const { y, words: back } = await session.run({
  x: { dtype: 'float16', shape: [3], data: words },
  z: { dtype: 'float32', shape: [3], data: Float32Array.of(1, 2, -3) },
});
await worker.close();
assert.deepEqual([...y.data], [1, 2, -3]);
assert.ok(back.data instanceof Uint16Array);
assert.deepEqual([...back.data], [0x3c00, 0x4000, 0xc200]);

const compute = { device: { kind: 'cpu' }, threads: 1, cacheDir: '.cache/features' };
const { predictions, labels } = await predictTestSet(await findRun(run), compute);
console.log(JSON.stringify({ labels, predictions: predictions.map(({ id, label }) => [id, label]) }));
