/** @file How many batches go to a run, from the time and the feeds of those before. */

import { describe, expect, it } from 'vitest';
import { float32 } from '../../src/engine/tensor/index.js';
import { type RunLimits, runLimits, runSizing } from '../../src/training/run-sizing.js';

const MIB = 2 ** 20;
const cpu = { kind: 'cpu' } as const;
const cuda = { kind: 'cuda' } as const;

/** The number that is settled on when each batch takes so many seconds and MiB. */
function settled(limits: RunLimits, seconds: number, mebibytes: number): number[] {
  const sizing = runSizing(limits);
  const sizes = [sizing.size()];
  for (let run = 0; run < 10; run++) {
    const count = sizing.size();
    const data = { byteLength: count * mebibytes * MIB } as Float32Array; // only its size is read
    sizing.took({ count, feeds: { features: { ...float32([0], []), data } } }, count * seconds);
    sizes.push(sizing.size());
  }
  return [...new Set(sizes)];
}

describe('the batches of a run', () => {
  it('are doubled until six seconds are filled', () => {
    expect(settled(runLimits(cpu), 0.5, 0.01)).toEqual([1, 2, 4, 8, 12]);
    expect(settled(runLimits(cpu), 100, 0.01)).toEqual([1]);
  });

  it('hold no more feeds at once than the host can keep several times', () => {
    // Batches of a probe on long clips: 4 ms and 16 MiB each.
    expect(settled(runLimits(cpu), 0.004, 16)).toEqual([1, 2, 4, 8]);
    expect(settled(runLimits({ kind: 'webgpu' }), 0.004, 16)).toEqual([1, 2, 4, 8]);
    expect(settled(runLimits(cuda), 0.004, 16)).toEqual([1, 2, 4, 8, 16, 32, 64]);
    // One that is larger than the limit still runs.
    expect(settled(runLimits(cpu), 0.004, 500)).toEqual([1]);
  });

  it('are no more than are of use', () => {
    expect(settled(runLimits(cpu), 1e-6, 1e-6).at(-1)).toBe(64);
    expect(settled(runLimits(cuda), 1e-6, 1e-6).at(-1)).toBe(256);
  });

  it('are as many as is asked for', () => {
    const sizing = runSizing(runLimits(cpu), 3);
    sizing.took({ count: 3, feeds: {} }, 100);
    expect(sizing.size()).toBe(3);
  });
});
