/**
 * @file Activation checkpointing compared with keeping all activations: gradients, losses and parameters of both stages
 * under dropout, over batches of different sizes.
 */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { constant, valuesRead } from '../../../src/engine/onnx/index.js';
import { type SessionWorker, startSessionWorker } from '../../../src/engine/runtime/index.js';
import { float32Of, type Tensor } from '../../../src/engine/tensor/index.js';
import {
  type Batch,
  buildTrainingGraph,
  firstMomentName,
  type TrainingSpec,
} from '../../../src/engine/training/index.js';
import type { GraphInput } from '../../../src/engine/training/training-graph.js';
import { layeredWeights, type Weights } from '../../../src/nn/weights.js';
import { stage1Loss } from '../../../src/systems/emoq/stage1.js';
import { answerInputs, stage2Inputs, stage2Loss } from '../../../src/systems/emoq/stage2.js';
import { openTraining, relativeError, takeStepsIn } from '../../engine/training-model.js';
import {
  microBatchesOf,
  openReference,
  openStage2,
  type ReferenceCase,
  referenceBatch,
  stage1Case,
} from './reference-case.js';

/** Equal up to rounding, not bit for bit: at most 9e-7 when measured; another mask would be off by a hundredth. */
const TOLERANCE = 2e-6;
/** The same over four steps, each of which divides a gradient by its own size. */
const AFTER_STEPS = 1e-5;
const RATE = 0.2;

let worker: SessionWorker;
beforeAll(() => {
  worker = startSessionWorker();
});
afterAll(() => worker.close());

interface Trainee {
  readonly reference: ReferenceCase;
  readonly inputs: readonly GraphInput[];
  readonly step: TrainingSpec['step'];
  readonly weightsFolder?: string;
}

async function stage1(): Promise<Trainee> {
  const reference = (await openReference('stage1')).caseOf('both');
  const { config, losses, inputs } = stage1Case(reference, 'both');
  const dropped = { ...config, former: { ...config.former, dropout: RATE, attentionDropout: RATE } };
  return {
    reference,
    inputs,
    step: ({ parameters, batch, root, dropout }) => {
      const weights = layeredWeights(parameters, (key) => constant(root, reference.parameters.get(key)!));
      const { loss, contrastive } = stage1Loss(weights, dropped, losses, batch, dropout);
      return { loss, reported: { contrastive } };
    },
  };
}

async function stage2(): Promise<Trainee> {
  const { reference, config, qwen } = await openStage2(
    (await openReference('stage2')).caseOf('both'),
    'both',
  );
  const dropped = {
    ...config,
    former: { ...config.former, dropout: RATE, attentionDropout: RATE },
    lora: { ...config.lora, dropout: RATE },
  };
  return {
    reference,
    inputs: [...stage2Inputs(config), ...answerInputs],
    step: ({ parameters, batch, root, dropout }) => {
      const own: Weights = (key) => constant(root, reference.parameters.get(key)!);
      const language = qwen.weights(root);
      const frozen: Weights = (key, shape) => (reference.frozen.includes(key) ? own : language)(key, shape);
      return {
        loss: stage2Loss(layeredWeights(parameters, frozen), dropped, batch, dropout),
        reported: {},
      };
    },
    weightsFolder: qwen.checkpoint.dir,
  };
}

function specOf({ reference, inputs, step }: Trainee, recompute: boolean, accumulate = false): TrainingSpec {
  return {
    name: 'checkpointed',
    parameters: [...reference.after].map(([key, { shape }]) => ({ key, shape })),
    batch: inputs,
    step,
    optimizer: { beta1: 0, beta2: 0.999, epsilon: 1e-4, weightDecay: 0.01, clipNorm: 0 },
    schedule: { warmupSteps: 0, totalSteps: 10 },
    recompute,
    accumulate,
  };
}

