/**
 * @file What recipes may change in stage 1 against PyTorch (test/reference/stage1-options.py): the residual of the
 * Former, two views of each utterance, and the queue of earlier embeddings.
 */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gradients } from '../../../src/engine/autodiff/index.js';
import { mul, reduceSum, slice, sub } from '../../../src/engine/onnx/index.js';
import { type SessionWorker, startSessionWorker } from '../../../src/engine/runtime/index.js';
import {
  elementCount,
  float32,
  float32Of,
  int64,
  type Tensor,
  tensor,
} from '../../../src/engine/tensor/index.js';
import type { Batch, TrainingSpec } from '../../../src/engine/training/index.js';
import { layeredWeights, noDropout, queuedAfter } from '../../../src/nn/index.js';
import { supervisedContrastiveLoss } from '../../../src/nn/losses.js';
import { queuedStage1Loss, stage1Forward, stage1Loss } from '../../../src/systems/emoq/stage1.js';
import { withViews } from '../../../src/systems/index.js';
import { compute } from '../../backbones/decoders/graph-run.js';
import { openTraining, takeStepsIn } from '../../engine/training-model.js';
import { largestError, parityError, recordParity } from '../../parity/figures.js';
import {
  describeStage1,
  gradientErrors,
  microBatchesOf,
  openReference,
  type ReferenceCase,
  referenceBatch,
  referenceDtype,
  runCase,
  stage1Case,
} from './reference-case.js';

const TOLERANCE = 1e-4;
const { caseOf, expected, described } = await openReference<{ views: string[]; queues: string[] }>(
  'stage1-options',
);

let worker: SessionWorker;
beforeAll(() => {
  worker = startSessionWorker();
});
afterAll(() => worker.close());

/** A case with its own Former. */
function modelOf(name: string) {
  const reference = caseOf(name);
  const { config, losses, inputs } = stage1Case(reference, 'both');
  const residual = name === 'residual' ? 'mean' : 'none';
  return {
    reference,
    config: { ...config, former: { ...config.former, residual } } as const,
    losses,
    inputs,
  };
}

const QUEUE = { embeddings: 'embeddings', labels: 'labels' } as const;

/** Takes the 20 steps of a case. */
async function steps(
  name: string,
  runs: readonly number[],
  { queue = 7, micro }: { queue?: number; micro?: number } = {},
): Promise<{
  parameters: Record<string, Tensor>;
  series: Record<string, number[]>;
  queue: Record<string, Tensor>;
}> {
  const { reference, config, losses, inputs } = modelOf(name);
  const { optimizer } = reference;
  const queued = name !== 'residual' && queue > 0;
  const keys = [...reference.after.keys()];
  const memory = [
    { name: QUEUE.embeddings, shape: [queue, config.former.roberta.hiddenSize] },
    { name: QUEUE.labels, shape: [queue] },
  ];
  const spec: TrainingSpec = {
    name: 'stage1_options',
    parameters: keys.map((key) => ({ key, shape: reference.after.get(key)!.shape })),
    batch: inputs,
    optimizer: {
      beta1: optimizer.beta1,
      beta2: optimizer.beta2,
      epsilon: optimizer.epsilon,
      weightDecay: optimizer.weight_decay,
      clipNorm: optimizer.clip_norm,
    },
    schedule: { warmupSteps: optimizer.warmup_steps, totalSteps: optimizer.total_steps },
    accumulate: micro !== undefined,
    ...(queued && { memory }),
    step: ({ parameters, batch, memory: before }) => {
      const weights = layeredWeights(parameters, () => {
        throw new Error('every weight is trained');
      });
      if (!queued) {
        const { loss } = stage1Loss(weights, config, losses, batch, noDropout);
        return { loss, reported: {} };
      }
      const held = { embeddings: before.embeddings!, labels: before.labels! };
      const made = queuedStage1Loss(weights, config, losses, batch, noDropout, held);
      return { loss: made.loss, reported: {}, memory: { ...made.queue } };
    },
  };
  const start = Object.fromEntries(keys.map((key) => [key, reference.parameters.get(key)!]));
  const training = await openTraining(worker, spec, start);
  const batches = Array.from({ length: optimizer.steps }, (_, step) =>
    referenceBatch(reference, inputs, step % 4),
  );
  const cut = micro && { cut: (batch: Batch) => microBatchesOf(batch, micro) };
  const series = await takeStepsIn(training, batches, runs, {
    rate: optimizer.rate,
    batchInputs: inputs,
    ...cut,
  });
  const result = {
    parameters: await training.session.readState(keys),
    series,
    queue: queued ? await training.session.readState(training.graph.memory) : {},
  };
  await training.session.dispose();
  return result;
}

function largestAfter({ after }: ReferenceCase, parameters: Readonly<Record<string, Tensor>>) {
  return largestError([...after].map(([key, wanted]) => parityError(parameters[key]!, wanted)));
}

