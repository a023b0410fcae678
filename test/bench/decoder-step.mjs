/**
 * @file A stage-2 step at the size of SmolLM2-135M (576 wide, 30 layers) with a Former of MiniLM-L6's size: batch 8,
 * prompts of 110 tokens with answers of 2, LoRA of rank 16 on q, k, v, o; random weights in float32, made for the
 * occasion. A separate program that prints its figures as one line of JSON; decoder_step.py is the same step in PyTorch.
 *
 *     node test/bench/decoder-step.mjs [threads]
 */

import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseDecoderConfig, parseTextEncoderConfig, publishedConfigs } from '../../dist/backbones/index.js';
import { peakMemoryBytes } from '../../dist/base/index.js';
import { serializeInPlace } from '../../dist/engine/onnx/index.js';
import { releaseMemory, startSessionWorker } from '../../dist/engine/runtime/index.js';
import { elementCount, float32, int64, tensor } from '../../dist/engine/tensor/index.js';
import {
  dropoutPools,
  dropoutWindows,
  estimateMemory,
  matrixFlops,
  stackBatches,
} from '../../dist/engine/training/index.js';
import { checkpointWeights } from '../../dist/nn/index.js';
import { stage2Graphs } from '../../dist/systems/emoq/stage2.js';
import { phaseParameters, phaseTrainingGraph } from '../../dist/systems/phase-graphs.js';
import { readProfile, shareOfProducts } from './profile.mjs';
import { medianOf } from './timing.mjs';

const [threads] = process.argv.slice(2);
const SIZES = { batch: 8, text: 30, frames: 160, prompt: 110, answers: 16 };
const AUDIO_WIDTH = 1024;
const STEPS_PER_RUN = 4;
const ANSWER_TOKENS = SIZES.answers / SIZES.batch;

const roberta = parseTextEncoderConfig(
  {
    ...publishedConfigs['FacebookAI/roberta-base'],
    hidden_size: 384,
    num_hidden_layers: 6,
    num_attention_heads: 12,
    intermediate_size: 1536,
  },
  'MiniLM-L6',
);
const llm = parseDecoderConfig(
  {
    model_type: 'llama',
    vocab_size: 49152,
    hidden_size: 576,
    num_hidden_layers: 30,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    intermediate_size: 1536,
    rms_norm_eps: 1e-5,
    rope_theta: 100_000,
    tie_word_embeddings: true,
    max_position_embeddings: 8192,
  },
  'SmolLM2-135M',
);
const former = {
  roberta,
  audioWidth: AUDIO_WIDTH,
  queries: 32,
  crossAttentionEvery: 2,
  poolingHeads: 8,
  dropout: 0.1,
  attentionDropout: 0.1,
  trainWordEmbeddings: false,
};
const recipe = {
  inputs: 'both',
  fusion: 'former',
  former: { train_word_embeddings: false },
  lora: { rank: 16, alpha: 32, dropout: 0.1, targets: ['q_proj', 'k_proj', 'v_proj', 'o_proj'] },
  projector: { hidden: 0 },
};

const folder = await mkdtemp(join(tmpdir(), 'emoq-decoder-'));
try {
  console.log(JSON.stringify(await decoderStep()));
} finally {
  await rm(folder, { recursive: true });
}

