/** @file Dropout masks depend only on seed, step and site, and have the requested rate. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { constant, mul, reduceSum, type Value } from '../../src/engine/onnx/index.js';
import { type SessionWorker, startSessionWorker } from '../../src/engine/runtime/index.js';
import { float32 } from '../../src/engine/tensor/index.js';
import {
  type Batch,
  buildTrainingGraph,
  dropoutPools,
  dropoutWindows,
  type GraphInput,
  type TrainingSpec,
} from '../../src/engine/training/index.js';
import {
  openTraining,
  pooledSpec,
  type StepsOptions,
  settings,
  type Training,
  takeSteps,
} from './training-model.js';

const SIZE = 4096;
const batchInputs: GraphInput[] = [{ name: 'x', dtype: 'float32', shape: ['batch'] }];
const batch: Batch = { tensors: { x: float32([1], [1]) }, sizes: { batch: 1 } };
const largest = { batch: 1 };

let worker: SessionWorker;
beforeAll(() => {
  worker = startSessionWorker();
});
afterAll(() => worker.close());

/** A training graph that reports the result of dropout on 4096 ones at each site, by the site's name. */
function maskSpec(sites: Readonly<Record<string, number>>): TrainingSpec {
  return {
    ...settings,
    parameters: [{ key: 'w', shape: [SIZE] }],
    batch: batchInputs,
    step: ({ body, parameters, dropout }) => {
      const ones = constant(body, float32([SIZE], new Array(SIZE).fill(1)));
      const reported: Record<string, Value> = {};
      for (const [site, rate] of Object.entries(sites)) reported[site] = dropout(ones, rate, site);
      const loss = reduceSum(mul(parameters.get('w')!, Object.values(reported)[0]!));
      return { loss, reported };
    },
  };
}

const open = (sites: Readonly<Record<string, number>>): Promise<Training> =>
  openTraining(worker, maskSpec(sites));

/** Masks of one run of `count` steps: by site, one array per step. */
async function masks(
  training: Training,
  firstStep: number,
  count: number,
  options: StepsOptions = {},
): Promise<Record<string, Float32Array[]>> {
  const batches = Array<Batch>(count).fill(batch);
  const outputs = await takeSteps(training, batches, { batchInputs, largest, ...options, firstStep });
  const sites = training.graph.dropout.sites.map(({ name }) => name);
  return Object.fromEntries(
    sites.map((site) => {
      const all = outputs[site]!.data as Float32Array;
      return [site, Array.from({ length: count }, (_, step) => all.slice(step * SIZE, (step + 1) * SIZE))];
    }),
  );
}

const agreement = (a: Float32Array, b: Float32Array): number =>
  a.reduce((equal, value, i) => equal + (value === b[i] ? 1 : 0), 0) / a.length;

