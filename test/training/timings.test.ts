/** @file timings.jsonl: a line for each process, complete at every save, summed over the processes. */

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type RunFolder, runFolder } from '../../src/training/runs/folder.js';
import { readTimes, recordTimings } from '../../src/training/runs/metrics-log.js';

let folder: RunFolder;
beforeEach(async () => {
  folder = runFolder(await mkdtemp(join(tmpdir(), 'emoq-timings-')));
});
afterEach(() => rm(folder.dir, { recursive: true }));

const metadata = { device: 'cpu', threads: 2, versions: { emoq: '0.1.0' } };
const lines = async (): Promise<Record<string, unknown>[]> =>
  (await readFile(folder.timings, 'utf8'))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe('the timings of a run', () => {
  it('have one line for a process, as it stood at its last save', async () => {
    const begun = new Date(Date.now() - 5000);
    const timings = await recordTimings(folder, metadata, { begun, step: 0, isNew: true });
    timings.spent('encoding', 1.5);
    await timings.save(0);
    expect(await lines()).toMatchObject([{ state: 'running', to_step: 0, utterances_per_sec: null }]);
    timings.spent('training', 2, 30);
    timings.spent('training', 2, 10);
    timings.spent('validation', 0.25);
    await timings.save(5);
    timings.spent('training', 100, 1); // after the last save, so a kill loses it
    expect(await lines()).toEqual([
      {
        started: begun.toISOString(),
        ended: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        ...{ state: 'running', from_step: 0, to_step: 5, utterances: 40 },
        ...{ encoding_sec: 1.5, training_sec: 4, validation_sec: 0.25, utterances_per_sec: 10 },
        peak_memory_bytes: expect.any(Number),
        ...{ host: hostname(), ...metadata },
      },
    ]);
    await timings.end('finished');
    expect(await lines()).toMatchObject([{ state: 'finished', to_step: 5, training_sec: 104 }]);
  });

  it('keep the lines of earlier processes, and add them up', async () => {
    const day = Date.UTC(2026, 0, 1);
    const line = (hour: number, more: object): string =>
      JSON.stringify({
        started: new Date(day + hour * 3_600_000).toISOString(),
        ended: new Date(day + (hour + 1) * 3_600_000).toISOString(),
        ...{ state: 'interrupted', from_step: 0, to_step: 4, utterances: 100 },
        ...{ encoding_sec: 10, training_sec: 20, validation_sec: 5, utterances_per_sec: 5 },
        ...{ peak_memory_bytes: 1e6, host: 'a', ...metadata, ...more },
      });
    // A killed process of another version may leave anything; the run can still be resumed.
    await writeFile(
      folder.timings,
      `${line(0, {})}\nnonsense\n${line(5, { peak_memory_bytes: 3e6, utterances: 200, from_step: 4 })}`,
    );
    expect(await readTimes(folder)).toEqual({
      started: '2026-01-01T00:00:00.000Z',
      ended: '2026-01-01T06:00:00.000Z',
      durationSec: 7200,
      encodingSec: 20,
      trainingSec: 40,
      validationSec: 10,
      utterancesPerSec: 7.5,
      peakMemoryBytes: 3e6,
    });
    const timings = await recordTimings(folder, metadata, { begun: new Date(), step: 8, isNew: false });
    await timings.save(9);
    const kept = (await readFile(folder.timings, 'utf8')).split('\n');
    expect(kept).toHaveLength(5);
    expect(JSON.parse(kept[3]!)).toMatchObject({ from_step: 8, to_step: 9 });
  });

  it('are not written for a process that saved nothing', async () => {
    const timings = await recordTimings(folder, metadata, { begun: new Date(), step: 0, isNew: true });
    timings.spent('training', 3, 8);
    await timings.end('failed');
    expect(await readTimes(folder)).toBeNull();
  });

  it('begin anew with a new run, and are not known of an old one', async () => {
    expect(await readTimes(folder)).toBeNull();
    await writeFile(folder.timings, 'of an earlier run\n');
    expect(await readTimes(folder)).toBeNull();
    const timings = await recordTimings(folder, metadata, { begun: new Date(), step: 0, isNew: true });
    await timings.save(0);
    expect(await lines()).toHaveLength(1);
    expect(await readTimes(folder)).toMatchObject({ utterancesPerSec: null, trainingSec: 0 });
  });
});