/** Losses of each step, and final parameters and gradients by key; with whole batches, or micro-batches of two. */
async function trained(trainee: Trainee, recompute: boolean, steps: number, accumulate = false) {
  const { reference, inputs, weightsFolder } = trainee;
  const spec = specOf(trainee, recompute, accumulate);
  const keys = spec.parameters.map(({ key }) => key);
  const start = Object.fromEntries(keys.map((key) => [key, reference.parameters.get(key)!]));
  const training = await openTraining(worker, spec, start, 1, weightsFolder);
  const batches = Array.from({ length: steps }, (_, step) =>
    referenceBatch(trainee.reference, trainee.inputs, step),
  );
  const largest: Record<string, number> = {};
  for (const { sizes } of batches)
    for (const [symbol, size] of Object.entries(sizes))
      largest[symbol] = Math.max(size, largest[symbol] ?? 0);
  const cut = accumulate && { cut: (batch: Batch) => microBatchesOf(batch, 2) };
  const options = { rate: 1e-3, batchInputs: inputs, largest, ...cut };
  const { loss } = await takeStepsIn(training, batches, [steps], options);
  const parameters = await training.session.readState(keys);
  const moments = await training.session.readState(keys.map(firstMomentName));
  await training.session.dispose();
  return { loss: loss!, parameters, gradients: moments };
}

/** Root of the summed squares of all differences, relative to that of what is expected: one norm over all tensors. */
function distance(actual: Record<string, Tensor>, expected: Record<string, Tensor>): number {
  let [difference, size] = [0, 0];
  for (const name of Object.keys(expected)) {
    const [have, want] = [float32Of(actual[name]!), float32Of(expected[name]!)];
    want.forEach((value, i) => {
      difference += (have[i]! - value) ** 2;
      size += value ** 2;
    });
  }
  return Math.sqrt(difference / size);
}

describe.each([
  ['stage 1', stage1],
  ['stage 2', stage2],
] as const)('activation checkpointing of %s', (_, open) => {
  it('leaves every gradient as it is, with the same dropout masks', async () => {
    const trainee = await open();
    const [kept, recomputed] = [await trained(trainee, false, 1), await trained(trainee, true, 1)];
    const error = distance(recomputed.gradients, kept.gradients);
    console.log(`gradients with and without checkpointing: ${error.toExponential(1)} apart`);
    expect(error).toBeLessThan(TOLERANCE);
    expect(relativeError(recomputed.loss, kept.loss)).toBeLessThan(TOLERANCE);
  });

  it('ends in the same parameters after several steps in one run', async () => {
    const trainee = await open();
    const [kept, recomputed] = [await trained(trainee, false, 4), await trained(trainee, true, 4)];
    expect(distance(recomputed.parameters, kept.parameters)).toBeLessThan(AFTER_STEPS);
    expect(relativeError(recomputed.loss, kept.loss)).toBeLessThan(AFTER_STEPS);
  });

  it('leaves steps in micro-batches as they are too', async () => {
    const trainee = await open();
    const [kept, recomputed] = [
      await trained(trainee, false, 4, true),
      await trained(trainee, true, 4, true),
    ];
    expect(distance(recomputed.parameters, kept.parameters)).toBeLessThan(AFTER_STEPS);
    expect(relativeError(recomputed.loss, kept.loss)).toBeLessThan(AFTER_STEPS);
    const { gradientBody } = buildTrainingGraph(specOf(trainee, true, true));
    expect(gradientBody.nodes.some(({ name }) => name.includes('/recomputed/'))).toBe(true);
  });

  it('computes the layers twice, but skips unused nodes', async () => {
    const trainee = await open();
    const { body } = buildTrainingGraph(specOf(trainee, true));
    const again = body.nodes.filter(({ name }) => name.includes('/recomputed/'));
    const once = body.blocks.reduce((total, { first, end }) => total + end - first, 0);
    expect(again.length).toBeGreaterThan(0.5 * once);
    expect(again.length).toBeLessThan(once + 20 * body.blocks.length); // with the zeros that each block is padded with
    const read = new Set([...body.nodes.flatMap(valuesRead), ...body.outputs]);
    for (const { name, outputs } of again)
      expect([name, outputs.some((output) => read.has(output))]).toEqual([name, true]);
  });
});
