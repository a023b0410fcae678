/**
 * @file Twenty optimizer steps of both stages compared with torch.optim.AdamW: parameters, losses, gradient norms and
 * learning rates, over batches of different sizes, with clipping in some steps, warmup and decay.
 */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { constant } from '../../../src/engine/onnx/index.js';
import { type SessionWorker, startSessionWorker } from '../../../src/engine/runtime/index.js';
import { float32, float32Of, type Tensor } from '../../../src/engine/tensor/index.js';
import type { AdamWOptions, Batch, TrainingSpec } from '../../../src/engine/training/index.js';
import type { GraphInput } from '../../../src/engine/training/training-graph.js';
import type { InputViews } from '../../../src/nn/former/former-config.js';
import type { AffectiveLossOptions } from '../../../src/nn/losses.js';
import { layeredWeights, noDropout, type Weights } from '../../../src/nn/weights.js';
import { stage1Loss } from '../../../src/systems/emoq/stage1.js';
import { answerInputs, stage2Inputs, stage2Loss } from '../../../src/systems/emoq/stage2.js';
import { openTraining, relativeError, takeStepsIn } from '../../engine/training-model.js';
import { largestError, type ParityError, parityError, recordParity } from '../../parity/figures.js';
import {
  describeStage1,
  describeStage2,
  microBatchesOf,
  openReference,
  openStage2,
  type ReferenceCase,
  referenceBatch,
  rootMeanSquare,
  type Stage2CaseName,
  stage1Case,
  stage2Cases,
} from './reference-case.js';

const BATCHES = 4;
const TOLERANCE = 1e-4;

let worker: SessionWorker;
beforeAll(() => {
  worker = startSessionWorker();
});
afterAll(() => worker.close());

/** A stage to train. */
interface Trainee {
  readonly reference: ReferenceCase;
  readonly inputs: readonly GraphInput[];
  readonly step: TrainingSpec['step'];
  readonly weightsFolder?: string;
  readonly row: { readonly model: string; readonly shape: string; readonly dtype: string };
}

async function stage1(views: InputViews, changed: Partial<AffectiveLossOptions> = {}): Promise<Trainee> {
  const reference = (await openReference('stage1')).caseOf(views);
  const { config, inputs, ...own } = stage1Case(reference, views);
  const losses = { ...own.losses, ...changed };
  return {
    reference,
    inputs,
    step: ({ parameters, batch, root }) => {
      const weights = layeredWeights(parameters, frozenWeights(reference, root));
      const { loss, contrastive, focal } = stage1Loss(weights, config, losses, batch, noDropout);
      return { loss, reported: { contrastive, focal } };
    },
    row: describeStage1(reference, views),
  };
}

async function stage2(name: Stage2CaseName): Promise<Trainee> {
  const opened = await openStage2((await openReference('stage2')).caseOf(name), name);
  const { reference, config, qwen } = opened;
  return {
    reference,
    inputs: [...stage2Inputs(config), ...answerInputs],
    step: ({ parameters, batch, root }) => {
      const own = frozenWeights(reference, root);
      const language = qwen.weights(root);
      const frozen: Weights = (key, shape) => (reference.frozen.includes(key) ? own : language)(key, shape);
      return { loss: stage2Loss(layeredWeights(parameters, frozen), config, batch, noDropout), reported: {} };
    },
    weightsFolder: qwen.checkpoint.dir,
    row: describeStage2(opened),
  };
}

/** Parameters that a case does not train, as constants of the graph around the loop. */
const frozenWeights =
  ({ parameters }: ReferenceCase, root: Parameters<typeof constant>[0]): Weights =>
  (key) =>
    constant(root, parameters.get(key)!);

const optimizerOf = ({ reference: { optimizer } }: Trainee): AdamWOptions => ({
  beta1: optimizer.beta1,
  beta2: optimizer.beta2,
  epsilon: optimizer.epsilon,
  weightDecay: optimizer.weight_decay,
  clipNorm: optimizer.clip_norm,
});