describe('the Former with the mean of the frames beside its queries', () => {
  it('has the embedding, logits, losses and every gradient of PyTorch', async () => {
    const { reference, config, losses, inputs } = modelOf('residual');
    const { results, gradients: slopes } = await runCase(reference, inputs, (weights, batch) => ({
      ...stage1Loss(weights, config, losses, batch, noDropout),
      ...stage1Forward(weights, config, batch, noDropout),
    }));
    for (const name of ['embedding', 'logits', 'contrastive', 'focal', 'loss'])
      expect(parityError(results[name]!, reference.expected(name)).relative, name).toBeLessThan(TOLERANCE);
    const errors = gradientErrors(slopes, reference.gradients);
    for (const [key, { relative }] of errors) expect(relative, key).toBeLessThan(TOLERANCE);
    expect([...errors.keys()].filter((key) => key.includes('residual'))).toHaveLength(4);
    const row = { ...describeStage1(reference, 'both'), model: 'stage 1 (former.residual: mean)' };
    recordParity({ ...row, quantity: 'gradient of every parameter', ...largestError(errors.values()) });
  });

  it('ends 20 steps where PyTorch ends them', async () => {
    const { reference } = modelOf('residual');
    const { parameters } = await steps('residual', [7, 1, 12]);
    expect(largestAfter(reference, parameters).relative).toBeLessThan(TOLERANCE);
  });
});

describe('the contrastive loss of two views', () => {
  it.each(described.views)(
    'is that of Khosla et al. over features [N, 2, d], with its gradient: %s',
    async (name) => {
      const of = (key: string): Tensor => expected(`views/${name}/${key}`);
      const [count, views, width] = of('features').shape as [number, number, number];
      const labels = withViews(Array.from(of('labels').data, Number), { views });
      const byView = (features: Float32Array): number[] =>
        Array.from({ length: views }, (_, view) =>
          Array.from({ length: count }, (_, row) => {
            const at = (row * views + view) * width;
            return [...features.subarray(at, at + width)];
          }),
        ).flat(2);
      const rows = float32([count * views, width], byView(float32Of(of('features'))));
      const temperature = Number(of('temperature').data[0]);
      const feeds = { rows: [rows, ['N', width]], labels: [int64([labels.length], labels), ['N']] } as const;
      const { loss, slope } = await compute(feeds, (_, values) => {
        const contrastive = supervisedContrastiveLoss(values.rows, values.labels, temperature);
        return { loss: contrastive, slope: gradients(contrastive, [values.rows])[0]! };
      });
      expect(parityError(loss!, of('contrastive')).absolute).toBeLessThan(2e-6);
      const wanted = float32([count * views, width], byView(float32Of(of('gradient'))));
      expect(parityError(slope!, wanted).absolute).toBeLessThan(5e-6);
    },
  );

  it('gives every anchor a positive, where one view gives none', async () => {
    const embeddings = float32([2, 2], [1, 0, 0.6, 0.8]);
    const lossOf = async (views: number): Promise<number> => {
      const rows = withViews([...Array(2).keys()], { views });
      const values = rows.flatMap((row) => [...embeddings.data.subarray(2 * row, 2 * row + 2)]);
      const feeds = {
        rows: [float32([rows.length, 2], values), ['N', 2]],
        labels: [int64([rows.length], rows), ['N']],
      } as const;
      const { loss } = await compute(feeds, (_, given) => ({
        loss: supervisedContrastiveLoss(given.rows, given.labels, 0.5),
      }));
      return Number(loss!.data[0]);
    };
    expect(await lossOf(1)).toBeCloseTo(0, 9);
    // An anchor, its other self (similarity 1 / 0.5), and two of the other class (0.6 / 0.5).
    expect(await lossOf(2)).toBeCloseTo(Math.log(Math.exp(2) + 2 * Math.exp(1.2)) - 2, 5);
  });

  it('sees two dropout masks of an utterance', async () => {
    const { reference, config, inputs } = modelOf('queued');
    const spread = async (rate: number): Promise<number> => {
      const former = { ...config.former, dropout: rate, attentionDropout: rate };
      const training = await openTraining(
        worker,
        {
          name: 'views',
          parameters: [...reference.parameters].map(([key, { shape }]) => ({ key, shape })),
          batch: inputs,
          optimizer: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, clipNorm: 0 },
          schedule: { warmupSteps: 0, totalSteps: 10 },
          step: ({ parameters, batch, dropout }) => {
            const weights = layeredWeights(parameters, () => {
              throw new Error('every weight is trained');
            });
            const { embedding } = stage1Forward(weights, { ...config, former }, batch, dropout);
            const apart = sub(slice(embedding, 0, 0, 1), slice(embedding, 0, 1, 2));
            return { loss: reduceSum(mul(apart, apart), [0, 1]), reported: {} };
          },
        },
        Object.fromEntries(reference.parameters),
      );
      const whole = referenceBatch(reference, inputs, 3); // one utterance
      const twice = Object.entries(whole.tensors).map(([name, { dtype, shape, data }]) => {
        const doubled = tensor(dtype, [2, ...shape.slice(1)]);
        (doubled.data as Float32Array).set(data as Float32Array, 0);
        (doubled.data as Float32Array).set(data as Float32Array, elementCount(shape));
        return [name, doubled] as const;
      });
      const batch = { tensors: Object.fromEntries(twice), sizes: { ...whole.sizes, batch: 2 } };
      const largest = { batch: 2, frames: 9, text: 9 };
      const { loss } = await takeStepsIn(training, [batch], [1], { batchInputs: inputs, largest });
      await training.session.dispose();
      return loss![0]!;
    };
    expect(await spread(0)).toBe(0);
    expect(await spread(0.2)).toBeGreaterThan(1e-3);
  });
});

