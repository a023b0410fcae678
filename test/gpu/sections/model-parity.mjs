/**
 * @file Every model on the device against the CPU in float32, on the same random weights, which are stored in bfloat16:
 * forward passes, losses and gradients of both stages and the linear probe, in each precision that the device has.
 */

import { parseEncoderConfig } from '../../../dist/backbones/index.js';
import { encoderFamilyOf } from '../../../dist/backbones/speech-encoders/encoder-families.js';
import { addInput, addOutput, createGraph, serializeInPlace } from '../../../dist/engine/onnx/index.js';
import { createSession, startSessionWorker } from '../../../dist/engine/runtime/index.js';
import { int64, seededRandom, tensor } from '../../../dist/engine/tensor/index.js';
import { evaluationFeeds, evaluationName, firstMomentName } from '../../../dist/engine/training/index.js';
import { checkpointWeights } from '../../../dist/nn/index.js';
import { attempt, relativeError } from '../attempt.mjs';
import { compiled } from '../compiled.mjs';
import {
  evaluationModel,
  openPhase,
  randomBatch,
  startOf,
  trainingFeeds,
  trainingModel,
  trainingOptions,
  vocabularyOf,
} from '../phases.mjs';
import { randomWeights, weightsPath } from '../random-weights.mjs';
import { decoders, encoders, textEncoder } from '../sizes.mjs';

const CPU = { kind: 'cpu' };
/**
 * Largest relative error (in Euclidean norms). float32: sums in another order, some thousand times the spacing of 6e-8.
 * bfloat16: twice what these models have on the CPU with every value rounded that a GPU rounds, which is up to 0.04 of
 * the outputs, 0.02 of the losses and 0.07 of the gradients.
 */
const BOUNDS = {
  float32: { outputs: 1e-4, losses: 1e-4, gradients: 1e-3 },
  bfloat16: { outputs: 0.08, losses: 0.04, gradients: 0.15 },
};
const STEPS = 3;
const SIZES = { batch: 4, frames: 14, text: 6, prompt: 18, answer: 2 };
const MODELS = { audioWidth: 16, queries: 4 };

export async function modelParity(options, report) {
  const precisions = ['float32', 'bfloat16'];
  const { emulatePrecision } = await compiled('test/engine/emulated-precision.js');
  // The CPU has no products of 16 bits: there, values are rounded where a GPU rounds them.
  const rewriteOn = ({ kind }) => (kind === 'cpu' ? emulatePrecision : undefined);
  const { quick } = options;
  for (const encoder of some(encoders, quick))
    await encoderParity(encoder, precisions, { ...options, rewriteOn }, report);
  const phases = [
    { name: 'probe', title: 'linear probe' },
    { name: 'stage1', title: 'stage 1 (Former)' },
    ...some(decoders, quick).map((decoder) => ({
      name: 'stage2',
      decoder,
      title: `stage 2 with ${decoder.name}`,
    })),
    { name: 'stage2', decoder: decoders[0], title: 'stage 2, activation checkpointing', recompute: true },
  ];
  for (const phase of phases) {
    // Nothing of the probe and of stage 1 is in fewer bits.
    const own = phase.name === 'stage2' ? precisions : ['float32'];
    await phaseParity(phase, own, { ...options, rewriteOn }, report);
  }
}

/** All, or with --quick the first: the families are small, and of each there may be several sizes. */
const some = (ids, quick) => (quick ? ids.slice(0, 1) : ids);

const fileName = (id) => `parity-${id.replaceAll('/', '-')}`;

function rowOf(report, { what, precision, quantity, actual, expected }) {
  const error = Math.max(...expected.map((each, i) => relativeError(actual[i], each)));
  const bound = BOUNDS[precision][quantity];
  report({ kind: 'parity', group: 'models', what, quantity, precision, error, bound, ok: error <= bound });
}