describe('a dropout mask', () => {
  const two = { first: 0.2, second: 0.2 };

  it('is the same at a step however the run got there', async () => {
    const eight = await masks(await open(two), 0, 8);
    const single = await open(two);
    for (let step = 0; step < 8; step++) {
      const one = await masks(single, step, 1);
      for (const site of Object.keys(two)) expect(one[site]![0]).toEqual(eight[site]![step]);
    }
    // As in a new process, with a new session that begins in the middle.
    const resumed = await masks(await open(two), 5, 3);
    for (const site of Object.keys(two)) expect(resumed[site]).toEqual(eight[site]!.slice(5));
  });

  it('differs between steps and sites as independent draws do', async () => {
    const training = await open(two);
    const drawn = await masks(training, 0, 8);
    const all = [...drawn.first!, ...drawn.second!];
    // Two masks agree if both keep (0.8 * 0.8) or both drop (0.2 * 0.2); 5 sigma of 4096 draws are 0.037.
    for (const [i, one] of all.entries()) {
      for (const other of all.slice(0, i)) expect(Math.abs(agreement(one, other) - 0.68)).toBeLessThan(0.04);
    }
  });

  it('differs between seeds', async () => {
    const training = await open(two);
    const [one, other] = [await masks(training, 0, 1), await masks(training, 0, 1, { seed: 8 })];
    expect(Math.abs(agreement(one.first![0]!, other.first![0]!) - 0.68)).toBeLessThan(0.04);
  });

  it('goes by the name of its site, not by its place among the others', async () => {
    const before = await masks(await open(two), 3, 1);
    const after = await masks(await open({ zeroth: 0.2, second: 0.2, first: 0.2 }), 3, 1);
    expect(after.first).toEqual(before.first);
    expect(after.second).toEqual(before.second);
  });

  it.each([0.1, 0.5])('drops a share of %s and keeps the mean', async (rate) => {
    const training = await open({ site: rate });
    const drawn = (await masks(training, 0, 64)).site!.flatMap((mask) => [...mask]);
    const kept = Math.fround(1 / (1 - rate));
    expect(new Set(drawn)).toEqual(new Set([0, kept]));
    const dropped = drawn.filter((value) => value === 0).length / drawn.length;
    // 64 windows of one pool of 65,536 draws: 4 sigma at rate 0.5 are 0.008.
    expect(Math.abs(dropped - rate)).toBeLessThan(0.008);
    const mean = drawn.reduce((sum, value) => sum + value, 0) / drawn.length;
    expect(Math.abs(mean - 1)).toBeLessThan(0.008 * kept);
  });

  it('has its own pool for each rate', async () => {
    const { low, high } = await masks(await open({ low: 0.1, high: 0.5 }), 0, 1);
    const dropped = (mask: Float32Array): number => mask.filter((value) => value === 0).length / SIZE;
    expect(Math.abs(dropped(low![0]!) - 0.1)).toBeLessThan(0.025);
    expect(Math.abs(dropped(high![0]!) - 0.5)).toBeLessThan(0.04);
  });

  it('is applied to the gradient too', async () => {
    const training = await open({ site: 0.2 });
    const mask = (await masks(training, 0, 1, { rate: 0 })).site![0]!;
    const { 'exp_avg/w': moment } = await training.session.readState(['exp_avg/w']);
    // loss = w . mask, so the gradient is the mask; clipped to norm 1, the first moment is a tenth of it.
    const norm = Math.hypot(...mask);
    (moment!.data as Float32Array).forEach((value, i) => {
      expect(value).toBeCloseTo((0.1 * mask[i]!) / norm, 6);
    });
  });
});

describe('dropout', () => {
  it('at rate 0 is nothing: no inputs, no nodes', () => {
    const [without, zero] = [pooledSpec(), maskSpec({ site: 0 })].map((spec) => buildTrainingGraph(spec));
    for (const { graph, dropout } of [without!, zero!]) {
      expect(graph.inputs.map(({ name }) => name).filter((name) => name.startsWith('dropout'))).toEqual([]);
      expect(dropout.sites).toEqual([]);
      expect(dropoutPools(dropout, 1, {})).toEqual({});
      expect(dropoutWindows(dropout, 1, 0, [{}], {})).toEqual({});
    }
  });

  it('refuses two sites of one name, which would share their masks', () => {
    const spec = maskSpec({});
    const step: TrainingSpec['step'] = (context) => {
      const w = context.parameters.get('w')!;
      const twice = context.dropout(context.dropout(w, 0.1, 'same'), 0.1, 'same');
      return { loss: reduceSum(twice), reported: {} };
    };
    expect(() => buildTrainingGraph({ ...spec, step })).toThrow('two dropout sites are called same');
  });

  it('refuses a batch beyond what its pools were made for', () => {
    const { dropout } = buildTrainingGraph(pooledSpec(0.1));
    const sizes = { batch: 5, length: 7 };
    expect(dropoutPools(dropout, 1, sizes)['dropout_pool_0.1']!.shape).toEqual([1024, 64]);
    const wide = { batch: 5, length: 4000 }; // the largest site has batch * length * 6 elements
    expect(dropoutPools(dropout, 1, wide)['dropout_pool_0.1']!.shape).toEqual([(4 * 5 * 4000 * 6) / 64, 64]);
    expect(() => dropoutWindows(dropout, 1, 0, [wide], sizes)).toThrow(
      'dropout site hidden is larger than the pools, made for {"batch":5,"length":7}',
    );
  });
});
