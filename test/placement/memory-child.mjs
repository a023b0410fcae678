/** @file Opens a training graph on the stub, trains two steps twice and evaluates a batch: with zeros. */

import { join } from 'node:path';
import { buildMemoryCase, STEPS_PER_RUN } from './memory-cases.mjs';
import { beginSection, emoqModule, taskOfThisProcess, useStub } from './session-child.mjs';

const { spec, models, checkout, folder } = taskOfThisProcess();
useStub(folder, { placement: false });
const emoq = (path) => emoqModule(checkout, path);
const { createSession } = await emoq('engine/runtime/index.js');
const { tensor } = await emoq('engine/tensor/index.js');
const { dropoutPools, dropoutWindows, evaluationFeeds, noEvaluationFeeds, stackBatches, stackMicroBatches } =
  await emoq('engine/training/index.js');
const { openTrainingSession, writeModel } = await emoq('training/inference.js');

const { phase, training, sizes, microBatches } = await buildMemoryCase(spec, models, checkout);
const model = await writeModel(join(folder, 'training.onnx'), training.graph);
const worker = {
  open: (bytes, options) => {
    beginSection('session');
    return createSession(bytes, options);
  },
};
const compute = { device: { kind: 'cuda', index: 0 }, threads: 2, cacheDir: folder };
const session = await openTrainingSession(worker, model, compute, training);

const inputs = [...phase.inputs, ...phase.targets];
const batchOf = (declared) => ({
  sizes,
  tensors: Object.fromEntries(
    declared.map(({ name, dtype, shape }) => {
      const value = tensor(
        dtype,
        shape.map((dim) => (typeof dim === 'number' ? dim : sizes[dim])),
      );
      if (name.includes('mask')) value.data.fill(1n);
      return [name, value];
    }),
  ),
});
const steps = Array.from({ length: STEPS_PER_RUN }, () => batchOf(inputs));
const parts = Array.from({ length: microBatches }, () => ({
  batch: batchOf(inputs),
  weight: 1 / microBatches,
}));
const state = Object.fromEntries(training.state.map(({ input, shape }) => [input, tensor('float32', shape)]));
const windows = Array.from({ length: STEPS_PER_RUN }, () =>
  training.accumulates ? Array.from({ length: microBatches }, () => sizes) : sizes,
);
const trainFeeds = {
  learning_rate: tensor('float32', []),
  step: tensor('int64', []),
  ...state,
  ...(training.accumulates
    ? stackMicroBatches(
        inputs,
        steps.map(() => parts),
      )
    : stackBatches(inputs, steps)),
  ...dropoutWindows(training.dropout, 0, 0, windows, sizes),
  ...dropoutPools(training.dropout, 0, sizes),
  ...noEvaluationFeeds(training),
};
const outputs = session.outputNames.filter((name) => !name.startsWith('evaluation/'));
beginSection('run');
for (let run = 0; run < 2; run++) await session.run(trainFeeds, outputs);
const evaluated = session.outputNames.filter((name) => name.startsWith('evaluation/'));
await session.run({ ...state, ...evaluationFeeds(training, inputs, [batchOf(phase.inputs)]) }, evaluated);
beginSection('end');
process.exit(0);