describe('the contrastive loss with a queue', () => {
  const errors: { absolute: number; relative: number }[] = [];

  it.each(described.queues)('is that of PyTorch, with its gradient and the next queue: %s', async (name) => {
    const of = (key: string): Tensor => expected(`queue/${name}/${key}`);
    const [size, width] = of('queue').shape as [number, number];
    const feeds = {
      embeddings: [of('embeddings'), ['N', width]],
      labels: [of('labels'), ['N']],
      queue: [of('queue'), [size, width]],
      queueLabels: [of('queue_labels'), [size]],
    } as const;
    const results = await compute(feeds, (_, values) => {
      const queue = { embeddings: values.queue, labels: values.queueLabels };
      const temperature = Number(of('temperature').data[0]);
      const contrastive = supervisedContrastiveLoss(values.embeddings, values.labels, temperature, queue);
      const next = queuedAfter(values.embeddings, values.labels, queue);
      return {
        contrastive,
        gradient: gradients(contrastive, [values.embeddings])[0]!,
        after: next.embeddings,
        after_labels: next.labels,
      };
    });
    for (const key of ['contrastive', 'gradient']) {
      const error = parityError(results[key]!, of(key));
      expect(error.absolute, key).toBeLessThan(5e-6);
      errors.push(error);
    }
    for (const key of ['after', 'after_labels']) expect(results[key], key).toEqual(of(key));
  });

  it('that is empty is the loss without one', async () => {
    const of = (key: string): Tensor => expected(`queue/empty/${key}`);
    const feeds = { embeddings: [of('embeddings'), ['N', 5]], labels: [of('labels'), ['N']] } as const;
    const { loss } = await compute(feeds, (_, { embeddings, labels }) => ({
      loss: supervisedContrastiveLoss(embeddings, labels, Number(of('temperature').data[0])),
    }));
    expect(Number(loss!.data[0])).toBeCloseTo(Number(of('contrastive').data[0]), 6);
  });

  afterAll(() => {
    recordParity({
      model: 'SCL with a queue',
      shape: `${described.queues.length} batches of 1 to 4, queues of 2 to 6`,
      dtype: referenceDtype,
      quantity: 'value and gradient',
      ...largestError(errors),
    });
  });
});

describe('20 steps that leave their embeddings to the next', () => {
  it.each([
    ['whole batches', 'queued', {}],
    ['micro-batches', 'queued micro', { micro: 2 }],
  ] as const)('end where PyTorch ends, with the same queue: %s', async (_, name, options) => {
    const { reference } = modelOf(name);
    const { parameters, series, queue } = await steps(name, [7, 1, 12], options);
    for (const key of ['loss', 'gradient_norm']) {
      const wanted = reference.expected(`steps/${key}`);
      expect(parityError(float32(wanted.shape, series[key]!), wanted).relative, key).toBeLessThan(TOLERANCE);
    }
    expect(largestAfter(reference, parameters).relative).toBeLessThan(TOLERANCE);
    expect(queue['memory/labels']).toEqual(reference.expected('queue_labels'));
    expect(parityError(queue['memory/embeddings']!, reference.expected('queue')).relative).toBeLessThan(
      TOLERANCE,
    );
  });

  it('end with the same bytes in any grouping', async () => {
    const whole = await steps('queued', [20]);
    expect(await steps('queued', Array<number>(20).fill(1))).toEqual(whole);
    const cut = await steps('queued micro', [20], { micro: 2 });
    expect(await steps('queued micro', [3, 1, 9, 7], { micro: 2 })).toEqual(cut);
  });

  it('end elsewhere without a queue, with a shorter one, and where micro-batches are not queued one by one', async () => {
    const { reference } = modelOf('queued');
    for (const queue of [0, 6])
      expect(
        largestAfter(reference, (await steps('queued', [20], { queue })).parameters).relative,
      ).toBeGreaterThan(10 * TOLERANCE);
    const micro = modelOf('queued micro').reference;
    expect(largestAfter(micro, (await steps('queued micro', [20])).parameters).relative).toBeGreaterThan(
      10 * TOLERANCE,
    );
  });
});