async function encoderParity({ name, config: raw }, precisions, options, report) {
  await attempt(report, `encoder of ${name}`, async () => {
    const family = encoderFamilyOf({ dir: name, config: raw });
    const config = parseEncoderConfig(raw, name);
    const weights = randomWeights(weightsPath(options.folder, fileName(name)));
    const random = seededRandom('gpu check clips', 1);
    const samples = 6400;
    const feeds = {
      input_values: tensor('float32', [2, samples]),
      attention_mask: int64(
        [2, samples],
        Array.from({ length: 2 * samples }, (_, at) => (at < 1.8 * samples ? 1 : 0)),
      ),
    };
    feeds.input_values.data.forEach((_, at, data) => {
      data[at] = random.normal();
    });
    const run = async (device, precision) => {
      const graph = createGraph('encoder');
      const inputs = {
        inputValues: addInput(graph, 'input_values', 'float32', ['batch', 'samples']),
        attentionMask: addInput(graph, 'attention_mask', 'int64', ['batch', 'samples']),
      };
      const found = checkpointWeights(
        graph,
        (key, shape) => weights.lookup(key, shape, 'bfloat16'),
        () => precision,
      );
      addOutput(graph, family.encoder(found, config, inputs).hiddenStates.at(-1), 'last_hidden_state');
      options.rewriteOn(device)?.(graph);
      const { model, weightsFolder } = serializeInPlace(graph);
      weights.write();
      return runOnce(model, { device, threads: options.threads, weightsFolder }, feeds);
    };
    const expected = await run(CPU, 'float32');
    for (const precision of precisions) {
      const actual = await run(options.device, precision);
      const compared = { actual: valuesOf(actual), expected: valuesOf(expected) };
      rowOf(report, { what: `encoder of ${name}`, precision, quantity: 'outputs', ...compared });
    }
  });
}

const valuesOf = (outputs) => Object.values(outputs).map(({ data }) => data);

async function runOnce(model, options, feeds) {
  const session = await createSession(model, options);
  try {
    return await session.run(feeds);
  } finally {
    await session.dispose();
  }
}

async function phaseParity({ name, decoder = decoders[0], title, recompute }, precisions, options, report) {
  await attempt(report, title, async () => {
    const models = { ...MODELS, text: textEncoder, decoder: decoder.config };
    const weights = randomWeights(weightsPath(options.folder, fileName(`${name}-${decoder.name}`)));
    const phase = openPhase(name, models, weights);
    const expected = await figuresOn(CPU, 'float32');
    for (const precision of precisions) {
      const actual = await figuresOn(options.device, precision);
      for (const quantity of ['outputs', 'losses', 'gradients']) {
        const compared = { actual: actual[quantity], expected: expected[quantity] };
        rowOf(report, { what: title, precision, quantity, ...compared });
      }
    }

    /** Outputs of the evaluation graph and of validation, losses of steps, gradient of the first by its first moments. */
    async function figuresOn(device, precision) {
      const vocabulary = vocabularyOf(models);
      const start = startOf(phase, 1);
      const rewrite = options.rewriteOn(device);
      const evaluation = evaluationModel(phase, weights, precision, rewrite);
      const { training, model, weightsFolder } = trainingModel(phase, {
        device,
        precision,
        recompute,
        rewrite,
      });
      weights.write();
      const { answer: _, ...prompts } = SIZES;
      const unanswered = randomBatch(phase, prompts, vocabulary, 0, true);
      const unread = new Set(phase.graphs.targets.map((target) => target.name));
      const inputs = Object.fromEntries(
        Object.entries(unanswered.tensors).filter(([input]) => !unread.has(input)),
      );
      const { threads } = options;
      const outputs = await runOnce(
        evaluation.model,
        { device, threads, weightsFolder: evaluation.weightsFolder },
        inputs,
      );
      const worker = startSessionWorker();
      try {
        const session = await worker.open(
          model,
          trainingOptions(device, threads, weightsFolder),
          training.state,
        );
        await session.setState(start);
        const { outputs: names } = training.evaluation;
        const feeds = evaluationFeeds(
          training,
          [...phase.graphs.inputs, ...phase.graphs.targets],
          [unanswered],
        );
        const validated = await session.evaluate(feeds, names.map(evaluationName));
        const batches = Array.from({ length: STEPS }, (_, step) =>
          randomBatch(phase, SIZES, vocabulary, step, true),
        );
        const first = await session.run(trainingFeeds(phase, training, batches.slice(0, 1)));
        const keys = phase.parameters.trainable.map(({ key }) => firstMomentName(key));
        const moments = await session.readState(keys);
        const rest = await session.run(trainingFeeds(phase, training, batches.slice(1), { firstStep: 1 }));
        return {
          outputs: [...valuesOf(outputs), ...valuesOf(validated)],
          losses: training.reported.map((each) => [...first[each].data, ...rest[each].data]),
          // All together: the gradients of some parameters are next to nothing beside those of others.
          gradients: [Float32Array.from(keys.flatMap((key) => [...moments[key].data]))],
        };
      } finally {
        await worker.close();
      }
    }
  });
}
