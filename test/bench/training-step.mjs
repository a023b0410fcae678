/** @file Measures a training step on the CPU: time, memory, arithmetic, and the share of matrix products. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { peakMemoryBytes } from '../../dist/base/index.js';
import { releaseMemory, startSessionWorker } from '../../dist/engine/runtime/index.js';
import { elementCount, float32, int64, tensor } from '../../dist/engine/tensor/index.js';
import {
  dropoutPools,
  dropoutWindows,
  estimateMemory,
  matrixFlops,
  stackBatches,
} from '../../dist/engine/training/index.js';
import { readProfile, shareOfProducts } from './profile.mjs';
import { medianOf } from './timing.mjs';

const STEPS_PER_RUN = 4;

/**
 * @param step its training graph, serialised (`model`, `weightsFolder`); `trainable` parameters; `inputs`; the `sizes`
 *   and maker of a `batch`; `threads`; and when its building began, in the milliseconds of performance.now()
 */
export async function measureStep(step) {
  const { training, model, weightsFolder, trainable, inputs, sizes, batch, threads, startedAt } = step;
  const options = {
    device: { kind: 'cpu' },
    disablePrepacking: true,
    withoutArena: true,
    weightsFolder,
    ...(threads && { threads: Number(threads) }),
  };
  const worker = startSessionWorker();
  const session = await worker.open(model, options, training.state);
  const readySec = (performance.now() - startedAt) / 1000;
  await setInitialState(session, trainable);
  const feeds = {
    learning_rate: float32([], [1e-5]),
    step: int64([], [0]),
    ...stackBatches(
      inputs,
      Array.from({ length: STEPS_PER_RUN }, () => ({ tensors: batch(), sizes })),
    ),
    ...dropoutPools(training.dropout, 1, sizes),
    ...dropoutWindows(training.dropout, 1, 0, Array(STEPS_PER_RUN).fill(sizes), sizes),
  };
  const { wallSec, processorSec } = await medianOf(3, () => session.run(feeds));
  await session.dispose();
  const peakGiB = peakMemoryBytes() / 2 ** 30;
  // From onnxruntime's profile of the second run of a new session.
  const folder = await mkdtemp(join(tmpdir(), 'emoq-profile-'));
  try {
    const profilePrefix = join(folder, 'profile');
    const profiled = await worker.open(model, { ...options, profilePrefix }, training.state);
    await setInitialState(profiled, trainable);
    for (let run = 0; run < 2; run++) await profiled.run(feeds);
    await profiled.dispose(); // writes the profile
    return {
      readySec,
      stepSec: wallSec / STEPS_PER_RUN,
      processorSec: processorSec / STEPS_PER_RUN,
      parameters: trainable.reduce((total, { shape }) => total + elementCount(shape), 0),
      stepGflop: matrixFlops(training, sizes) / 1e9,
      estimateGiB: estimateMemory(training, sizes, { stepsPerRun: STEPS_PER_RUN }).totalBytes / 2 ** 30,
      peakGiB,
      matrixShare: shareOfProducts(await readProfile(folder)),
    };
  } finally {
    await worker.close();
    await rm(folder, { recursive: true });
  }
}

async function setInitialState(session, trainable) {
  const state = Object.fromEntries(trainable.map(({ key, shape }) => [key, initial(key, shape)]));
  await session.setState(state);
  for (const value of Object.values(state)) releaseMemory(value); // as the trainer does
}

function initial(key, shape) {
  const value = tensor('float32', shape);
  if (key.endsWith('LayerNorm.weight')) value.data.fill(1);
  else if (!key.endsWith('.bias')) fillSmall(value.data);
  return value;
}

/** Fills an array with small random numbers. */
export function fillSmall(data) {
  for (let i = 0; i < data.length; i++) data[i] = (Math.random() - 0.5) * 0.04;
}

/** Features of 16 bits from 0.5 to 1. */
export function randomFeatures(shape) {
  const features = tensor('float16', shape);
  // 0x3800 to 0x3bff are the binary16 values from 0.5 to 1.
  for (let i = 0; i < features.data.length; i++)
    features.data[i] = 0x3800 + Math.floor(Math.random() * 0x400);
  return features;
}

export const filled = (shape, valueAt) => int64(shape, Array.from({ length: elementCount(shape) }, valueAt));
export const ones = (shape) => filled(shape, () => 1);
/** Random integers from 0 to below a bound. */
export const drawn = (shape, below) => filled(shape, () => Math.floor(Math.random() * below));
