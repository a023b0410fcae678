/** @file Averages of the weights over the steps of a run, against a calculation by hand from the weights of each step. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { reduceSum } from '../../src/engine/onnx/index.js';
import { type SessionWorker, startSessionWorker } from '../../src/engine/runtime/index.js';
import { float32Of, type Tensor } from '../../src/engine/tensor/index.js';
import {
  averageName,
  evaluationFeeds,
  evaluationName,
  evaluationOutputs,
  noEvaluationFeeds,
  type WeightAverage,
} from '../../src/engine/training/index.js';
import {
  inputs,
  openTraining,
  parameters,
  pooledSpec,
  randomBatches,
  relativeError,
  stateNames,
  takeSteps,
  takeStepsIn,
} from './training-model.js';

let worker: SessionWorker;
beforeAll(() => {
  worker = startSessionWorker();
});
afterAll(() => worker.close());

const STEPS = 10;
const batches = randomBatches(STEPS);
const keys = parameters.map(({ key }) => key);
const names = [...stateNames(), ...keys.map(averageName)];

/** Shares of the steps in the average after the last of them, by their definitions. */
const shares: Record<string, { average: WeightAverage; of: readonly number[] }> = {
  'that fades by 0.8': {
    average: { kind: 'ema', decay: 0.8 },
    of: normalized(Array.from({ length: STEPS }, (_, step) => 0.8 ** (STEPS - 1 - step))),
  },
  'of the steps from 6 on': {
    average: { kind: 'from', step: 6 },
    of: normalized(Array.from({ length: STEPS }, (_, step) => (step >= 6 ? 1 : 0))),
  },
  'of all steps': { average: { kind: 'from', step: 0 }, of: Array<number>(STEPS).fill(1 / STEPS) },
  'of no step yet': {
    average: { kind: 'from', step: STEPS + 3 },
    of: Array.from({ length: STEPS }, (_, step) => (step === STEPS - 1 ? 1 : 0)),
  },
};

function normalized(weights: readonly number[]): number[] {
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

/** The weights after each step. */
async function trajectory(): Promise<Record<string, Tensor>[]> {
  const training = await openTraining(worker, pooledSpec(0.2));
  const found: Record<string, Tensor>[] = [];
  for (const [firstStep, batch] of batches.entries()) {
    await takeSteps(training, [batch], { firstStep });
    found.push(await training.session.readState(keys));
  }
  return found;
}

describe.each(Object.entries(shares))('the average %s', (_, { average, of }) => {
  it.each([0, Number.POSITIVE_INFINITY])(
    'is the weighted mean of the weights, shared below %d',
    async (sharedBelow) => {
      const training = await openTraining(worker, { ...pooledSpec(0.2), average, sharedBelow });
      await takeSteps(training, batches);
      const state = await training.session.readState(names);
      const weights = await trajectory();
      for (const key of keys) {
        const last = float32Of(weights.at(-1)![key]!);
        const mean = last.map((_, i) =>
          of.reduce((sum, share, step) => sum + share * float32Of(weights[step]![key]!)[i]!, 0),
        );
        expect(relativeError(float32Of(state[averageName(key)]!), mean), key).toBeLessThan(2e-6);
        // The weights themselves train as they do without an average.
        if (sharedBelow === 0) expect(state[key], key).toEqual(weights.at(-1)![key]);
      }
    },
  );

  it('has the same bytes in any grouping of the steps', async () => {
    const results = [];
    for (const runs of [[STEPS], [1, 6, 3], Array<number>(STEPS).fill(1)]) {
      const training = await openTraining(worker, { ...pooledSpec(0.2), average });
      await takeStepsIn(training, batches, runs);
      results.push(await training.session.readState(names));
    }
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
  });
});

describe('an average before its first step', () => {
  it('is the weights themselves, to the bit', async () => {
    const average: WeightAverage = { kind: 'from', step: 7 };
    const training = await openTraining(worker, { ...pooledSpec(0.2), average });
    await takeSteps(training, batches.slice(0, 7));
    const state = await training.session.readState(names);
    for (const key of keys) expect(state[averageName(key)], key).toEqual(state[key]);
    await takeSteps(training, batches.slice(7), { firstStep: 7 });
    const after = await training.session.readState(names);
    for (const key of keys) expect(after[averageName(key)], key).not.toEqual(after[key]);
  });
});

describe('the evaluation of a training graph with an average', () => {
  it('computes with the average', async () => {
    const evaluation = {
      batch: [inputs[0]!],
      forward: ({
        parameters: own,
      }: {
        parameters: ReadonlyMap<string, Parameters<typeof reduceSum>[0]>;
      }) => ({
        total: reduceSum(own.get('hidden.weight')!, [0, 1]),
      }),
    };
    const average: WeightAverage = { kind: 'ema', decay: 0.8 };
    const training = await openTraining(worker, { ...pooledSpec(0), average, evaluation });
    await takeSteps(training, batches, { more: noEvaluationFeeds(training.graph) });
    const [{ tensors, sizes }] = batches as [(typeof batches)[0]];
    const feeds = evaluationFeeds(training.graph, inputs, [{ tensors: { x: tensors.x! }, sizes }]);
    const outputs = await training.session.evaluate(feeds, [evaluationName('total')]);
    const found = Number(evaluationOutputs(outputs, training.graph)[0]!.total!.data[0]);
    const state = await training.session.readState(names);
    const sum = (name: string): number => float32Of(state[name]!).reduce((total, value) => total + value, 0);
    expect(Math.abs(found - sum(averageName('hidden.weight')))).toBeLessThan(1e-5);
    expect(Math.abs(found - sum('hidden.weight'))).toBeGreaterThan(1e-3);
  });
});
