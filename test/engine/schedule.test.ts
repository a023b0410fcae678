/** @file The course of the learning rate, against the schedules of transformers. */

import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { addInput, addOutput, createGraph, serializeModel } from '../../src/engine/onnx/index.js';
import { startSessionWorker } from '../../src/engine/runtime/index.js';
import { float32, int64 } from '../../src/engine/tensor/index.js';
import { type Schedule, scheduledRate, scheduleShapes } from '../../src/engine/training/index.js';
import { openTraining, pooledSpec, randomBatches, stateNames, takeStepsIn } from './training-model.js';

type Case = { warmup: number; total: number } & Record<(typeof scheduleShapes)[number], number[]>;

const { cases } = JSON.parse(readFileSync(new URL('../fixtures/schedule.json', import.meta.url), 'utf8')) as {
  cases: Case[];
};

const worker = startSessionWorker();
afterAll(() => worker.close());

/** The rate of each step from a base of 1, as the training graph computes it. */
async function rates(schedule: Schedule, steps: readonly number[]): Promise<number[]> {
  const graph = createGraph('schedule');
  const base = addInput(graph, 'base', 'float32', []);
  const step = addInput(graph, 'step', 'int64', []);
  addOutput(graph, scheduledRate(base, step, schedule), 'rate');
  const session = await worker.open(serializeModel(graph), { device: { kind: 'cpu' }, threads: 1 }, []);
  const found: number[] = [];
  for (const each of steps) {
    const { rate } = await session.run({ base: float32([], [1]), step: int64([], [each]) });
    found.push(Number(rate!.data[0]));
  }
  return found;
}

describe.each(cases)('with $warmup of $total steps of warm-up, the schedule', (reference) => {
  const { warmup, total } = reference;

  it.each(scheduleShapes)('%s is that of transformers, a step earlier in warm-up', async (shape) => {
    const expected = reference[shape];
    const steps = [...Array(total + 1).keys()];
    const found = await rates({ warmupSteps: warmup, totalSteps: total, shape }, steps);
    for (const step of steps) {
      const same = expected[step < warmup ? step + 1 : step]!;
      // The last step of warm-up has the full rate, whatever comes after it.
      const wanted = step === warmup - 1 ? 1 : same;
      expect(Math.abs(found[step]! - wanted), `step ${step}`).toBeLessThan(1e-12);
    }
  });

  it.each(['linear', 'cosine'] as const)('%s stays at zero after the last step', async (shape) => {
    const beyond = [total + 1, total + 2, total + 10];
    expect(await rates({ warmupSteps: warmup, totalSteps: total, shape }, beyond)).toEqual([0, 0, 0]);
  });

  it('is linear unless it says otherwise', async () => {
    const steps = [...Array(total + 2).keys()];
    const bare = { warmupSteps: warmup, totalSteps: total };
    expect(await rates(bare, steps)).toEqual(await rates({ ...bare, shape: 'linear' }, steps));
  });
});

describe('a run with a cosine schedule', () => {
  it('ends with the same bytes and reports the same rates in any grouping of steps, and stopped halfway', async () => {
    const batches = randomBatches(12);
    const spec = {
      ...pooledSpec(0.2),
      schedule: { warmupSteps: 2, totalSteps: 12, shape: 'cosine' },
    } as const;
    const results = [];
    for (const runs of [[12], [1, 4, 7], Array<number>(12).fill(1)]) {
      const training = await openTraining(worker, spec);
      const { learning_rate_used: used } = await takeStepsIn(training, batches, runs, { rate: 1 });
      results.push({ used, state: await training.session.readState(stateNames()) });
    }
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
    const [halfway, end] = [results[0]!.used![7]!, results[0]!.used![11]!];
    expect(Math.abs(halfway - 0.5)).toBeLessThan(1e-6);
    expect(Math.abs(end - (1 + Math.cos(Math.PI * 0.9)) / 2)).toBeLessThan(1e-6);
  });
});
