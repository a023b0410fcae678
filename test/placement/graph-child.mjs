/**
 * @file Builds one of emoq's graphs with emoq's own code, opens it on the stub as emoq does and runs it on batches of
 * made-up utterances: K steps twice and one, or two runs of inference. The numbers mean nothing; sizes and types are
 * real.
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  beginSection,
  emoqModule,
  nativeSession,
  taskOfThisProcess,
  useStub,
  workerHere,
} from './session-child.mjs';
import { WORDS } from './toy-models.mjs';
import { zeroFeeds } from './zero-feeds.mjs';

const task = taskOfThisProcess();
const { spec, models, folder, steps } = task;
const Tensor = useStub(folder);
const emoq = (path) => emoqModule(task.checkout, path);

const { tensor } = await emoq('engine/tensor/index.js');
const worker = await workerHere(task.checkout);
const { resolvePrecision } = await emoq('systems/index.js');
const compute = { device: { kind: 'cuda', index: 0 }, threads: 2, cacheDir: folder };
const precisionOf = (phase) =>
  resolvePrecision(spec.precision ?? 'auto', compute.device, phase.languageModel);

/** Runs of the sections that are measured: the first one allocates. */
async function measured(run) {
  for (const section of ['first', 'run']) {
    beginSection(section);
    await run(steps);
  }
  if (spec.kind === 'training') {
    beginSection('one');
    await run(1);
  }
}

// ---- utterances ----

const UTTERANCES = 8;
const BATCH = 4;
const utterances = Array.from({ length: UTTERANCES }, (_, index) => ({
  id: `u${index}`,
  path: '',
  text: WORDS.slice(0, 4 + (index % 4)).join(' '),
  label: WORDS[index % 4],
  speaker: 'spk',
  gender: 'f',
  session: '',
  split: 'train',
  words: WORDS.slice(0, 4 + (index % 4)).map((word, place) => ({
    word,
    start: place / 4,
    end: place / 4 + 0.2,
  })),
  durationSec: 2,
}));
const framesOf = (id) => 60 + 10 * (Number(id.slice(1)) % 4);

const EMOQ = {
  dataset: 'toy4',
  backbones: { encoder: 'hubert', former: 'roberta', llm: 'qwen2' },
  overrides: ['former.dropout=0.1', 'stage1.batch_size=4', 'stage2.batch_size=4'],
};
const QIEEMO = {
  dataset: 'qieemo-toy4',
  backbones: { encoder: 'recogniser' },
  overrides: ['align.batch_size=4', 'emotion.batch_size=4'],
};
/** The recipe of each phase. */
const DATASETS = {
  ...{ stage1: EMOQ, stage2: EMOQ, align: QIEEMO, emotion: QIEEMO },
  probe: { dataset: 'probe-toy4', backbones: { encoder: 'hubert' }, overrides: ['probe.batch_size=4'] },
};

async function encode(source) {
  const encoder = await source.open({ ...compute, worker, precision: spec.precision ?? 'float32' });
  await measured(() => encoder.encode([1, 1, 2].map((seconds) => new Float32Array(16_000 * seconds))));
}

async function openPhase() {
  const { loadRecipe } = await emoq('recipe/index.js');
  const { systemOf, trainingStart } = await emoq('systems/index.js');
  const { dataset, backbones, overrides } = DATASETS[spec.phase];
  const named = (spec.set ?? []).map((setting) =>
    setting.replace(/^backbones\.(\w+)=(.*)$/, (_, key, name) => `backbones.${key}=${join(models, name)}`),
  );
  const recipe = await loadRecipe({
    dataset,
    overrides: [
      ...Object.entries(backbones).map(([key, name]) => `backbones.${key}=${join(models, name)}`),
      ...overrides,
      ...named,
    ],
  });
  const isTrained = ['training', 'validation'].includes(spec.kind);
  const start = isTrained ? trainingStart(recipe, spec.phase) : 'checkpoint';
  const corpus = { train: utterances, dev: utterances, test: utterances };
  const phase = await systemOf(recipe).open(recipe, spec.phase, { weights: 'present', start, corpus });
  const examples = utterances.map((utterance) => phase.encode(utterance).example);
  const audio = phase.inputs.find(({ name }) => name === 'audio_features')?.shape.at(-1);
  const width = typeof audio === 'number' ? audio : (await encoderConfig()).width;
  const features = phase.features({
    frames: framesOf,
    read: async ({ id }) => ({ frames: framesOf(id), width, words: new Uint16Array(framesOf(id) * width) }),
  });
  return { recipe, phase, examples, features, settings: systemOf(recipe).settings(recipe, spec.phase) };
}