interface Taken {
  /** By trained key, after all the steps. */
  readonly parameters: Readonly<Record<string, Tensor>>;
  /** Per-step figures by name. */
  readonly series: Readonly<Record<string, number[]>>;
}

/** Runs all the steps of a case in runs of the graph of the given sizes, with some settings overridden. */
async function takeAll(
  trainee: Trainee,
  runSizes: readonly number[],
  changed: Partial<AdamWOptions & { warmupSteps: number; totalSteps: number }> = {},
  microBatchSize?: number,
): Promise<Taken> {
  const { reference, inputs, weightsFolder } = trainee;
  const { steps, rate, warmup_steps, total_steps } = reference.optimizer;
  const { warmupSteps = warmup_steps, totalSteps = total_steps, ...optimizer } = changed;
  const trained = [...reference.after.keys()];
  const spec: TrainingSpec = {
    name: 'reference_training',
    parameters: trained.map((key) => ({ key, shape: reference.after.get(key)!.shape })),
    batch: inputs,
    step: trainee.step,
    optimizer: { ...optimizerOf(trainee), ...optimizer },
    schedule: { warmupSteps, totalSteps },
    accumulate: microBatchSize !== undefined,
  };
  const start = Object.fromEntries(trained.map((key) => [key, reference.parameters.get(key)!]));
  const training = await openTraining(worker, spec, start, 1, weightsFolder);
  const batches = Array.from({ length: steps }, (_, step) =>
    referenceBatch(trainee.reference, trainee.inputs, step % BATCHES),
  );
  const cut = microBatchSize && { cut: (batch: Batch) => microBatchesOf(batch, microBatchSize) };
  const options = { rate, batchInputs: inputs, ...cut };
  const series = await takeStepsIn(training, batches, runSizes, options);
  const parameters = await training.session.readState(trained);
  await training.session.dispose();
  return { parameters, series };
}

/** Errors of the parameters after all the steps, by key. */
const errorsOf = ({ reference }: Trainee, { parameters }: Taken): Map<string, ParityError> =>
  new Map([...reference.after].map(([key, wanted]) => [key, parityError(parameters[key]!, wanted)]));

/** How far each parameter of the reference moves, relative to its start: root mean squares. */
function movements({ after, parameters }: ReferenceCase): Map<string, number> {
  return new Map(
    [...after].map(([key, end]) => {
      const [from, to] = [float32Of(parameters.get(key)!), float32Of(end)];
      return [key, rootMeanSquare(to.map((value, i) => value - from[i]!)) / rootMeanSquare(from)];
    }),
  );
}

const trainees: Record<string, () => Promise<Trainee>> = {
  ...Object.fromEntries(
    (['both', 'audio', 'text'] as const).map((views) => [`stage 1, inputs: ${views}`, () => stage1(views)]),
  ),
  ...Object.fromEntries(
    (Object.keys(stage2Cases) as Stage2CaseName[]).map((name) => [
      `stage 2, inputs: ${name}`,
      () => stage2(name),
    ]),
  ),
};
for (const [name, open] of Object.entries(trainees)) {
  describe(`20 steps of ${name}`, () => {
    it('end where those of PyTorch end, through the same losses, norms and rates', async () => {
      const trainee = await open();
      const { reference, row } = trainee;
      const taken = await takeAll(trainee, [7, 1, 12]);
      for (const key of ['loss', 'gradient_norm', 'learning_rate_used']) {
        const wanted = reference.expected(`steps/${key}`);
        const error = parityError(float32(wanted.shape, taken.series[key]!), wanted);
        expect(error.relative, key).toBeLessThan(TOLERANCE);
        if (key === 'loss') recordParity({ ...row, quantity: 'losses of 20 AdamW steps', ...error });
      }
      const errors = errorsOf(trainee, taken);
      for (const [key, { relative }] of errors) expect(relative, key).toBeLessThan(TOLERANCE);
      recordParity({
        ...row,
        quantity: 'every parameter after 20 AdamW steps',
        ...largestError(errors.values()),
      });
    });

    it('are clipped in some steps only, and move every parameter far beyond the tolerance', async () => {
      const { reference } = await open();
      const norms = Array.from(float32Of(reference.expected('steps/gradient_norm')));
      const clipped = norms.filter((norm) => norm > reference.optimizer.clip_norm).length;
      expect(clipped).toBeGreaterThanOrEqual(3);
      expect(clipped).toBeLessThanOrEqual(17);
      for (const [key, movement] of movements(reference)) {
        // Softmax cancels a key bias, which therefore has no gradient, and it has no weight decay.
        if (key.endsWith('self.key.bias')) expect(movement, key).toBeLessThan(1e-7);
        else expect(movement, key).toBeGreaterThan(100 * TOLERANCE);
      }
    });
  });
}

