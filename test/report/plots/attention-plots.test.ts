/** @file Shares of attention over spans of time, by hand. */

import { describe, expect, it } from 'vitest';
import { sharesOver } from '../../../src/report/plots/index.js';

describe('shares over spans', () => {
  it('are the sums of the frames in them', () => {
    expect(sharesOver([0.1, 0.2, 0.3, 0.4], 0.5, 2, 2)).toEqual([0.1 + 0.2, 0.3 + 0.4]);
  });

  it('divide a frame across a boundary by time', () => {
    // Frames of 0.4 s: the second, from 0.4 to 0.8, has a quarter in the first span of 0.5 s.
    const [first, second] = sharesOver([0.2, 0.8], 0.4, 1, 2);
    expect(first).toBeCloseTo(0.2 + 0.8 * 0.25, 12);
    expect(second).toBeCloseTo(0.8 * 0.75, 12);
  });

  it('keep the sum with more spans than frames, and for frames that end behind the recording', () => {
    for (const [durationSec, columns] of [
      [0.205, 7],
      [0.19, 80],
      [0.1, 3],
    ] as const) {
      const shares = sharesOver(new Array(10).fill(0.1), 0.02, durationSec, columns);
      expect(shares).toHaveLength(columns);
      expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 12);
    }
  });
});
