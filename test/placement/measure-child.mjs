/** @file Opens a model file on the stub and runs it with zeros: K steps twice and one step, or three runs. */

import { readFileSync } from 'node:fs';
import {
  beginSection,
  capture,
  emoqModule,
  nativeSession,
  runSession,
  taskOfThisProcess,
  useStub,
} from './session-child.mjs';
import { zeroFeeds } from './zero-feeds.mjs';

const task = taskOfThisProcess();
const Tensor = useStub(task.folder, { placement: task.placement });
const { openSession } = await emoqModule(task.checkout, 'training/inference.js');
const { createSession } = await emoqModule(task.checkout, 'engine/runtime/index.js');

const model = new Uint8Array(readFileSync(task.model));
const compute = { device: { kind: 'cuda', index: 0 }, cacheDir: '' };
const { options } = await openSession(
  capture,
  { model, weightsFolder: task.weights },
  compute,
  task.isTraining ? { state: [] } : undefined,
);
beginSection('session');
await createSession(model, { ...options, threads: 2 });

const runs = { first: task.steps, run: task.steps, one: 1 };
for (const [section, steps] of Object.entries(runs)) {
  const sizes = { ...task.sizes, K: steps, micro_batches_in_all: steps };
  await runSession(section, zeroFeeds(Tensor, nativeSession().inputMetadata, sizes));
}
beginSection('end');
process.exit(0);
