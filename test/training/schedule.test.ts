/**
 * @file The order of examples: each once per epoch, a different order in each epoch, the same order for the same seed.
 */

import { describe, expect, it } from 'vitest';
import { planSteps } from '../../src/training/batches.js';

const settings = { epochs: 3, batchSize: 4, warmupFraction: 0.1, seed: 5 };
const epochOf = (plan: ReturnType<typeof planSteps>, epoch: number): number[][] =>
  Array.from({ length: plan.stepsPerEpoch }, (_, step) => [
    ...plan.batchOf(epoch * plan.stepsPerEpoch + step),
  ]);

describe('the steps of a run', () => {
  it('take every example once in each epoch, the last batch with what is left', () => {
    const plan = planSteps(11, settings);
    expect(plan).toMatchObject({ stepsPerEpoch: 3, totalSteps: 9 });
    for (const epoch of [0, 1, 2]) {
      const batches = epochOf(plan, epoch);
      expect(batches.map(({ length }) => length)).toEqual([4, 4, 3]);
      expect(batches.flat().sort((a, b) => a - b)).toEqual([...Array(11).keys()]);
    }
  });

  it('have no empty batch where the batch size divides the count, and one where it exceeds it', () => {
    expect(planSteps(12, settings).stepsPerEpoch).toBe(3);
    const single = planSteps(3, { ...settings, batchSize: 8 });
    expect(single).toMatchObject({ stepsPerEpoch: 1, totalSteps: 3 });
    expect([...single.batchOf(2)].sort()).toEqual([0, 1, 2]);
  });

  it('have another order in every epoch and for every seed, none of them the order of the manifest', () => {
    const orders = [5, 6].flatMap((seed) => {
      const plan = planSteps(40, { ...settings, seed });
      return [0, 1, 2].map((epoch) => epochOf(plan, epoch).flat().join());
    });
    expect(new Set([...orders, [...Array(40).keys()].join()]).size).toBe(7);
  });

  it('are a function of seed and step, whatever was asked before', () => {
    const [forwards, backwards] = [planSteps(11, settings), planSteps(11, settings)];
    const steps = [...Array(9).keys()];
    const inOrder = steps.map((step) => forwards.batchOf(step));
    const reversed = [...steps].reverse().map((step) => backwards.batchOf(step));
    expect(reversed.reverse()).toEqual(inOrder);
    expect(forwards.batchOf(0)).toEqual(inOrder[0]);
  });

  it('spread examples evenly over the batches of an epoch', () => {
    // Mean position of example 0 over 400 epochs of 10 steps: 4.5, with a standard deviation of 2.87 / 20.
    const plan = planSteps(40, { ...settings, epochs: 400 });
    let places = 0;
    for (let epoch = 0; epoch < 400; epoch++) {
      places += epochOf(plan, epoch).findIndex((batch) => batch.includes(0));
    }
    expect(Math.abs(places / 400 - 4.5)).toBeLessThan(0.6);
  });

  it('warm up over their share, rounded', () => {
    expect(planSteps(40, settings).warmupSteps).toBe(3); // 30 steps
    expect(planSteps(11, { ...settings, warmupFraction: 0 }).warmupSteps).toBe(0);
    expect(planSteps(11, { ...settings, warmupFraction: 1 }).warmupSteps).toBe(9);
    expect(planSteps(11, { ...settings, warmupFraction: 0.25 }).warmupSteps).toBe(2); // 2.25
  });
});
