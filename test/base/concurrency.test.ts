/** @file Bounded concurrency. */

import { describe, expect, it } from 'vitest';
import { mapConcurrently } from '../../src/base/index.js';

describe('mapConcurrently', () => {
  it('keeps the order, and never runs more jobs than asked', async () => {
    let running = 0;
    let most = 0;
    const results = await mapConcurrently([5, 1, 4, 2, 3, 0], 3, async (value) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, value * 3));
      running--;
      return value * 10;
    });
    expect(results).toEqual([50, 10, 40, 20, 30, 0]);
    expect(most).toBe(3);
  });

  it('waits for what is under way when one fails, and starts nothing more', async () => {
    const started: number[] = [];
    let finished = 0;
    const work = mapConcurrently([0, 1, 2, 3, 4], 2, async (value) => {
      started.push(value);
      if (value === 0) throw new Error('first');
      await new Promise((resolve) => setTimeout(resolve, 10));
      finished++;
    });
    await expect(work).rejects.toThrow('first');
    expect(started).toEqual([0, 1]);
    expect(finished).toBe(1);
  });
});
