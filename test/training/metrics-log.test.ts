/** @file The metrics of a run in three files: appended and truncated together. */

import { appendFile, mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { InputError } from '../../src/base/index.js';
import { encodeEvent, eventFileHeader, eventTimes } from '../../src/training/runs/event-file.js';
import { type RunFolder, runFolder } from '../../src/training/runs/folder.js';
import { type MetricsLine, type MetricsLog, openMetrics } from '../../src/training/runs/metrics-log.js';
import { readMetrics } from './metrics-lines.js';

let folder: RunFolder;
beforeEach(async () => {
  folder = runFolder(await mkdtemp(join(tmpdir(), 'emoq-metrics-')));
});
afterEach(() => rm(folder.dir, { recursive: true }));

const one: MetricsLine = { step: 1, epoch: 1, loss: 0.5, learning_rate_used: 1e-7 };
// JSON has no -0: the written values and those rebuilt from metrics.jsonl must agree on 0.
const zero: MetricsLine = { step: 3, epoch: 2, loss: -0, learning_rate_used: 0 };
const two: MetricsLine = { step: 2, epoch: 1, loss: 0.25, learning_rate_used: 2e-7 };
const validated: MetricsLine = { epoch: 1, step: 2, validation: { wa: 0.75, ua: 0.5, wf1: 0.625, nll: 1.5 } };
/** A fake clock that advances by a second each time it is read. */
let clockSec = 1.7e9;
const REPORTED = { step: ['loss', 'learning_rate_used'], validation: ['wa', 'ua', 'wf1', 'nll'] };
const open = (size: number): Promise<MetricsLog> => openMetrics(folder, size, REPORTED, () => clockSec++);
const timesOf = async () => eventTimes(await readFile(folder.events));
const files = (): Promise<Buffer[]> =>
  Promise.all([folder.metrics, folder.metricsTable, folder.events].map((path) => readFile(path)));

describe('the metrics log', () => {
  it('has a line for each entry, and counts bytes', async () => {
    const log = await open(0);
    await log.append([one, two]);
    await log.append([validated]);
    await log.sync();
    expect(await readMetrics(folder.metrics)).toEqual([one, two, validated]);
    expect(log.size()).toBe((await readFile(folder.metrics)).length);
  });

  it('is a table too, with the validation in columns of its own', async () => {
    const log = await open(0);
    await log.append([one, two, validated]);
    expect(await readFile(folder.metricsTable, 'utf8')).toBe(
      `step,epoch,loss,learning_rate_used,validation_wa,validation_ua,validation_wf1,validation_nll
1,1,0.5,1e-7,,,,
2,1,0.25,2e-7,,,,
2,1,,,0.75,0.5,0.625,1.5
`,
    );
  });

  it('is an event file too, with a curve for each figure and the time of each point', async () => {
    const log = await open(0);
    const sec = clockSec;
    await log.append([one, validated]);
    const { validation } = validated;
    expect(await readFile(folder.events)).toEqual(
      Buffer.concat([
        eventFileHeader(),
        encodeEvent({
          ...{ step: 1, wallTimeSec: sec },
          scalars: { 'train/loss': 0.5, 'train/learning_rate_used': 1e-7 },
        }),
        encodeEvent({
          ...{ step: 2, wallTimeSec: sec },
          scalars: Object.fromEntries(
            Object.entries(validation!).map(([name, value]) => [`validation/${name}`, value]),
          ),
        }),
      ]),
    );
  });

  it('spreads the steps of a run of the graph over the time that it took, the last of them now', async () => {
    const log = await open(0);
    const three = { ...two, step: 3 };
    const sec = clockSec;
    await log.append([one, two, three, zero], 2);
    expect(await timesOf()).toEqual(
      [one, two, three, zero].map(({ step }, i) => ({ step, wallTimeSec: sec - 1.5 + 0.5 * i })),
    );
  });

  it('is cut back to what the saved state had seen, whatever has become of the other two files', async () => {
    const log = await open(0);
    await log.append([one, zero]);
    const [seen, filesThen] = [log.size(), (await files()).slice(0, 2)];
    await log.append([two, validated]);
    const filesInTheEnd = (await files()).slice(0, 2);
    for (const spoil of [
      () => appendFile(folder.metrics, '{"step": 4, "lo'), // killed in the middle of a line
      () => appendFile(folder.events, 'half an event'),
      () => rm(folder.metricsTable),
      () => rm(join(folder.dir, 'tensorboard'), { recursive: true }),
    ]) {
      await spoil();
      const resumed = await open(seen);
      expect((await files()).slice(0, 2)).toEqual(filesThen);
      await resumed.append([two, validated]);
      expect(resumed.size()).toBe((await readFile(folder.metrics)).length);
      expect((await files()).slice(0, 2)).toEqual(filesInTheEnd);
      expect((await timesOf()).map(({ step }) => step)).toEqual([1, 3, 2, 2]);
    }
  });

  it('keeps the times of events when resumed, and gives new ones their own', async () => {
    const log = await open(0);
    await log.append([one, zero]);
    const seen = log.size();
    const [first, then] = await timesOf();
    expect(then).toEqual({ step: 3, wallTimeSec: first!.wallTimeSec });
    await log.append([two]);
    clockSec += 1000;
    const resumed = await open(seen);
    expect(await timesOf()).toEqual([first, then]);
    await resumed.append([two, validated]);
    expect(await timesOf()).toEqual([
      first,
      then,
      { step: 2, wallTimeSec: clockSec - 1 },
      { step: 2, wallTimeSec: clockSec - 1 },
    ]);
  });

  it('takes the time of the file for lines whose own is lost, or was written in steps by an earlier emoq', async () => {
    const log = await open(0);
    await log.append([one, zero]);
    const size = log.size();
    await utimes(folder.metrics, 1.6e9, 1.6e9);
    for (const events of [
      undefined,
      Buffer.concat([
        eventFileHeader(),
        ...[one, zero].map(({ step }) =>
          encodeEvent({ step, wallTimeSec: step, scalars: { 'train/loss': 1 } }),
        ),
      ]),
      Buffer.from('not an event file at all'),
    ]) {
      if (events === undefined) await rm(folder.events);
      else await writeFile(folder.events, events);
      await utimes(folder.metrics, 1.6e9, 1.6e9);
      await open(size);
      expect(await timesOf()).toEqual([
        { step: 1, wallTimeSec: 1.6e9 },
        { step: 3, wallTimeSec: 1.6e9 },
      ]);
    }
  });

  it('is emptied for a run that begins anew', async () => {
    await mkdir(folder.dir, { recursive: true });
    await writeFile(folder.metrics, 'of an earlier run\n');
    await open(0);
    expect(await readFile(folder.metrics, 'utf8')).toBe('');
    expect(await readFile(folder.events)).toEqual(Buffer.from(eventFileHeader()));
  });

  it('that was truncated, deleted or written by another program is refused in one line', async () => {
    const message = `${folder.metrics} is shorter than the saved state says; delete the run to start over`;
    await expect(open(5)).rejects.toThrow(new InputError(message));
    await writeFile(folder.metrics, '{}\n');
    await expect(open(5)).rejects.toThrow(new InputError(message));
    expect(await readFile(folder.metrics, 'utf8')).toBe('{}\n');
    const good = JSON.stringify(one);
    for (const wrong of [
      ...['hello', '', '{}', 'null', '[]', '"step"', '{"step":1}', good.slice(0, -1)],
      ...['{"step":-1,"epoch":1}', '{"step":1,"epoch":"1"}', '{"step":1.5,"epoch":1}'],
      ...['{"step":1,"epoch":1,"loss":"0.5"}', '{"step":1,"epoch":1,"loss":[0.5]}'],
      ...['{"step":1,"epoch":1,"validation":3}', '{"step":1,"epoch":1,"validation":{"wa":{}}}'],
      `{"step":1,"epoch":1,"validation":{"wa":${'['.repeat(1e5)}${']'.repeat(1e5)}}}`,
    ]) {
      const text = `${good}\n${wrong}\n`;
      await writeFile(folder.metrics, text);
      await expect(open(text.length), wrong.slice(0, 80)).rejects.toThrow(
        new InputError(`${folder.metrics}, line 2 was not written by emoq; delete the run to start over`),
      );
    }
    const unknown = '{"step":2,"epoch":1,"loss":null,"validation":{"nll":null}}\n';
    await writeFile(folder.metrics, unknown);
    await open(unknown.length); // for a figure that was not a number
  });
});
