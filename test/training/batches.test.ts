/** @file Batch composition: similar lengths together, or every class equally often with a partner for each example. */

import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/engine/tensor/index.js';
import {
  balancedBatches,
  evenSplit,
  lengthBatches,
  pairedSplit,
  shuffledBatches,
} from '../../src/training/batches.js';
import { type BatchSetting, trainingBatches } from '../../src/training/step-sizes.js';

/** Counts of each value. */
function tally<T>(values: Iterable<T>): Map<T, number> {
  const counts = new Map<T, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

/** Share of padding in the batches: 1 - real / padded. */
function paddingShare(batches: readonly (readonly number[])[], lengths: readonly number[]): number {
  const padded = batches.map((batch) => batch.length * Math.max(...batch.map((index) => lengths[index]!)));
  const real = lengths.reduce((total, length) => total + length, 0);
  return 1 - real / padded.reduce((total, length) => total + length, 0);
}

describe('batches of like length', () => {
  const random = seededRandom(3);
  const lengths = Array.from({ length: 1003 }, () => Math.ceil(Math.exp(2 + 0.7 * random.normal())));
  const batches = lengthBatches(lengths, 8, 1);

  it('hold every example once in each epoch, in as many batches as plain ones', () => {
    for (const epoch of [0, 1]) {
      expect(batches(epoch)).toHaveLength(126);
      expect(
        batches(epoch)
          .flat()
          .sort((a, b) => a - b),
      ).toEqual([...lengths.keys()]);
      expect(tally(batches(epoch).map(({ length }) => length))).toEqual(
        new Map([
          [8, 125],
          [3, 1],
        ]),
      );
    }
  });

  it('have under a third of the padding of plain ones', () => {
    const plain = paddingShare(shuffledBatches(lengths.length, 8, 1)(0), lengths);
    expect(plain).toBeGreaterThan(0.4);
    expect(paddingShare(batches(0), lengths)).toBeLessThan(plain / 3);
  });

  it('stay random: other company in each epoch, long batches at any time, the same for the same seed', () => {
    const companions = (epoch: number): string[] =>
      batches(epoch).map((batch) => batch.toSorted((a, b) => a - b).join());
    const before = new Set(companions(0));
    expect(companions(1).filter((batch) => before.has(batch))).toEqual([]);
    const longest = [0, 1, 2, 3, 4, 5, 6, 7].map((epoch) => {
      const sizes = batches(epoch).map((batch) => Math.max(...batch.map((index) => lengths[index]!)));
      return sizes.indexOf(Math.max(...sizes)) / sizes.length;
    });
    expect(Math.min(...longest)).toBeLessThan(0.4);
    expect(Math.max(...longest)).toBeGreaterThan(0.6);
    expect(lengthBatches(lengths, 8, 1)(1)).toEqual(batches(1));
    expect(lengthBatches(lengths, 8, 2)(1)).not.toEqual(batches(1));
  });
});

describe("an experiment's batches of like length", () => {
  it('go by the lengths that are given', () => {
    const random = seededRandom(4);
    const examples = Array.from({ length: 40 }, () => ({
      inputs: { text: 5 + random.integer(90) },
      targets: {},
    }));
    const setting: BatchSetting = {
      recipe: { labels: [], seed: 1, max_audio_sec: 30 },
      settings: { batches: 'length', batch_size: 4 },
      train: examples.map(() => ({ label: '', durationSec: 2 })),
      readsAudio: true,
    };
    const made = trainingBatches(setting, examples)(0);
    const lengthsOf = examples.map(({ inputs }) => inputs.text);
    expect(made.flat().sort((a, b) => a - b)).toEqual([...examples.keys()]);
    expect(paddingShare(made, lengthsOf)).toBeLessThan(
      paddingShare(shuffledBatches(40, 4, 1)(0), lengthsOf) / 2,
    );
  });
});

describe('balanced batches', () => {
  // 60, 25, 7 and one example of four classes.
  const labels = [...Array(60).fill(0), ...Array(25).fill(2), ...Array(7).fill(3), 1] as number[];
  const batches = balancedBatches(labels, 8, 1);

  it('hold at least two of every class that is in them, and are all full', () => {
    for (const epoch of [0, 1, 2]) {
      expect(batches(epoch)).toHaveLength(12); // ceil(93 / 8), as for shuffled batches
      for (const batch of batches(epoch)) {
        expect(batch).toHaveLength(8);
        for (const count of tally(batch.map((index) => labels[index])).values()) {
          expect(count).toBeGreaterThanOrEqual(2);
        }
      }
    }
    for (const batch of balancedBatches(labels, 5, 1)(0)) {
      expect([...tally(batch.map((index) => labels[index])).values()].sort()).toEqual([2, 3]);
    }
  });

  it('draw all classes equally often', () => {
    expect(
      tally(
        batches(0)
          .flat()
          .map((index) => labels[index]!),
      ),
    ).toEqual(new Map([0, 2, 3, 1].map((label) => [label, 24])));
  });

  it('pair two different examples, and take every one of a class before one comes again', () => {
    const drawn = [0, 1, 2, 3, 4].flatMap((epoch) => batches(epoch).flat());
    const ofClass = (label: number): number[] => drawn.filter((index) => labels[index] === label);
    const large = ofClass(0); // 5 epochs of 24 are two passes over its 60
    expect(large).toHaveLength(120);
    for (const half of [large.slice(0, 60), large.slice(60)]) expect(new Set(half).size).toBe(60);
    expect(large.slice(0, 60)).not.toEqual(large.slice(60));
    const odd = ofClass(3).slice(0, 16); // 7 examples: 4 pairs a pass
    for (const pass of [odd.slice(0, 8), odd.slice(8)]) expect(new Set(pass).size).toBe(7);
    for (let place = 0; place < drawn.length; place += 2) {
      if (labels[drawn[place]!] === 1) continue;
      expect(drawn[place]).not.toBe(drawn[place + 1]);
      expect(labels[drawn[place]!]).toBe(labels[drawn[place + 1]!]);
    }
  });

  it('are a function of seed and epoch', () => {
    expect(balancedBatches(labels, 8, 1)(2)).toEqual(batches(2));
    expect(balancedBatches(labels, 8, 2)(2)).not.toEqual(batches(2));
    expect(batches(1)).not.toEqual(batches(0));
  });
});

describe('micro-batches', () => {
  const batch = (size: number): number[] => Array.from({ length: size }, (_, at) => 10 + at);
  const sizes = (parts: readonly (readonly number[])[]): number[] => parts.map(({ length }) => length);

  it.each([
    [8, 2, [2, 2, 2, 2]],
    [8, 3, [3, 3, 2]],
    [5, 4, [3, 2]], // the short batch at an epoch's end: not 4 and 1
    [3, 4, [3]],
    [3, 1, [1, 1, 1]],
    [1, 2, [1]],
  ])('of a batch of %i, at most %i: as few as that takes, of like size', (count, size, expected) => {
    const parts = evenSplit(size)(batch(count));
    expect(sizes(parts)).toEqual(expected);
    expect(parts.flat()).toEqual(batch(count));
  });

  it.each([
    [8, 4, [4, 4]],
    [8, 3, [2, 2, 2, 2]],
    [9, 3, [3, 2, 2, 2]],
    [9, 5, [5, 4]],
    [7, 2, [2, 1, 2, 2]], // three of the first class do not fit
    [4, 1, [1, 1, 1, 1]],
  ])('of a class-balanced batch of %i, at most %i: pairs stay together', (count, size, expected) => {
    const parts = pairedSplit(size)(batch(count));
    expect(sizes(parts)).toEqual(expected);
    expect(parts.flat()).toEqual(batch(count));
  });

  it('of class-balanced batches hold two or more of every class that is in them', () => {
    const labels = Array.from({ length: 90 }, (_, index) => (index < 60 ? 0 : index < 83 ? 1 : 2));
    for (const [batchSize, size] of [
      [8, 4],
      [9, 3],
      [16, 6],
    ] as const) {
      for (const whole of balancedBatches(labels, batchSize, 1)(0))
        for (const part of pairedSplit(size)(whole))
          for (const count of tally(part.map((index) => labels[index])).values())
            expect(count).toBeGreaterThanOrEqual(2);
    }
  });
});
