/** @file The phases of emoq at given sizes: their graphs over random weights, and batches of random numbers. */

import { parseDecoderConfig, parseTextEncoderConfig } from '../../dist/backbones/index.js';
import { serializeInPlace } from '../../dist/engine/onnx/index.js';
import { elementCount, float32, int64, seededRandom, tensor } from '../../dist/engine/tensor/index.js';
import {
  dropoutPools,
  dropoutWindows,
  noEvaluationFeeds,
  stackBatches,
} from '../../dist/engine/training/index.js';
import { checkpointWeights } from '../../dist/nn/index.js';
import { stage1Graphs } from '../../dist/systems/emoq/stage1.js';
import { stage2Graphs } from '../../dist/systems/emoq/stage2.js';
import { probeGraphs } from '../../dist/systems/linear-probe/system.js';
import {
  phaseEvaluationGraph,
  phaseParameters,
  phaseTrainingGraph,
} from '../../dist/systems/phase-graphs.js';
import { startValues } from './random-weights.mjs';

const CLASSES = 7;
const OPTIMIZER = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, clipNorm: 1 };
/** A warm-up of one step, so that the first one already moves the parameters. */
const SCHEDULE = { warmupSteps: 1, totalSteps: 1000 };
export const LORA = { rank: 16, alpha: 32, dropout: 0.1, targets: ['q_proj', 'k_proj', 'v_proj', 'o_proj'] };

/**
 * A phase over random frozen weights.
 * @param models configs as in config.json (text, decoder), audioWidth and queries
 * @param dropout rate everywhere
 */
export function openPhase(name, models, weights, { dropout = 0.1 } = {}) {
  if (name === 'probe') {
    const sizes = { audioWidth: models.audioWidth, hidden: 256, standardize: true, classes: CLASSES };
    return withParameters({ ...probeGraphs(sizes), frozen: () => undefined });
  }
  const roberta = parseTextEncoderConfig(models.text, 'text encoder');
  const { audioWidth, queries } = models;
  const former = {
    ...{ roberta, audioWidth, queries, crossAttentionEvery: 2, poolingHeads: 4 },
    ...{ dropout, attentionDropout: dropout, trainWordEmbeddings: false },
  };
  const recipe = {
    labels: [...'abcdefg'],
    inputs: 'both',
    fusion: 'former',
    former: { head_hidden: roberta.hiddenSize, train_word_embeddings: false },
    stage1: { scl_temperature: 0.07, focal_gamma: 2, scl_weight: 1, focal_weight: 1, focal_alpha: 'inverse' },
    lora: { ...LORA, dropout },
    projector: { hidden: 0 },
  };
  const ofFormer = (key) => key.startsWith('former.');
  const frozen = (graph, precision) =>
    checkpointWeights(
      graph,
      (key, shape) => weights.lookup(key, shape, ofFormer(key) ? 'float32' : 'bfloat16'),
      (key) => (ofFormer(key) ? 'float32' : precision),
    );
  const counts = Array(CLASSES).fill(10);
  if (name === 'stage1') return withParameters(stage1Graphs(recipe, former, counts, frozen));
  const decoder = parseDecoderConfig(models.decoder, 'decoder');
  const words = Array.from({ length: CLASSES }, (_, label) => 10 + label);
  return withParameters(stage2Graphs(recipe, former, decoder, words, frozen));
}

function withParameters(graphs) {
  return { graphs, parameters: phaseParameters(graphs) };
}

/** The training graph of a phase, as emoq opens it on a device. */
export function trainingModel(
  { graphs, parameters },
  { device, precision, recompute = false, evaluates = true, rewrite },
) {
  const sharedBelow = device.kind === 'cpu' ? 0 : Number.POSITIVE_INFINITY;
  const options = { recompute, precision, evaluates, sharedBelow };
  const training = phaseTrainingGraph(graphs, parameters, OPTIMIZER, SCHEDULE, options);
  rewrite?.(training.graph);
  return { training, ...serializeInPlace(training.graph) };
}

/** The evaluation graph of a phase, its trained parameters being random weights too. */
export function evaluationModel({ graphs, parameters }, weights, precision, rewrite) {
  const trained = (graph) => checkpointWeights(graph, (key, shape) => weights.lookup(key, shape, 'float32'));
  const graph = phaseEvaluationGraph(graphs, parameters, trained, precision);
  rewrite?.(graph);
  return serializeInPlace(graph);
}

