/** @file Opens a model file on the stub and runs it with zeros: K steps twice and one step, or three runs. */

import { readFileSync } from 'node:fs';
import {
  beginSection,
  emoqModule,
  nativeSession,
  taskOfThisProcess,
  useStub,
  workerHere,
} from './session-child.mjs';
import { zeroFeeds } from './zero-feeds.mjs';

const task = taskOfThisProcess();
const Tensor = useStub(task.folder, { placement: task.placement });
const { openTrainingSession } = await emoqModule(task.checkout, 'training/inference.js');
const worker = await workerHere(task.checkout);

const model = new Uint8Array(readFileSync(task.model));
const compute = { device: { kind: 'cuda', index: 0 }, threads: 2 };
if (task.isTraining)
  await openTrainingSession(worker, { model, weightsFolder: task.weights }, compute, { state: [] });
else await worker.open(model, { ...compute, weightsFolder: task.weights });

const runs = { first: task.steps, run: task.steps, one: 1 };
for (const [section, steps] of Object.entries(runs)) {
  const sizes = { ...task.sizes, K: steps, micro_batches_in_all: steps };
  beginSection(section);
  await nativeSession().run(zeroFeeds(Tensor, nativeSession().inputMetadata, sizes));
}
beginSection('end');
process.exit(0);