describe('20 steps in micro-batches', () => {
  it.each(Object.keys(stage2Cases) as Stage2CaseName[])(
    "of stage 2, inputs: %s, end where PyTorch's of whole batches end",
    async (name) => {
      const trainee = await stage2(name);
      const { reference } = trainee;
      const utterances = Array.from(
        { length: BATCHES },
        (_, batch) => reference.batch('prompt_ids', batch).shape[0]!,
      );
      expect(Math.max(...utterances)).toBeGreaterThan(2);
      expect(new Set(utterances).size).toBeGreaterThan(1); // steps of one micro-batch and of more
      const taken = await takeAll(trainee, [7, 1, 12], {}, 2);
      for (const key of ['loss', 'gradient_norm']) {
        const wanted = reference.expected(`steps/${key}`);
        expect(parityError(float32(wanted.shape, taken.series[key]!), wanted).relative, key).toBeLessThan(
          TOLERANCE,
        );
      }
      expect(largestError(errorsOf(trainee, taken).values()).relative).toBeLessThan(TOLERANCE);
    },
  );

  it('of stage 1 end where those of whole batches end, without the contrastive loss', async () => {
    const trainee = await stage1('both', { contrastiveWeight: 0 });
    const [whole, cut] = [await takeAll(trainee, [20]), await takeAll(trainee, [20], {}, 2)];
    for (const key of ['loss', 'focal', 'gradient_norm'])
      expect(relativeError(cut.series[key]!, whole.series[key]!), key).toBeLessThan(TOLERANCE);
    const errors = Object.entries(whole.parameters).map(([key, wanted]) =>
      parityError(cut.parameters[key]!, wanted),
    );
    expect(largestError(errors).relative).toBeLessThan(TOLERANCE);
  });

  it('of stage 1 end elsewhere with the contrastive loss, which compares within a micro-batch', async () => {
    const trainee = await stage1('both');
    const errors = errorsOf(trainee, await takeAll(trainee, [20], {}, 2));
    expect(largestError(errors.values()).relative).toBeGreaterThan(10 * TOLERANCE);
  });
});

describe('20 steps of stage 1', () => {
  it.each([[[20]], [Array<number>(20).fill(1)], [[3, 1, 9, 7]]])('end there in runs of %j', async (runs) => {
    const trainee = await stage1('both');
    const errors = errorsOf(trainee, await takeAll(trainee, runs));
    expect(largestError(errors.values()).relative).toBeLessThan(TOLERANCE);
  });

  it.each([
    ['beta1 of 0.89', { beta1: 0.89 }],
    ['beta2 of 0.97', { beta2: 0.97 }],
    ['twice the epsilon', { epsilon: 2e-4 }],
    ['weight decay of 0.09', { weightDecay: 0.09 }],
    ['clipping at 0.75', { clipNorm: 0.75 }],
    ['no clipping', { clipNorm: 0 }],
    ['a step less of warm-up', { warmupSteps: 3 }],
    ['a schedule a step longer', { totalSteps: 21 }],
  ])('end elsewhere with %s', async (_, changed) => {
    const trainee = await stage1('audio');
    const errors = errorsOf(trainee, await takeAll(trainee, [20], changed));
    expect(largestError(errors.values()).relative).toBeGreaterThan(10 * TOLERANCE);
  });
});
