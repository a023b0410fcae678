/**
 * @file A stage-1 step with random weights and 32 queries, at the size of RoBERTa-base (12 layers; batch 8, 160 frames) or
 * MiniLM-L6 (384 wide, 6 layers; batch 16, 229 frames), 30 tokens. A separate program, so that its peak memory can be
 * measured; prints its figures as one line of JSON. former_step.py is the same step in PyTorch.
 *
 *     node test/bench/former-step.mjs base|minilm [threads]
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseTextEncoderConfig, publishedConfigs } from '../../dist/backbones/index.js';
import { peakMemoryBytes } from '../../dist/base/index.js';
import { addInitializer, addInput, serializeModel } from '../../dist/engine/onnx/index.js';
import { releaseMemory, startSessionWorker } from '../../dist/engine/runtime/index.js';
import { elementCount, float32, int64, tensor } from '../../dist/engine/tensor/index.js';
import {
  buildTrainingGraph,
  dropoutPools,
  dropoutWindows,
  estimateMemory,
  matrixFlops,
  stackBatches,
} from '../../dist/engine/training/index.js';
import { declaredWeights, formerInputs, layeredWeights, noDropout } from '../../dist/nn/index.js';
import { stage1Loss } from '../../dist/systems/emoq/stage1.js';
import { readProfile, shareOfProducts } from './profile.mjs';
import { medianOf } from './timing.mjs';

const [size = 'base', threads] = process.argv.slice(2);
const SIZES = { base: { batch: 8, text: 30, frames: 160 }, minilm: { batch: 16, text: 30, frames: 229 } }[
  size
];
const AUDIO_WIDTH = 1024;
const CLASSES = 7;
const WORDS = 'former.embeddings.word_embeddings.weight';

const MINILM = { hidden_size: 384, num_hidden_layers: 6, num_attention_heads: 12, intermediate_size: 1536 };
const roberta = parseTextEncoderConfig(
  { ...publishedConfigs['FacebookAI/roberta-base'], ...(size === 'minilm' && MINILM) },
  size,
);
const config = {
  former: {
    roberta,
    audioWidth: AUDIO_WIDTH,
    queries: 32,
    crossAttentionEvery: 2,
    poolingHeads: 8,
    dropout: 0.1,
    attentionDropout: 0.1,
    trainWordEmbeddings: false,
  },
  inputs: 'both',
  headHidden: roberta.hiddenSize,
  classes: CLASSES,
};
const losses = {
  temperature: 0.07,
  gamma: 2,
  alpha: Array(CLASSES).fill(1),
  contrastiveWeight: 1,
  focalWeight: 1,
};
const inputs = [...formerInputs(AUDIO_WIDTH, 'both'), { name: 'labels', dtype: 'int64', shape: ['batch'] }];

const STEPS_PER_RUN = 4;
const OPTIONS = {
  device: { kind: 'cpu' },
  disablePrepacking: true,
  withoutArena: true,
  ...(threads && { threads: Number(threads) }),
};

console.log(JSON.stringify(await formerStep()));

async function formerStep() {
  const startedAt = performance.now();
  const { training, trainable } = build();
  const worker = startSessionWorker();
  const session = await worker.open(serializeModel(training.graph), OPTIONS, training.state);
  const readySec = (performance.now() - startedAt) / 1000;
  await setInitialState(session, trainable);
  const batches = Array.from({ length: STEPS_PER_RUN }, randomBatch);
  const feeds = {
    learning_rate: float32([], [1e-5]),
    step: int64([], [0]),
    ...stackBatches(inputs, batches),
    ...dropoutPools(training.dropout, 1, SIZES),
    ...dropoutWindows(training.dropout, 1, 0, Array(STEPS_PER_RUN).fill(SIZES), SIZES),
  };
  const { wallSec, processorSec } = await medianOf(3, () => session.run(feeds));
  await worker.close();
  const peakGiB = peakMemoryBytes() / 2 ** 30;
  return {
    readySec,
    stepSec: wallSec / STEPS_PER_RUN,
    processorSec: processorSec / STEPS_PER_RUN,
    parameters: trainable.reduce((total, { shape }) => total + elementCount(shape), 0),
    stepGflop: matrixFlops(training, SIZES) / 1e9,
    estimateGiB: estimateMemory(training, SIZES, { stepsPerRun: STEPS_PER_RUN }).totalBytes / 2 ** 30,
    peakGiB,
    matrixShare: await matrixShare(training, trainable, feeds),
  };
}

/**
 * Share of a run's node time spent in matrix products, from onnxruntime's profile of the second run of a new session.
 */
