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
import { serializeInPlace } from '../../dist/engine/onnx/index.js';
import { elementCount, float32 } from '../../dist/engine/tensor/index.js';
import { checkpointWeights } from '../../dist/nn/index.js';
import { stage2Graphs } from '../../dist/systems/emoq/stage2.js';
import { phaseParameters, phaseTrainingGraph } from '../../dist/systems/phase-graphs.js';
import { drawn, filled, fillSmall, measureStep, ones, randomFeatures } from './training-step.mjs';

const [threads] = process.argv.slice(2);
const SIZES = { batch: 8, text: 30, frames: 160, prompt: 110, answers: 16 };
const AUDIO_WIDTH = 1024;
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
  return measureStep({
    ...serializeInPlace(training.graph),
    ...{ training, trainable: parameters.trainable, inputs: [...phase.inputs, ...phase.targets] },
    ...{ sizes: SIZES, batch: randomBatch, threads, startedAt },
  });
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
  const block = new Float32Array(1 << 18);
  fillSmall(block);
  const file = await open(path, 'w');
  for (let at = 0; at < bytes; at += block.byteLength) await file.write(block);
  await file.close();
}

function randomBatch() {
  const { batch, text, frames, prompt, answers } = SIZES;
  return {
    audio_features: randomFeatures([batch, frames, AUDIO_WIDTH]),
    frame_mask: ones([batch, frames]),
    input_ids: drawn([batch, text], roberta.vocabSize),
    attention_mask: ones([batch, text]),
    prompt_ids: drawn([batch, prompt], llm.vocabSize),
    prompt_mask: ones([batch, prompt]),
    audio_position: filled([batch], () => 50),
    // The last two tokens of each prompt, predicted by those before them.
    answer_positions: filled(
      [answers],
      (_, at) => Math.floor(at / ANSWER_TOKENS) * prompt + prompt - ANSWER_TOKENS - 1 + (at % ANSWER_TOKENS),
    ),
    answer_tokens: drawn([answers], llm.vocabSize),
    answer_weights: float32([answers], Array(answers).fill(1)),
  };
}
