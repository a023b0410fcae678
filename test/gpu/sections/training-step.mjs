/**
 * @file Seconds, memory and arithmetic of a training step. A run has K steps and a cost of its own, since state crosses
 * the bus: the time of a step is the difference between runs of K and of one, and the rest is told beside it.
 */

import { startSessionWorker } from '../../../dist/engine/runtime/index.js';
import { elementCount } from '../../../dist/engine/tensor/index.js';
import * as engine from '../../../dist/engine/training/index.js';
import { medianOf } from '../../bench/timing.mjs';
import { attempt } from '../attempt.mjs';
import { watchMemory } from '../nvidia-card.mjs';
import {
  openPhase,
  randomBatch,
  startOf,
  trainingFeeds,
  trainingModel,
  trainingOptions,
  vocabularyOf,
} from '../phases.mjs';
import { randomWeights, weightsPath } from '../random-weights.mjs';

/** Stage 1 in float32 (on CUDA its products are in TF32). */
export async function stage1(options, report) {
  const { batches, ...lengths } = options.models.stage1;
  const title = `stage-1 step, ${options.models.names.text}`;
  await timeSteps(options, report, { phase: 'stage1', title, precision: 'float32', batches, lengths });
}

/** Stage 2 with frozen weights in bfloat16 (on the CPU in float32). */
export async function stage2(options, report) {
  const { batch, recomputed: _, ...lengths } = options.models.stage2;
  await timeSteps(options, report, { ...stage2Of(options), batches: [batch], lengths });
}

/** Stage 2 with activation checkpointing and larger batches. */
export async function stage2Recomputed(options, report) {
  const { recomputed, batch: _, ...lengths } = options.models.stage2;
  await timeSteps(options, report, { ...stage2Of(options), batches: recomputed, lengths, recompute: true });
}

function stage2Of({ models, device }) {
  const precision = device.kind === 'cpu' ? 'float32' : 'bfloat16';
  return { phase: 'stage2', title: `stage-2 step, ${models.names.decoder}, ${precision}`, precision };
}

/** Steps of one graph in batches of several sizes. One that fails, for want of memory, does not stop the others. */
async function timeSteps(options, report, step) {
  const { models, device, threads, folder, quick } = options;
  const { phase: name, title, precision, lengths, recompute = false } = step;
  const batches = quick ? step.batches.slice(0, 1) : step.batches;
  const memory = watchMemory(device.index ?? 0);
  const worker = startSessionWorker();
  try {
    const startedAt = performance.now();
    const weights = randomWeights(weightsPath(folder, `${name}-${models.names.decoder}`));
    const phase = openPhase(name, models, weights);
    const { training, model, weightsFolder } = trainingModel(phase, { device, precision, recompute });
    const builtAt = performance.now();
    const weightBytes = weights.write();
    const writtenAt = performance.now();
    const session = await worker.open(model, trainingOptions(device, threads, weightsFolder), training.state);
    await session.setState(startOf(phase, 1));
    const readyAt = performance.now();
    const graph = {
      ...{ phase: name, precision, recompute },
      trainable: phase.parameters.trainable.reduce((sum, { shape }) => sum + elementCount(shape), 0),
      weightBytes,
      nodes: training.body.nodes.length,
      buildSec: (builtAt - startedAt) / 1000,
      writeSec: (writtenAt - builtAt) / 1000,
      loadSec: (readyAt - writtenAt) / 1000,
    };
    for (const batch of batches) {
      const what = `${title}, batch ${batch}${recompute ? ', activation checkpointing' : ''}`;
      await attempt(report, what, async () => {
        const data = randomBatch(phase, { batch, ...lengths }, vocabularyOf(models), 1);
        memory.begin();
        const times = await timesOf({ phase, training, session }, data, quick);
        const { stepSec, loss } = times;
        const flopPerStep = engine.matrixFlops(training, data.sizes);
        const finite = loss.every(Number.isFinite);
        report({
          ...{ kind: 'step', what, sizes: data.sizes, ...times, loss: loss.at(-1) },
          utterancesPerSec: batch / stepSec,
          flopPerStep,
          teraflopPerSec: flopPerStep / stepSec / 1e12,
          peakBytes: memory.peakBytes(),
          estimateBytes: estimateBytes(training, data.sizes, times.stepsPerRun, device),
          ...graph,
          ok: finite,
          ...(!finite && { note: 'the loss is not a number' }),
        });
      });
    }
  } finally {
    await worker.close();
    memory.stop();
  }
}

/** The first run, and medians of runs of one step and of several after it. */
async function timesOf({ phase, training, session }, batch, quick) {
  const runOf = (steps) => {
    const feeds = trainingFeeds(phase, training, Array(steps).fill(batch));
    return () => session.run(feeds, training.reported);
  };
  const stepsPerRun = quick ? 3 : 5;
  const [one, many] = [runOf(1), runOf(stepsPerRun)];
  const startedAt = performance.now();
  await one();
  const firstRunSec = (performance.now() - startedAt) / 1000;
  const { wallSec: oneSec } = await medianOf(quick ? 1 : 3, one);
  const { wallSec: manySec } = await medianOf(quick ? 1 : 3, many);
  const stepSec = (manySec - oneSec) / (stepsPerRun - 1);
  const { loss } = await one();
  return { stepSec, runSec: oneSec - stepSec, stepsPerRun, firstRunSec, loss: [...loss.data] };
}

/** Emoq's own estimate for the device; undefined where it has none for CUDA. */
function estimateBytes(training, sizes, stepsPerRun, device) {
  if (device.kind === 'cpu') return engine.estimateMemory(training, sizes, { stepsPerRun }).totalBytes;
  return engine.trainingEstimator(training)(sizes, { stepsPerRun }).totalBytes;
}