/** Session options of a training, as emoq has them. */
export const trainingOptions = (device, threads, weightsFolder) => ({
  ...{ device, threads, weightsFolder, disablePrepacking: true, withoutArena: true },
});

/** Parameters and moments at the start. */
export const startOf = ({ parameters }, seed) => startValues(parameters.trainable, seed);

/** Feeds of a run of K steps on batches of these sizes. */
export function trainingFeeds({ graphs }, training, batches, { firstStep = 0, rate = 1e-4 } = {}) {
  const inputs = [...graphs.inputs, ...graphs.targets];
  const sizes = batches.map((batch) => batch.sizes);
  const symbols = Object.keys(sizes[0]);
  const largest = Object.fromEntries(
    symbols.map((name) => [name, Math.max(...sizes.map((each) => each[name]))]),
  );
  return {
    learning_rate: float32([], [rate]),
    step: int64([], [firstStep]),
    ...stackBatches(inputs, batches),
    ...dropoutPools(training.dropout, 1, largest),
    ...dropoutWindows(training.dropout, 1, firstStep, sizes, largest),
    ...(training.evaluation && noEvaluationFeeds(training)),
  };
}

/**
 * A batch of random numbers for a phase. `sizes`: batch, frames, text, prompt, answer. With `ragged`, every second
 * utterance is shorter than the others.
 */
export function randomBatch({ graphs }, sizes, vocabulary, seed, ragged = false) {
  const { batch, frames, text, prompt, answer = 0 } = sizes;
  const random = seededRandom('gpu check batch', seed);
  const lengthOf = (row, length) =>
    ragged && row % 2 === 1 ? Math.max(1, Math.floor(0.7 * length)) : length;
  const rowsOf = (length, of) =>
    Array.from({ length: batch }, (_, row) => of(row, lengthOf(row, length))).flat();
  const mask = (length) =>
    int64(
      [batch, length],
      rowsOf(length, (_, own) => Array.from({ length }, (_, at) => (at < own ? 1 : 0))),
    );
  const ids = (length, below) =>
    int64(
      [batch, length],
      Array.from({ length: batch * length }, () => 4 + random.integer(below - 4)),
    );
  const answers = (of) =>
    rowsOf(prompt, (row, own) => Array.from({ length: answer }, (_, at) => of(row, own, at)));
  const makers = {
    audio_features: (shape) => halfFeatures([batch, frames, shape[2]], random),
    frame_mask: () => mask(frames),
    input_ids: () => ids(text, vocabulary.text),
    attention_mask: () => mask(text),
    labels: () =>
      int64(
        [batch],
        rowsOf(1, (row) => [row % CLASSES]),
      ),
    prompt_ids: () => ids(prompt, vocabulary.prompt),
    prompt_mask: () => mask(prompt),
    audio_position: () => int64([batch], Array(batch).fill(1)),
    answer_positions: () =>
      int64(
        [batch * answer],
        answers((row, own, at) => row * prompt + own - answer - 1 + at),
      ),
    answer_tokens: () =>
      int64(
        [batch * answer],
        answers((row) => 10 + (row % CLASSES)),
      ),
    answer_weights: () =>
      float32(
        [batch * answer],
        answers((_row, _own, at) => (at === 0 ? 5 : 1)),
      ),
  };
  const inputs = [...graphs.inputs, ...(answer === 0 && graphs.name === 'stage2' ? [] : graphs.targets)];
  const tensors = Object.fromEntries(inputs.map(({ name, shape }) => [name, makers[name](shape)]));
  const known = { batch, frames, text, prompt, answers: batch * answer };
  const symbols = new Set(inputs.flatMap(({ shape }) => shape.filter((dim) => typeof dim === 'string')));
  return { tensors, sizes: Object.fromEntries([...symbols].map((symbol) => [symbol, known[symbol]])) };
}

/** Numbers from 0.5 to 1 and their negatives, as the words of float16. */
function halfFeatures(shape, random) {
  const features = tensor('float16', shape);
  const draws = Uint16Array.from({ length: Math.min(elementCount(shape), 1 << 16) }, () =>
    random.integer(0x800),
  );
  for (let i = 0; i < features.data.length; i++) {
    const draw = draws[i % draws.length];
    features.data[i] = (draw & 0x400 ? 0xb800 : 0x3800) + (draw & 0x3ff);
  }
  return features;
}

/** Numbers of entries of the vocabularies. */
export const vocabularyOf = ({ text, decoder }) => ({ text: text.vocab_size, prompt: decoder.vocab_size });
