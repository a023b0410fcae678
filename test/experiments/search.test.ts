/** @file The parts of a search: Sobol' points as scipy makes them, values of a space, and median stopping by hand. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { MOST_DIMENSIONS, shiftedSobolPoint, sobolPoint } from '../../src/experiments/search/sobol.js';
import { readSpace, type SearchSpace, trialValues, valueAt } from '../../src/experiments/search/space.js';
import { medianThresholds } from '../../src/experiments/search/trials.js';
import { hopelessAfter } from '../../src/experiments/stop-rule.js';

/** From test/reference/sobol.py. */
const reference = JSON.parse(readFileSync(new URL('../fixtures/sobol.json', import.meta.url), 'utf8')) as {
  bits: number;
  cases: { dimensions: number; points: number[][] }[];
};

const folder = mkdtempSync(join(tmpdir(), 'emoq-space-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe("Sobol' points", () => {
  it.each(reference.cases)("in $dimensions dimensions are scipy's", ({ dimensions, points }) => {
    expect(points.map((_, index) => sobolPoint(index, dimensions))).toEqual(points);
  });

  it('are in another place with each seed, and spread as evenly: one in each of 16 intervals', () => {
    const first = [1, 2, 3].map((seed) => shiftedSobolPoint(0, 2, seed).join());
    expect(new Set(first).size).toBe(3);
    for (const seed of [1, 2, 3]) {
      const points = Array.from({ length: 16 }, (_, index) =>
        shiftedSobolPoint(index, MOST_DIMENSIONS, seed),
      );
      for (let dimension = 0; dimension < MOST_DIMENSIONS; dimension++) {
        const intervals = points.map((point) => Math.floor(16 * point[dimension]!));
        expect(intervals.sort((a, b) => a - b)).toEqual(Array.from({ length: 16 }, (_, at) => at));
      }
    }
  });
});

describe('a search space', () => {
  const spaceOf = (text: string): Promise<SearchSpace> => {
    const path = join(folder, 'space.yaml');
    writeFileSync(path, text);
    return readSpace(path, 'linear-probe');
  };

  it('has values of every kind, at both ends and between', async () => {
    const space = await spaceOf(
      'probe.learning_rate: {log: [1e-4, 1e-2]}\nprobe.weight_decay: {uniform: [0, 0.5]}\nprobe.epochs: {int: [3, 5]}\nprobe.hidden: {choice: [0, 16, 64]}\nencoder.layers: {choice: [last, [1, 2]]}\n',
    );
    expect([...space.keys()]).toEqual([
      ...['probe.learning_rate', 'probe.weight_decay', 'probe.epochs', 'probe.hidden', 'encoder.layers'],
    ]);
    const at = (place: number): unknown[] => [...space.values()].map((range) => valueAt(range, place));
    expect(at(0)).toEqual([1e-4, 0, 3, 0, 'last']);
    expect(at(0.5)).toEqual([1e-3, 0.25, 4, 16, [1, 2]]);
    expect(at(1 - 2 ** -30)).toEqual([1e-2, 0.5, 5, 64, [1, 2]]);
    expect(valueAt({ uniform: [0, 1] }, 0.123456)).toBe(0.1235);
  });

  it('gives a trial the same values however many there are, and others with another seed or sampler', async () => {
    const space = await spaceOf('probe.learning_rate: {log: [1e-4, 1e-2]}\nprobe.epochs: {int: [1, 100]}\n');
    const values = (sampler: 'sobol' | 'random', seed: number) =>
      [1, 2, 3, 4].map((trial) => JSON.stringify(trialValues(space, sampler, seed, trial)));
    expect(values('sobol', 1)).toEqual(values('sobol', 1));
    expect(
      new Set([...values('sobol', 1), ...values('sobol', 2), ...values('random', 1), ...values('random', 2)])
        .size,
    ).toBe(16);
  });

  it.each([
    ['', 'a search space has a line for each recipe key'],
    ['- a', 'a search space has a line for each recipe key'],
    ['probe.lerning_rate: {log: [1, 2]}', 'probe.lerning_rate: is no key of recipes of system linear-probe'],
    ['probe: {epochs: {int: [1, 2]}}', 'probe: is a section; write keys with dots, such as probe.hidden'],
    ['seed: {int: [1, 5]}', 'seed: decides what trials are compared by'],
    ['probe.select: {choice: [wa, ua]}', 'probe.select: decides what trials are compared by'],
    ['probe.epochs: 3', 'probe.epochs: must be one of {choice: [a, b, ...]}'],
    ['probe.epochs: null', 'must be one of'],
    ['probe.epochs: {int: [5, 3]}', 'probe.epochs: int needs two whole numbers, the lower one first'],
    ['probe.epochs: {int: [1.5, 3]}', 'int needs two whole numbers'],
    ['probe.epochs: {int: [1, 2, 3]}', 'int needs two whole numbers'],
    ['probe.learning_rate: {log: [0, 1]}', 'log needs two numbers above 0'],
    ['probe.learning_rate: {log: [a, 1]}', 'log needs two numbers above 0'],
    ['probe.weight_decay: {uniform: [1, 1]}', 'uniform needs two numbers, the lower one first'],
    ['probe.learning_rate: {choice: [1]}', 'choice needs two values or more'],
    ['probe.learning_rate: {range: [1, 2]}', 'must be one of'],
    ['probe.learning_rate: {log: [1e-4, 1e-2], int: [1, 2]}', 'must be one of'],
    ['probe.epochs: {int: [1, 2]', 'line 1, column'],
  ])('is refused as %j', async (text, message) => {
    await expect(spaceOf(text)).rejects.toThrow(message);
  });
});

