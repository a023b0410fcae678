/** @file Weights stay in their files: 15 GB are opened and built into graphs with a fraction of that memory. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Measured, runMeasured } from '../fuzz/measured-child.js';

interface Outcome extends Measured {
  sec: number;
  diskBytes: number;
  weights: number;
  weightBytes: number;
  shards: number;
  modelBytes: number[];
  named: number[];
}

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'emoq-in-place-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("a checkpoint of Qwen2.5-7B-Instruct's shapes", () => {
  it('is opened and built into the graphs of stage 2 in under 400 MB', async () => {
    const outcome = await runMeasured<Outcome>(new URL('./in-place.mjs', import.meta.url), {
      args: [folder],
    });
    console.log(
      `15.2 GB of weights: ${outcome.peakMiB.toFixed(0)} MiB at most, ${outcome.sec.toFixed(1)} s for both graphs`,
    );
    // 7,615,616,512 parameters of two bytes, as in the published index.
    expect(outcome).toMatchObject({
      weights: 339,
      weightBytes: 15_231_233_024,
      shards: 4,
      named: [339, 339],
    });
    expect(outcome.diskBytes).toBeLessThan(10_000_000);
    expect(Math.max(...outcome.modelBytes)).toBeLessThan(20_000_000);
    expect(outcome.peakMiB).toBeLessThan(400);
  });
});
