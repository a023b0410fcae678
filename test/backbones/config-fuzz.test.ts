/**
 * @file Ten thousand damaged configs and two thousand damaged indices: each gives a clear error or the right values.
 */

import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Measured, runMeasured } from '../fuzz/measured-child.js';

interface Counts {
  read: number;
  refused: number;
}
interface Outcome extends Measured {
  configs: Counts;
  indices: Counts;
  built: number;
  longestSec: number;
}

let folder: string;
beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'emoq-config-fuzz-')));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('damaged JSON files of checkpoints', () => {
  it('give one line, or what they say and a graph that can be built, in little memory and time', async () => {
    const outcome = await runMeasured<Outcome>(new URL('./config-fuzz.mjs', import.meta.url), {
      nodeOptions: ['--max-old-space-size=128'],
      args: ['10000', '2000', '1', folder],
    });
    // Both outcomes must be common, or the damage would prove nothing.
    expect(outcome.configs.read).toBeGreaterThan(2000);
    expect(outcome.configs.refused).toBeGreaterThan(5000);
    expect(outcome.indices.read).toBeGreaterThan(50);
    expect(outcome.built).toBeGreaterThan(300);
    expect(outcome.peakMiB - outcome.baselineMiB).toBeLessThan(200);
    expect(outcome.longestSec).toBeLessThan(60); // of processor time; a trial takes less than one
  });
});