it('a search space has no keys of phases that are not trained', async () => {
  const path = join(folder, 'stages.yaml');
  writeFileSync(
    path,
    'stage1.learning_rate: {log: [1e-4, 1e-2]}\nstage2.learning_rate: {log: [1e-4, 1e-2]}\n',
  );
  expect((await readSpace(path, 'emoq')).size).toBe(2);
  await expect(readSpace(path, 'emoq', ['stage2'])).rejects.toThrow(
    'stage2.learning_rate: changes nothing, because stage2 is not trained',
  );
});

describe('median stopping', () => {
  const trials = [
    [0.2, 0.4, 0.6],
    [0.5, 0.5, 0.5],
    [0.1, 0.9],
    [0.3, null, 0.9],
  ].map((figures) => ({ figures }));

  it('compares with the median of running averages, of a trial that ended early with its last one', () => {
    // Running averages: 0.2 0.3 0.4; 0.5 0.5 0.5; 0.1 0.5 0.5; 0.3 0.3 0.6.
    const found = medianThresholds(trials, 4);
    expect(found.slice(0, 3).map((each) => Number(each!.toFixed(9)))).toEqual([0.25, 0.4, 0.5]);
    expect(found[3]).toBeNull(); // after the last epoch there is nothing to stop
    expect(medianThresholds(trials.slice(0, 2), 3)).toEqual([null, null, null]);
  });

  it('stops where the best so far is worse, and not where it is equal', () => {
    const rule = { higherIsBetter: true, thresholds: [0.25, 0.4, 0.5, null] };
    expect(hopelessAfter(rule, [0.24])).toBe(1);
    expect(hopelessAfter(rule, [0.25, 0.1])).toBe(2);
    expect(hopelessAfter(rule, [0.5, 0.1, 0.1, 0])).toBeUndefined();
    expect(hopelessAfter(rule, [null])).toBe(1);
    const loss = { higherIsBetter: false, thresholds: [0.25, 0.2] };
    expect(hopelessAfter(loss, [0.25, 0.3])).toBe(2);
    expect(hopelessAfter(loss, [0.1, 0.9])).toBeUndefined();
  });
});
