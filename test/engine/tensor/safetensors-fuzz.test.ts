/** @file Ten thousand damaged safetensors files: a clear error or the right tensors, in little memory and time. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Measured, runMeasured } from '../../fuzz/measured-child.js';

interface Outcome extends Measured {
  read: number;
  refused: number;
  longestSec: number;
}

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'emoq-safetensors-fuzz-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('damaged safetensors files', () => {
  it('give one line, or what a strict reading gives, 10,000 times; headers of 2 MB take under 200 MB', async () => {
    const outcome = await runMeasured<Outcome>(new URL('./safetensors-fuzz.mjs', import.meta.url), {
      nodeOptions: ['--expose-gc'],
      args: ['10000', '1', folder],
    });
    // Both outcomes must be common, or the damage would prove nothing.
    expect(outcome.read).toBeGreaterThan(500);
    expect(outcome.refused).toBeGreaterThan(5000);
    expect(outcome.peakMiB - outcome.baselineMiB).toBeLessThan(200);
    expect(outcome.longestSec).toBeLessThan(60); // of processor time; a trial takes less than one
  });
});
