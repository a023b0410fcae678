/** @file Training steps against PyTorch, and independence of K, padding, other rows and restarts. */

import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serializeModel } from '../../src/engine/onnx/index.js';
import { type SessionWorker, startSessionWorker } from '../../src/engine/runtime/index.js';
import { float32, int64, readSafetensors, type Tensor, tensor } from '../../src/engine/tensor/index.js';
import {
  type Batch,
  buildTrainingGraph,
  type GraphInput,
  secondMomentName,
  stackBatches,
} from '../../src/engine/training/index.js';
import { largestError, type ParityError, parityError, recordParity } from '../parity/figures.js';
import {
  inputs,
  openTraining,
  parameters,
  pooledSpec,
  randomBatch,
  randomBatches,
  relativeError,
  stateNames,
  type Training,
  takeSteps,
  takeStepsIn,
} from './training-model.js';

let folder: string;
let worker: SessionWorker;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'emoq-training-'));
  worker = startSessionWorker();
});
afterAll(async () => {
  await worker.close();
  await rm(folder, { recursive: true, force: true });
});

/** All parameters and moments, as the bytes of a saved file. */
async function savedState({ session }: Training, name: string): Promise<Buffer> {
  const path = join(folder, `${name}.safetensors`);
  await session.saveState(path, stateNames(), {});
  return readFile(path);
}

const values = ({ data }: Tensor): ArrayLike<number> => data as Float32Array;

describe('training steps', async () => {
  const fixture = await readSafetensors(new URL('../fixtures/adamw.safetensors', import.meta.url).pathname);
  const expected = (key: string): Tensor => fixture.tensors.get(key)!;
  const { settings } = JSON.parse(fixture.metadata.reference!) as { settings: Record<string, number> };
  const setting = (key: string): number => settings[key]!;
  const steps = setting('steps');
  const batches = Array.from({ length: steps }, (_, step): Batch => {
    const [x, mask, target] = ['x', 'mask', 'target'].map((name) => expected(`batch/${step}/${name}`)) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    const [batch, length] = x.shape as [number, number];
    return { tensors: { x, mask, target }, sizes: { batch, length } };
  });
  const spec = {
    ...pooledSpec(),
    optimizer: {
      beta1: setting('beta1'),
      beta2: setting('beta2'),
      epsilon: setting('epsilon'),
      weightDecay: setting('weight_decay'),
      clipNorm: setting('clip_norm'),
    },
    schedule: { warmupSteps: setting('warmup_steps'), totalSteps: setting('total_steps') },
  };
  const open = (): Promise<Training> =>
    openTraining(
      worker,
      spec,
      Object.fromEntries(parameters.map(({ key }) => [key, expected(`start/${key}`)])),
    );

  it("are PyTorch's AdamW with its clipping by norm and our schedule, parameters and moments alike", async () => {
    const training = await open();
    const rate = setting('rate');
    let done = 0;
    const worst: Record<string, number> = {};
    const stateErrors: ParityError[] = [];
    for (const mark of [1, steps / 2, steps]) {
      const outputs = await takeSteps(training, batches.slice(done, mark), { firstStep: done, rate });
      for (const name of training.graph.reported) {
        const wanted = values(expected(name));
        const error = relativeError(values(outputs[name]!), Array.from(wanted).slice(done, mark));
        worst[name] = Math.max(worst[name] ?? 0, error);
      }
      const state = await training.session.readState(stateNames());
      for (const [name, value] of Object.entries(state)) {
        const error = parityError(value, expected(`after/${mark}/${name}`));
        worst[name] = Math.max(worst[name] ?? 0, error.relative);
        stateErrors.push(error);
      }
      done = mark;
    }
    for (const [name, error] of Object.entries(worst)) expect(error, name).toBeLessThan(1e-5);
    recordParity({
      model: 'AdamW, clipping and schedule',
      shape: 'a pooled MLP, 20 batches of different sizes',
      dtype: 'float32, reference in float64',
      quantity: 'parameters and moments after 1, 10 and 20 steps',
      ...largestError(stateErrors),
    });
    const norms = Array.from(values(expected('gradient_norm')));
    expect(Math.min(...norms)).toBeLessThan(setting('clip_norm'));
    expect(Math.max(...norms)).toBeGreaterThan(setting('clip_norm'));
  });

  it('clip nothing where the norm to clip at is 0', async () => {
    const first = batches.slice(0, 1);
    const stateAfter = async (clipNorm: number): Promise<Buffer> => {
      const optimizer = { ...spec.optimizer, clipNorm };
      const training = await openTraining(worker, { ...spec, optimizer });
      await takeSteps(training, first);
      return savedState(training, `clip-${clipNorm}`);
    };
    const unclipped = await stateAfter(0);
    expect(await stateAfter(1e6)).toEqual(unclipped);
    expect(await stateAfter(0.1)).not.toEqual(unclipped);
  });

  it('take some parameters along with a rate of their own, weight decay included', async () => {
    const own = new Set(spec.parameters.filter((_, index) => index % 2 === 0).map(({ key }) => key));
    const stateAfter = async (factor: number, rate: number): Promise<Record<string, Tensor>> => {
      const factored = spec.parameters.map((each) =>
        own.has(each.key) ? { ...each, rateFactor: factor } : each,
      );
      const training = await openTraining(worker, {
        ...{ ...spec, parameters: factored, sharedBelow: Number.POSITIVE_INFINITY },
        schedule: { warmupSteps: 0, totalSteps: 10 },
      });
      await takeSteps(training, batches.slice(0, 1), { rate });
      return training.session.readState(spec.parameters.map(({ key }) => key));
    };
    const [mixed, slow, fast] = [
      await stateAfter(20, 1e-3),
      await stateAfter(1, 1e-3),
      await stateAfter(1, 2e-2),
    ];
    for (const { key } of spec.parameters) {
      const [same, different] = own.has(key) ? [fast, slow] : [slow, fast];
      expect(relativeError(values(mixed[key]!), values(same[key]!)), key).toBeLessThan(1e-6);
      expect(relativeError(values(mixed[key]!), values(different[key]!)), key).toBeGreaterThan(1e-4);
    }
  });

  it('follow a rate that falls from the first step without warm-up, and is never below zero', async () => {
    const training = await openTraining(worker, { ...spec, schedule: { warmupSteps: 0, totalSteps: 4 } });
    const { learning_rate_used: rates } = await takeSteps(training, batches.slice(0, 6), { rate: 1 });
    expect(Array.from(values(rates!))).toEqual([1, 0.75, 0.5, 0.25, 0, 0]);
  });
});

