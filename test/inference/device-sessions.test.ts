/** @file Turns for encoding and classifying on the same cores. */

import { describe, expect, it } from 'vitest';
import { defaultJobs } from '../../src/base/index.js';
import type { Device } from '../../src/engine/runtime/index.js';
import { turnsOn } from '../../src/inference/device-sessions.js';

const cpu: Device = { kind: 'cpu' };

/** The most of eight works that took place side by side. */
async function mostAtOnce(options: Parameters<typeof turnsOn>[0]): Promise<number> {
  const turns = turnsOn(options);
  let [running, most] = [0, 0];
  const work = async (): Promise<void> => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setImmediate(resolve));
    running--;
  };
  await Promise.all(Array.from({ length: 8 }, () => turns(work)));
  return most;
}

describe('turns', () => {
  it('give the cores of a CPU to one run of a graph, or to as many as have cores for their threads', async () => {
    expect(await mostAtOnce({ device: cpu, cacheDir: '' })).toBe(1);
    expect(await mostAtOnce({ device: cpu, cacheDir: '', threads: 2 * defaultJobs() })).toBe(1);
    expect(await mostAtOnce({ device: cpu, cacheDir: '', threads: 1 })).toBe(Math.min(8, defaultJobs()));
  });

  it('are not waited for on a GPU, or where several sessions share the cores', async () => {
    expect(await mostAtOnce({ device: { kind: 'cuda', index: 0 }, cacheDir: '' })).toBe(8);
    expect(await mostAtOnce({ device: cpu, devices: [cpu, cpu], cacheDir: '' })).toBe(8);
  });

  it('pass on what was worked out, and what was thrown', async () => {
    const turns = turnsOn({ device: cpu, cacheDir: '' });
    await expect(turns(() => Promise.reject(new Error('lost')))).rejects.toThrow('lost');
    expect(await turns(async () => 7)).toBe(7);
  });
});