async function encoderConfig() {
  const { encoderWidth } = await emoq('backbones/speech-encoders/encoder-source.js');
  return encoderWidth(join(models, 'hubert'), null);
}

/** A phase with its training graph, opened as for training; its state is zeros. */
async function openTraining() {
  const opened = await openPhase();
  const { phase, settings } = opened;
  const { buildTraining } = await emoq('training/step-sizes.js');
  const { openTrainingSession, writeModel } = await emoq('training/inference.js');
  const use = { device: compute.device, precision: precisionOf(phase), validates: true };
  const training = buildTraining(
    phase,
    settings,
    { stepsPerEpoch: 10, warmupSteps: 1, totalSteps: 100 },
    use,
  );
  const model = await writeModel(join(folder, 'training.onnx'), training.graph);
  const session = await openTrainingSession(worker, model, compute, training);
  return { ...opened, training, session, inputs: [...phase.inputs, ...phase.targets] };
}

// ---- the kinds of graphs ----

const kinds = {
  async encoder() {
    const { findSpeechEncoder } = await emoq('backbones/speech-encoders/encoder-source.js');
    await encode(await findSpeechEncoder(join(models, spec.checkpoint), null, spec.layers));
  },

  async recogniser() {
    const { findRecogniser } = await emoq('backbones/index.js');
    await encode((await findRecogniser(join(models, spec.checkpoint), { beam: 1 })).encoder);
  },

  async training() {
    const { phase, recipe, settings, examples, features, training, session, inputs } = await openTraining();
    const { batchSplit } = await emoq('training/step-sizes.js');
    const { microBatchSize } = await emoq('systems/index.js');
    const { stepFeeds } = await emoq('training/batches.js');
    const { dropoutPools, noEvaluationFeeds } = await emoq('engine/training/index.js');
    const largest = largestSizes(phase, examples, microBatchSize(settings));
    const split = batchSplit(settings);
    const batch = (indices) =>
      phase.collate(
        indices.map((index) => examples[index]),
        features,
        true,
      );
    const feedOptions = {
      graph: training,
      inputs,
      seed: recipe.seed,
      largest,
      batch,
      ...(split && { split }),
    };
    const members = Array.from({ length: BATCH }, (_, row) => row);
    await measured(async (count) => {
      // The same batch in every step: what a longer run has more is then a matter of steps alone.
      const chosen = Array.from({ length: count }, () => members);
      const feeds = {
        learning_rate: tensor('float32', []),
        step: tensor('int64', []),
        ...(await stepFeeds(feedOptions, 0, chosen)),
        ...dropoutPools(training.dropout, recipe.seed, largest),
        ...noEvaluationFeeds(training),
      };
      await session.run(feeds, training.reported);
    });
  },

  async validation() {
    const { phase, examples, features, training, session, inputs } = await openTraining();
    const { inferAll, trainingEvaluator } = await emoq('training/inference.js');
    const { evenBatches } = await emoq('training/inference-batches.js');
    const { runLimits } = await emoq('training/run-sizing.js');
    const limits = { ...runLimits(compute.device), batches: 1 };
    const evaluator = trainingEvaluator(session, training, inputs, limits);
    await measured(() =>
      inferAll(examples.slice(0, BATCH), {
        evaluators: [evaluator],
        phase,
        features,
        batching: evenBatches(BATCH),
      }),
    );
  },

  async evaluation() {
    const { phase, examples, features } = await openPhase();
    const { phaseEvaluationGraph } = await emoq('systems/index.js');
    const { inferAll, writeModel } = await emoq('training/inference.js');
    const { evenBatches } = await emoq('training/inference-batches.js');
    const { model, weightsFolder } = await writeModel(
      join(folder, 'evaluation.onnx'),
      phaseEvaluationGraph(phase, phase.parameters, undefined, precisionOf(phase)),
    );
    const { device, threads } = compute;
    const session = await worker.open(model, { device, threads, weightsFolder });
    const parameters = Object.fromEntries(
      phase.parameters.trainable
        .filter(({ key }) => session.inputNames.includes(key))
        .map(({ key, shape }) => [key, tensor('float32', shape)]),
    );
    const evaluator = {
      batchesPerRun: () => 1,
      run: async ([batch]) => [await session.run({ ...parameters, ...batch.tensors })],
    };
    await measured(() =>
      inferAll(examples.slice(0, BATCH), {
        evaluators: [evaluator],
        phase,
        features,
        batching: evenBatches(BATCH),
      }),
    );
  },

  async prediction() {
    const { phase, examples, features } = await openPhase();
    const { phaseInferenceGraph } = await emoq('systems/index.js');
    const { serializeInPlace } = await emoq('engine/onnx/index.js');
    const { openWeightsFile, requireWeight } = await emoq('checkpoints/index.js');
    const { checkpointWeights } = await emoq('nn/index.js');
    const { writeSafetensors } = await emoq('engine/tensor/index.js');
    const { sessionEvaluator } = await emoq('training/inference.js');
    const { evenBatches } = await emoq('training/inference-batches.js');
    const { promptedInference } = await emoq('training/prompted-inference.js');
    const path = join(folder, 'checkpoint.safetensors');
    const values = phase.parameters.trainable.map(({ key, shape }) => [key, tensor('float32', shape)]);
    await writeSafetensors(path, values, {});
    const trained = await openWeightsFile(path);
    const weights = (graph) => checkpointWeights(graph, (key, shape) => requireWeight(trained, key, shape));
    const graph = phaseInferenceGraph(phase, phase.parameters, weights, precisionOf(phase));
    const { model, weightsFolder } = serializeInPlace(graph);
    const { device, threads } = compute;
    const session = await worker.open(model, { device, threads, weightsFolder });
    const infer = promptedInference([sessionEvaluator(session)], phase);
    await measured(() => infer(examples.slice(0, BATCH), { features, batching: evenBatches(BATCH) }));
  },

  async export() {
    const { exportableEncoder, exportableFormer, exportableLanguageModel, writeModelFiles } =
      await emoq('inference/export/index.js');
    const { loadModelFile } = await emoq('engine/onnx/index.js');
    const checkpoint = join(models, spec.checkpoint);
    mkdirSync(join(folder, 'export'));
    const out = join(folder, 'export', 'model.onnx');
    const recipe = join(folder, 'recipe.yaml');
    writeFileSync(
      recipe,
      `labels: [a, b]\nmanifest: m.csv\nbackbones: {encoder: ${join(models, 'hubert')}}\n`,
    );
    const exportable = {
      encoder: () => exportableEncoder(checkpoint, { precision: spec.precision }),
      former: () => exportableFormer({ checkpoint, recipe }),
      llm: () => exportableLanguageModel({ checkpoint, inputs: spec.inputs, precision: spec.precision }),
    };
    await writeModelFiles(out, await exportable[spec.model](), {});
    const { model, weightsFolder } = await loadModelFile(out);
    const { device, threads } = compute;
    await worker.open(model, { device, threads, weightsFolder });
    const sizes = { batch: 2, samples: 16_000, frames: 60, text: 12, sequence: 12, length: 12 };
    await measured(() => nativeSession().run(zeroFeeds(Tensor, nativeSession().inputMetadata, sizes)));
  },
};

/** Upper bounds of every symbol, from which the trainer makes the dropout pools. */
function largestSizes(phase, examples, batch) {
  const largest = {};
  for (const { id, lengths } of examples) {
    const sizes = phase.sizesOf(lengths, phase.needs.audio ? framesOf(id) : 0);
    for (const [symbol, size] of Object.entries(sizes))
      largest[symbol] = Math.max(largest[symbol] ?? 1, size);
  }
  for (const symbol of phase.summedSizes) largest[symbol] = batch * (largest[symbol] ?? 1);
  return { batch, ...largest };
}

await kinds[spec.kind]();
beginSection('end');
process.exit(0);