describe('the number of steps in a run of the graph', () => {
  const batches = randomBatches(16);

  it('changes no bit of losses, parameters and moments, with dropout on', async () => {
    const spec = pooledSpec(0.2);
    const groupings = { ones: Array<number>(16).fill(1), eights: [8, 8], mixed: [3, 1, 7, 5] };
    const results = [];
    for (const [name, runs] of Object.entries(groupings)) {
      const training = await openTraining(worker, spec);
      results.push({
        series: await takeStepsIn(training, batches, runs),
        state: await savedState(training, name),
      });
    }
    const [ones, ...others] = results;
    expect(new Set(ones!.series.loss).size).toBe(16);
    for (const other of others) {
      expect(other.series).toEqual(ones!.series);
      expect(other.state.equals(ones!.state)).toBe(true);
    }
  });
});

describe('padding', () => {
  const small = randomBatch(2, 3, 1);
  const large = randomBatch(5, 7, 2);

  it('by larger neighbours in the stack changes no bit of a loss', async () => {
    const losses = [];
    for (const neighbours of [[], [large], [randomBatch(1, 2, 3), large]]) {
      const training = await openTraining(worker, pooledSpec());
      const { loss, gradient_norm } = await takeSteps(training, [small, ...neighbours]);
      losses.push([values(loss!)[0], values(gradient_norm!)[0]]);
    }
    expect(losses[1]).toEqual(losses[0]);
    expect(losses[2]).toEqual(losses[0]);
  });

  it('within a batch, under the mask, changes a loss by rounding only', async () => {
    const { x, mask, target } = small.tensors;
    const further = 9;
    const noisy = tensor('float32', [2, further, 4], new Float32Array(2 * further * 4).fill(9));
    const wider = int64([2, further], new Array(2 * further).fill(0));
    for (let row = 0; row < 2; row++) {
      noisy.data.set((x!.data as Float32Array).subarray(row * 12, (row + 1) * 12), row * further * 4);
      wider.data.set((mask!.data as BigInt64Array).subarray(row * 3, (row + 1) * 3), row * further);
    }
    const padded = {
      tensors: { x: noisy, mask: wider, target: target! },
      sizes: { batch: 2, length: further },
    };
    const results = [];
    for (const batch of [small, padded]) {
      results.push(await takeStepsIn(await openTraining(worker, pooledSpec()), [batch, large], [2]));
    }
    for (const name of ['loss', 'gradient_norm']) {
      expect(relativeError(results[1]![name]!, results[0]![name]!), name).toBeLessThan(1e-6);
    }
  });
});