async function decoderStep() {
  const startedAt = performance.now();
  const weightsFile = join(folder, 'weights.bin');
  const { phase, bytes } = openPhase(weightsFile);
  const parameters = phaseParameters(phase);
  const optimizer = {
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weightDecay: 0.01,
    clipNorm: 1,
  };
  const schedule = { warmupSteps: 10, totalSteps: 1000 };
  const training = phaseTrainingGraph(phase, parameters, optimizer, schedule, { sharedBelow: 1 << 16 });
  await writeWeights(weightsFile, bytes());
  const { model, weightsFolder } = serializeInPlace(training.graph);
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
  await setInitialState(session, parameters.trainable);
  const inputs = [...phase.inputs, ...phase.targets];
  const feeds = {
    learning_rate: float32([], [1e-5]),
    step: int64([], [0]),
    ...stackBatches(inputs, Array.from({ length: STEPS_PER_RUN }, randomBatch)),
    ...dropoutPools(training.dropout, 1, SIZES),
    ...dropoutWindows(training.dropout, 1, 0, Array(STEPS_PER_RUN).fill(SIZES), SIZES),
  };
  const { wallSec, processorSec } = await medianOf(3, () => session.run(feeds));
  await session.dispose();
  const peakGiB = peakMemoryBytes() / 2 ** 30;
  const profiled = await worker.open(
    model,
    { ...options, profilePrefix: join(folder, 'profile') },
    training.state,
  );
  await setInitialState(profiled, parameters.trainable);
  for (let run = 0; run < 2; run++) await profiled.run(feeds);
  await profiled.dispose();
  await worker.close();
  await rm(weightsFile);
  return {
    readySec,
    stepSec: wallSec / STEPS_PER_RUN,
    processorSec: processorSec / STEPS_PER_RUN,
    parameters: parameters.trainable.reduce((total, { shape }) => total + elementCount(shape), 0),
    stepGflop: matrixFlops(training, SIZES) / 1e9,
    estimateGiB: estimateMemory(training, SIZES, { stepsPerRun: STEPS_PER_RUN }).totalBytes / 2 ** 30,
    peakGiB,
    matrixShare: shareOfProducts(await readProfile(folder)),
  };
}

/** The phase over a file of weights, laid out in the order in which the graph asks for them. */
function openPhase(path) {
  const places = new Map();
  let end = 0;
  const lookup = (key, shape) => {
    const byteLength = 4 * elementCount(shape);
    if (!places.has(key)) {
      places.set(key, end);
      end += 64 * Math.ceil(byteLength / 64);
    }
    return { key, shape, dtype: 'float32', path, offset: places.get(key), byteLength };
  };
  const labels = Array.from({ length: 7 }, (_, index) => 10 * (1 + index));
  const phase = stage2Graphs(recipe, former, llm, labels, (graph) => checkpointWeights(graph, lookup));
  return { phase, bytes: () => end };
}

/** Small random numbers, the same mebibyte over and over. */
async function writeWeights(path, bytes) {
  const block = new Float32Array(1 << 18).map(() => (Math.random() - 0.5) * 0.04);
  const file = await open(path, 'w');
  for (let at = 0; at < bytes; at += block.byteLength) await file.write(block);
  await file.close();
}

async function setInitialState(session, trainable) {
  const state = Object.fromEntries(trainable.map(({ key, shape }) => [key, initial(key, shape)]));
  await session.setState(state);
  for (const value of Object.values(state)) releaseMemory(value);
}

function initial(key, shape) {
  const value = tensor('float32', shape);
  if (key.endsWith('LayerNorm.weight')) value.data.fill(1);
  else if (!key.endsWith('.bias'))
    for (let i = 0; i < value.data.length; i++) value.data[i] = (Math.random() - 0.5) * 0.04;
  return value;
}

function randomBatch() {
  const { batch, text, frames, prompt, answers } = SIZES;
  const features = tensor('float16', [batch, frames, AUDIO_WIDTH]);
  // 0x3800 to 0x3bff are the binary16 values from 0.5 to 1.
  for (let i = 0; i < features.data.length; i++)
    features.data[i] = 0x3800 + Math.floor(Math.random() * 0x400);
  const filled = (shape, valueAt) => int64(shape, Array.from({ length: elementCount(shape) }, valueAt));
  const draw = (shape, below) => filled(shape, () => Math.floor(Math.random() * below));
  const ones = (shape) => filled(shape, () => 1);
  return {
    tensors: {
      audio_features: features,
      frame_mask: ones([batch, frames]),
      input_ids: draw([batch, text], roberta.vocabSize),
      attention_mask: ones([batch, text]),
      prompt_ids: draw([batch, prompt], llm.vocabSize),
      prompt_mask: ones([batch, prompt]),
      audio_position: filled([batch], () => 50),
      // The last two tokens of each prompt, predicted by those before them.
      answer_positions: filled(
        [answers],
        (_, at) =>
          Math.floor(at / ANSWER_TOKENS) * prompt + prompt - ANSWER_TOKENS - 1 + (at % ANSWER_TOKENS),
      ),
      answer_tokens: draw([answers], llm.vocabSize),
      answer_weights: float32([answers], Array(answers).fill(1)),
    },
    sizes: SIZES,
  };
}
