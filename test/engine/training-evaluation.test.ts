/** @file The evaluation in a training graph, and parameters that share tensors. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  addInput,
  addOutput,
  createGraph,
  linear,
  reduceSum,
  serializeModel,
  type Value,
} from '../../src/engine/onnx/index.js';
import { createSession, type SessionWorker, startSessionWorker } from '../../src/engine/runtime/index.js';
import {
  evaluationFeeds,
  evaluationName,
  evaluationOutputs,
  noEvaluationFeeds,
  type ParameterShape,
  stateGroups,
  type TrainingSpec,
} from '../../src/engine/training/index.js';
import {
  HIDDEN,
  inputs,
  openTraining,
  pooledSpec,
  randomBatch,
  randomBatches,
  rowsOf,
  startValues,
  stateNames,
  takeSteps,
  WIDTH,
} from './training-model.js';

let worker: SessionWorker;
beforeAll(() => {
  worker = startSessionWorker();
});
afterAll(() => worker.close());

const x = inputs[0]!;

/** The hidden layer of the model, summed over each example. */
const pooled = (rows: Value, weight: Value, bias: Value): Value => reduceSum(linear(rows, weight, bias), [1]);

/** The training graph whose evaluation gives that. */
const spec = (others: Partial<TrainingSpec> = {}): TrainingSpec => ({
  ...pooledSpec(0.1),
  evaluation: {
    batch: [x],
    forward: ({ parameters, batch }) => ({
      hidden: pooled(batch.x!, parameters.get('hidden.weight')!, parameters.get('hidden.bias')!),
    }),
  },
  ...others,
});

describe('the evaluation in a training graph', () => {
  const wholes = [3, 3, 3].map((rows, index) => randomBatch(rows, 2 + index, index));
  const batches = wholes.map(({ tensors, sizes }) => ({ tensors: { x: tensors.x! }, sizes }));

  it.each([
    ['whole batches', {}],
    ['micro-batches', { accumulate: true }],
    ['parameters that share tensors', { sharedBelow: Number.POSITIVE_INFINITY }],
  ] as const)('gives what a graph of its own gives, beside %s, and changes nothing', async (_, others) => {
    const training = await openTraining(worker, spec(others));
    const { graph, session } = training;
    const given = await session.readState(stateNames());
    const feeds = evaluationFeeds(graph, inputs, batches);
    const outputs = await session.evaluate(feeds, graph.evaluation!.outputs.map(evaluationName));
    expect(Object.keys(outputs)).toEqual(['evaluation/hidden']);
    expect(await session.readState(stateNames())).toEqual(given);

    const alone = createGraph('alone');
    const weight = addInput(alone, 'hidden.weight', 'float32', [HIDDEN, WIDTH]);
    const bias = addInput(alone, 'hidden.bias', 'float32', [HIDDEN]);
    addOutput(alone, pooled(addInput(alone, 'x', 'float32', x.shape), weight, bias), 'hidden');
    const own = await createSession(serializeModel(alone), { device: { kind: 'cpu' }, threads: 1 });
    const found = evaluationOutputs(outputs, graph);
    expect(found).toHaveLength(batches.length);
    for (const [index, { tensors }] of batches.entries()) {
      const { hidden } = await own.run({
        x: tensors.x,
        'hidden.weight': given['hidden.weight']!,
        'hidden.bias': given['hidden.bias']!,
      });
      expect(found[index]!.hidden).toEqual(hidden);
    }
    await own.dispose();
  });

  it('leaves training as it is', async () => {
    const steps = randomBatches(4);
    const plain = await openTraining(worker, pooledSpec(0.1));
    const evaluating = await openTraining(worker, spec());
    const losses = await takeSteps(plain, steps);
    const beside = await takeSteps(evaluating, steps, { more: noEvaluationFeeds(evaluating.graph) });
    expect(beside.loss).toEqual(losses.loss);
    expect(await evaluating.session.readState(stateNames())).toEqual(
      await plain.session.readState(stateNames()),
    );
  });
});

describe('parameters that share tensors', () => {
  const shared = (sharedBelow: number): TrainingSpec => ({ ...pooledSpec(0.2), sharedBelow });

  it.each([10, Number.POSITIVE_INFINITY])(
    'are trained as on their own, those of fewer than %s elements together',
    async (sharedBelow) => {
      for (const accumulate of [false, true]) {
        const run = async (below: number) => {
          const training = await openTraining(worker, { ...shared(below), accumulate });
          const cut = accumulate ? { cut: (batch: Parameters<typeof rowsOf>[0]) => rowsOf(batch, 2) } : {};
          const { loss } = await takeSteps(training, randomBatches(6), cut);
          return { loss: loss!, state: await training.session.readState(stateNames()) };
        };
        const [alone, together] = [await run(0), await run(sharedBelow)];
        // The gradient's norm is summed in another order.
        expect(together.loss.data.length).toBe(6);
        together.loss.data.forEach((value, step) => {
          expect(value).toBeCloseTo(Number(alone.loss.data[step]), 5);
        });
        for (const name of stateNames()) {
          const [ours, theirs] = [together.state[name]!, alone.state[name]!];
          expect(ours.shape).toEqual(theirs.shape);
          ours.data.forEach((value, index) => {
            expect(value).toBeCloseTo(Number(theirs.data[index]), 5);
          });
        }
      }
    },
  );

  it('are apart by weight decay, by what divides their size, and where they would be too large', () => {
    const parameters: ParameterShape[] = [
      { key: 'large', shape: [8192, 4096] },
      { key: 'matrix', shape: [64, 64] },
      { key: 'narrow', shape: [3, 64] },
      { key: 'odd', shape: [3, 5] },
      { key: 'other', shape: [128, 64] },
      { key: 'bias', shape: [64] },
      { key: 'class bias', shape: [7] },
    ];
    const groups = stateGroups(parameters, Number.POSITIVE_INFINITY);
    expect(groups.map(({ name, shape, members }) => [name, shape, members.map(({ key }) => key)])).toEqual([
      ['shared_with_decay_4096_0', [8192, 4096], ['large']],
      ['shared_with_decay_4096_1', [3, 4096], ['matrix', 'other']],
      ['shared_with_decay_64_0', [3, 64], ['narrow']],
      ['shared_with_decay_1_0', [15, 1], ['odd']],
      ['shared_without_decay_64_0', [1, 64], ['bias']],
      ['shared_without_decay_1_0', [7, 1], ['class bias']],
    ]);
    expect(stateGroups(parameters, 1000).map(({ name }) => name)).toEqual([
      'large',
      'matrix',
      'other',
      'shared_with_decay_64_0',
      'shared_with_decay_1_0',
      'shared_without_decay_64_0',
      'shared_without_decay_1_0',
    ]);
  });

  it('start from values, and are saved, by their own names', async () => {
    const { session } = await openTraining(worker, shared(Number.POSITIVE_INFINITY));
    const start = startValues(pooledSpec().parameters, 0);
    expect(await session.readState(Object.keys(start))).toEqual(start);
  });
});