describe('a run', () => {
  // Large enough that products and sums are split among threads.
  const batches = [1, 2, 3].map((seed) => randomBatch(48, 96, seed));
  const options = { largest: { batch: 48, length: 96 } };
  const stateOf = async (name: string, seed: number): Promise<Buffer> => {
    const training = await openTraining(worker, pooledSpec(0.1), undefined, 2);
    await takeStepsIn(training, batches, [3], { ...options, seed });
    return savedState(training, name);
  };

  it('gives the same bytes again with the same seed, and others with another', async () => {
    const first = await stateOf('first', 1);
    expect((await stateOf('again', 1)).equals(first)).toBe(true);
    expect((await stateOf('other', 2)).equals(first)).toBe(false);
  });

  it('that is stopped and resumed from its saved state ends with the bytes of one that is not', async () => {
    const whole = await openTraining(worker, pooledSpec(0.1));
    await takeStepsIn(whole, batches, [1, 2], options);
    const begun = await openTraining(worker, pooledSpec(0.1));
    await takeStepsIn(begun, batches.slice(0, 1), [1], options);
    await savedState(begun, 'begun');
    const resumed = await openTraining(worker, pooledSpec(0.1), {});
    await resumed.session.loadState(join(folder, 'begun.safetensors'));
    await takeStepsIn(resumed, batches.slice(1), [2], { ...options, firstStep: 1 });
    expect((await savedState(resumed, 'resumed')).equals(await savedState(whole, 'whole'))).toBe(true);
  });

  it('leaves a parameter that the loss does not reach to its decay, finite', async () => {
    const unused = { key: 'unused', shape: [2, 2] };
    const training = await openTraining(worker, { ...pooledSpec(), parameters: [...parameters, unused] });
    const before = (await training.session.readState(['unused'])).unused!;
    await takeSteps(training, batches.slice(0, 1), { ...options, rate: 0.3 });
    const { unused: after, [secondMomentName('unused')]: moment } = await training.session.readState([
      'unused',
      secondMomentName('unused'),
    ]);
    // Warm-up: a third of 0.3, so 1 - 0.1 * 0.01 of it is kept.
    expect(
      relativeError(
        values(after!),
        Array.from(values(before), (value) => 0.999 * value),
      ),
    ).toBeLessThan(1e-6);
    expect(Array.from(values(moment!))).toEqual([0, 0, 0, 0]);
  });
});

describe('stacking', () => {
  const declared: GraphInput[] = [
    { name: 'ids', dtype: 'int64', shape: ['batch', 'length'] },
    { name: 'scale', dtype: 'float32', shape: [2] },
  ];
  const batch = (length: number, first: number): Batch => ({
    tensors: {
      ids: int64(
        [1, length],
        Array.from({ length }, (_, at) => first + at),
      ),
      scale: float32([2], [first, 0.5]),
    },
    sizes: { batch: 1, length },
  });

  it('pads with zeros to the largest and tells the sizes', () => {
    expect(stackBatches(declared, [batch(1, 5), batch(3, 7)])).toEqual({
      ids: int64([2, 1, 3], [5, 0, 0, 7, 8, 9]),
      scale: float32([2, 2], [5, 0.5, 7, 0.5]),
      batch_sizes: int64([3, 2], [0, 0, 1, 1, 1, 3]),
    });
  });

  it('pads every axis that differs', () => {
    const { x, batch_sizes } = stackBatches(inputs, [randomBatch(1, 2, 1), randomBatch(2, 3, 2)]);
    expect(x!.shape).toEqual([2, 2, 3, 4]);
    const first = Array.from(values(x!)).slice(0, 24);
    const own = Array.from(values(randomBatch(1, 2, 1).tensors.x!));
    expect(first).toEqual([...own, ...Array(16).fill(0)]);
    expect(batch_sizes).toEqual(int64([3, 2], [0, 0, 1, 2, 2, 3]));
  });

  it('refuses a batch that does not match its sizes, or is incomplete', () => {
    const good = batch(2, 1);
    const { ids, scale } = good.tensors;
    const refused = (wrong: Batch, message: string): void =>
      expect(() => stackBatches(declared, [good, wrong])).toThrow(message);
    refused({ ...good, tensors: { ids: ids! } }, 'batch input scale should be float32 [2], got nothing');
    refused(
      { ...good, tensors: { ids: float32([1, 2], [1, 2]), scale: scale! } },
      'batch input ids should be int64 [1, 2], got float32 [1, 2]',
    );
    refused(
      { ...good, sizes: { batch: 1, length: 3 } },
      'batch input ids should be int64 [1, 3], got int64 [1, 2]',
    );
    refused({ ...good, sizes: { batch: 1 } }, 'a batch does not say its size of length');
  });
});

const python = process.env.EMOQ_PYTHON;
if (python === undefined) {
  console.log('onnx.checker of a training graph skipped: EMOQ_PYTHON names no Python with the onnx package');
}

describe('the training graph', () => {
  it('names its inputs and outputs as documented', async () => {
    const { session } = await openTraining(worker, pooledSpec(0.1));
    const keys = parameters.map(({ key }) => key);
    const state = stateNames();
    const fed = ['learning_rate', 'step', 'x', 'mask', 'target', 'batch_sizes'];
    expect(new Set(session.inputNames)).toEqual(
      new Set([...fed, ...state, 'dropout_pool_0.1', 'dropout_windows']),
    );
    expect(session.outputNames).toEqual([
      ...state.map((name) => `updated/${name}`),
      ...['loss', 'gradient_norm', 'learning_rate_used'],
    ]);
    expect(state.slice(0, keys.length)).toEqual(keys);
  });

  it.skipIf(python === undefined)('passes the checker of the onnx package', async () => {
    const path = join(folder, 'training_model.onnx');
    await writeFile(path, serializeModel(buildTrainingGraph(pooledSpec(0.1)).graph));
    const script = 'import onnx, sys; onnx.checker.check_model(sys.argv[1], full_check=True)';
    execFileSync(python!, ['-c', script, path], { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });
  });
});
