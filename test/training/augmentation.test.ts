/** @file Which variant an epoch reads: all equally often, by seed, epoch and utterance alone. */

import { describe, expect, it } from 'vitest';
import { variedBatches, withVariants } from '../../src/training/augmentation.js';
import { balancedBatches, shuffledBatches } from '../../src/training/batches.js';

const ids = Array.from({ length: 200 }, (_, i) => `u${i}`);
const plain = shuffledBatches(ids.length, 8, 1);
const varied = variedBatches(plain, ids, 3, 1);
/** The variant of every utterance in an epoch. */
const variantsIn = (batches: typeof varied, epoch: number): number[] => {
  const variants: number[] = [];
  for (const index of batches(epoch).flat()) variants[index % ids.length] = Math.floor(index / ids.length);
  return variants;
};

describe('batches with variants', () => {
  it('have the utterances of the batches without, in the same places', () => {
    for (const epoch of [0, 1]) {
      expect(varied(epoch).map((batch) => batch.map((index) => index % ids.length))).toEqual(plain(epoch));
    }
    expect(variedBatches(plain, ids, 0, 1)).toBe(plain);
  });

  it('read the clip and each variant equally often', () => {
    const counts = [0, 0, 0, 0];
    for (let epoch = 0; epoch < 20; epoch++) {
      for (const variant of variantsIn(varied, epoch)) counts[variant]!++;
    }
    // 1,000 of 4,000 each; a standard deviation is 27.
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(110);
  });

  it('draw by seed, epoch and utterance, and nothing else', () => {
    const drawn = variantsIn(varied, 2);
    expect(variantsIn(varied, 2)).toEqual(drawn);
    expect(variantsIn(varied, 3)).not.toEqual(drawn);
    expect(variantsIn(variedBatches(plain, ids, 3, 2), 2)).not.toEqual(drawn);
    // Other batches of the same utterances, and the utterances in another order.
    const others = variedBatches(shuffledBatches(ids.length, 5, 9), ids, 3, 1);
    expect(variantsIn(others, 2)).toEqual(drawn);
    const reversed = variedBatches(plain, ids.toReversed(), 3, 1);
    expect(variantsIn(reversed, 2).toReversed()).toEqual(drawn);
  });

  it('keep pairs of one class together', () => {
    const labels = ids.map((_, i) => i % 3);
    const pairs = balancedBatches(labels, 4, 1);
    const batches = variedBatches(pairs, ids, 3, 1);
    expect(batches(1).map((batch) => batch.map((index) => labels[index % ids.length]))).toEqual(
      pairs(1).map((batch) => batch.map((index) => labels[index]!)),
    );
  });
});

it('examples and their variants have ids of their own', () => {
  const examples = [{ id: 'a' }, { id: 'b' }];
  const ids = [
    'a',
    'b',
    'a\u00a0(variant 1)',
    'b\u00a0(variant 1)',
    'a\u00a0(variant 2)',
    'b\u00a0(variant 2)',
  ];
  expect(withVariants(examples, 2).map(({ id }) => id)).toEqual(ids);
  expect(withVariants(examples, 0)).toBe(examples);
});
