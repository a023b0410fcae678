/**
 * @file Seconds, memory and arithmetic of a training step. A run has K steps and a cost of its own, since state crosses
 * the bus: the time of a step is the difference between runs of K and of one, and the rest is told beside it.
 */

import { startSessionWorker } from '../../../dist/engine/runtime/index.js';
import * as engine from '../../../dist/engine/training/index.js';
import { medianOf } from '../../bench/timing.mjs';
import { attempt } from '../attempt.mjs';
import { watchMemory } from '../card.mjs';
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

const { matrixFlops } = engine;

/** Stage 1 in float32 (on CUDA its products are in TF32). */
export async function stage1(options, report) {
  const { models, quick } = options;
  const { batches, ...lengths } = models.stage1;
  for (const batch of quick ? batches.slice(0, 1) : batches) {
    const what = `stage-1 step, ${models.names.text}, batch ${batch}`;
    await timeStep(options, report, {
      phase: 'stage1',
      what,
      sizes: { batch, ...lengths },
      precision: 'float32',
    });
  }
}

/** Stage 2 with frozen weights in bfloat16 (on the CPU in float32). */
export async function stage2(options, report) {
  const { batch, recomputed: _, ...lengths } = options.models.stage2;
  await timeStep(options, report, stage2Step(options, { batch, ...lengths }, false));
}

/** Stage 2 with activation checkpointing and larger batches. */
export async function stage2Recomputed(options, report) {
  const { recomputed, batch: _, ...lengths } = options.models.stage2;
  for (const batch of options.quick ? recomputed.slice(0, 1) : recomputed) {
    await timeStep(options, report, stage2Step(options, { batch, ...lengths }, true));
  }
}

function stage2Step({ models, device }, sizes, recompute) {
  const precision = device.kind === 'cpu' ? 'float32' : 'bfloat16';
  const how = recompute ? ', activation checkpointing' : '';
  const what = `stage-2 step, ${models.names.decoder}, ${precision}, batch ${sizes.batch}${how}`;
  return { phase: 'stage2', what, sizes, precision, recompute };
}

/** A step that fails, for want of memory above all, is reported, and the next one is tried. */
const timeStep = (options, report, step) =>
  attempt(report, step.what, () => measureStep(options, report, step));

async function measureStep(options, report, { phase: name, what, sizes, precision, recompute = false }) {
  const { models, device, threads, folder, quick } = options;
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
    const batch = randomBatch(phase, sizes, vocabularyOf(models), 1);
    const flops = matrixFlops(training, batch.sizes);
    const runOf = (steps) => {
      const feeds = trainingFeeds(phase, training, Array(steps).fill(batch));
      return () => session.run(feeds, { outputs: training.reported });
    };
    const longRun = quick ? 3 : 9;
    const [one, many] = [runOf(1), runOf(longRun)];
    const firstAt = performance.now();
    const { loss } = await one();
    const firstRunSec = (performance.now() - firstAt) / 1000;
    const { wallSec: oneSec } = await medianOf(quick ? 1 : 3, one);
    const { wallSec: manySec } = await medianOf(quick ? 1 : 3, many);
    const stepSec = (manySec - oneSec) / (longRun - 1);
    report({
      kind: 'step',
      what,
      phase: name,
      precision,
      recompute,
      sizes: batch.sizes,
      trainable: phase.parameters.trainable.reduce(
        (sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1),
        0,
      ),
      frozenBytes: weightBytes,
      nodes: training.body.nodes.length,
      stepSec: stepSec,
      runSec: oneSec - stepSec,
      utterancesPerSec: sizes.batch / stepSec,
      flopPerStep: flops,
      teraflopPerSec: flops / stepSec / 1e12,
      peakBytes: memory.peakBytes(),
      estimateBytes: estimateBytes(training, batch.sizes, longRun, device),
      firstRunSec: firstRunSec,
      buildSec: (builtAt - startedAt) / 1000,
      writeSec: (writtenAt - builtAt) / 1000,
      loadSec: (readyAt - writtenAt) / 1000,
      firstLoss: loss.data[0],
      ok: loss.data.every(Number.isFinite),
      ...(!loss.data.every(Number.isFinite) && { note: 'the loss is not a number' }),
    });
  } finally {
    await worker.close();
    memory.stop();
  }
}

/** Emoq's own estimate for the device; undefined where it has none for CUDA. */
function estimateBytes(training, sizes, stepsPerRun, device) {
  if (device.kind === 'cpu') return engine.estimateMemory(training, sizes, { stepsPerRun }).totalBytes;
  return engine.trainingEstimator?.(training)(sizes, { stepsPerRun }).totalBytes;
}
