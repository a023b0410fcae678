/**
 * @file A stage-1 step with random weights and 32 queries, at the size of RoBERTa-base (12 layers; batch 8, 160 frames) or
 * MiniLM-L6 (384 wide, 6 layers; batch 16, 229 frames), 30 tokens. A separate program, so that its peak memory can be
 * measured; prints its figures as one line of JSON. former_step.py is the same step in PyTorch.
 *
 *     node test/bench/former-step.mjs base|minilm [threads]
 */

import { parseTextEncoderConfig, publishedConfigs } from '../../dist/backbones/index.js';
import { addInitializer, addInput, serializeModel } from '../../dist/engine/onnx/index.js';
import { tensor } from '../../dist/engine/tensor/index.js';
import { buildTrainingGraph } from '../../dist/engine/training/index.js';
import { declaredWeights, formerInputs, layeredWeights, noDropout } from '../../dist/nn/index.js';
import { stage1Loss } from '../../dist/systems/emoq/stage1.js';
import { drawn, fillSmall, measureStep, ones, randomFeatures } from './training-step.mjs';

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

const startedAt = performance.now();
const { training, trainable } = build();
const model = serializeModel(training.graph);
const step = { training, model, trainable, inputs, sizes: SIZES, batch: randomBatch, threads, startedAt };
console.log(JSON.stringify(await measureStep(step)));

function build() {
  const all = declaredWeights((graph, weights) => {
    const batch = Object.fromEntries(
      inputs.map(({ name, dtype, shape }) => [name, addInput(graph, name, dtype, shape)]),
    );
    stage1Loss(weights, config, losses, batch, noDropout);
  });
  const trainable = all.filter(({ key }) => key !== WORDS);
  const table = tensor('float32', [roberta.vocabSize, roberta.hiddenSize]);
  fillSmall(table.data);
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

function randomBatch() {
  const { batch, text, frames } = SIZES;
  return {
    audio_features: randomFeatures([batch, frames, AUDIO_WIDTH]),
    frame_mask: ones([batch, frames]),
    input_ids: drawn([batch, text], roberta.vocabSize),
    attention_mask: ones([batch, text]),
    labels: drawn([batch], CLASSES),
  };
}