async function matrixShare(training, trainable, feeds) {
  const folder = await mkdtemp(join(tmpdir(), 'emoq-profile-'));
  try {
    const worker = startSessionWorker();
    const options = { ...OPTIONS, profilePrefix: join(folder, 'profile') };
    const session = await worker.open(serializeModel(training.graph), options, training.state);
    await setInitialState(session, trainable);
    for (let run = 0; run < 2; run++) await session.run(feeds);
    await session.dispose(); // writes the profile
    await worker.close();
    return shareOfProducts(await readProfile(folder));
  } finally {
    await rm(folder, { recursive: true });
  }
}

function build() {
  const all = declaredWeights((graph, weights) => {
    const batch = Object.fromEntries(
      inputs.map(({ name, dtype, shape }) => [name, addInput(graph, name, dtype, shape)]),
    );
    stage1Loss(weights, config, losses, batch, noDropout);
  });
  const trainable = all.filter(({ key }) => key !== WORDS);
  const table = tensor('float32', [roberta.vocabSize, roberta.hiddenSize]);
  for (let i = 0; i < table.data.length; i++) table.data[i] = (Math.random() - 0.5) * 0.04;
  const training = buildTrainingGraph({
    name: 'former_step',
    parameters: trainable,
    batch: inputs,
    optimizer: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, clipNorm: 1 },
    sharedBelow: 1 << 16, // as training does on the CPU
    schedule: { warmupSteps: 10, totalSteps: 1000 },
    step: ({ root, parameters, batch, dropout }) => {
      const words = addInitializer(root, WORDS, table);
      const weights = layeredWeights(parameters, () => words);
      const { loss, contrastive, focal } = stage1Loss(weights, config, losses, batch, dropout);
      return { loss, reported: { contrastive, focal } };
    },
  });
  return { training, trainable };
}

async function setInitialState(session, trainable) {
  const state = Object.fromEntries(trainable.map(({ key, shape }) => [key, initial(key, shape)]));
  await session.setState(state);
  for (const value of Object.values(state)) releaseMemory(value); // as the trainer does
}

function initial(key, shape) {
  const value = tensor('float32', shape);
  if (key.endsWith('LayerNorm.weight')) value.data.fill(1);
  else if (!key.endsWith('.bias'))
    for (let i = 0; i < value.data.length; i++) value.data[i] = (Math.random() - 0.5) * 0.04;
  return value;
}

function randomBatch() {
  const { batch, text, frames } = SIZES;
  const features = tensor('float16', [batch, frames, AUDIO_WIDTH]);
  // 0x3800 to 0x3bff are the binary16 values from 0.5 to 1.
  for (let i = 0; i < features.data.length; i++)
    features.data[i] = 0x3800 + Math.floor(Math.random() * 0x400);
  const draw = (shape, below) =>
    int64(
      shape,
      Array.from({ length: elementCount(shape) }, () => Math.floor(Math.random() * below)),
    );
  const ones = (shape) => int64(shape, Array(elementCount(shape)).fill(1));
  return {
    tensors: {
      audio_features: features,
      frame_mask: ones([batch, frames]),
      input_ids: draw([batch, text], roberta.vocabSize),
      attention_mask: ones([batch, text]),
      labels: draw([batch], CLASSES),
    },
    sizes: SIZES,
  };
}
