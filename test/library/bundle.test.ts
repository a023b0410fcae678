/** @file The library on a bundle: files, samples, endless and slow recordings, faults, aborts, several at once. */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { decodeAudio, encodeWav } from '../../src/data/audio/index.js';
import {
  type Answer,
  type Bundle,
  openBundle,
  type Prediction,
  type Recording,
} from '../../src/library/index.js';
import { csvRows, makeWorkspace } from '../e2e/workspace.js';

const work = makeWorkspace('library');
let bundle: Bundle;
let rows: Record<string, string>[];

beforeAll(async () => {
  await work.smallRun('good');
  await work.done('export', 'bundle', '--run', 'good', '-o', 'bundle');
  await work.done('predict', 'toy/manifest.csv', '-o', 'cli.csv', '--bundle', 'bundle');
  rows = csvRows(work, 'cli.csv').filter(({ text }) => !text!.includes('"')); // a quoted text has commas
  bundle = await openBundle(work.path('bundle'), { device: 'cpu', threads: 1 });
});
afterAll(async () => {
  await bundle.close();
  work.remove();
});

async function all<R extends Recording | string>(
  recordings: Iterable<R> | AsyncIterable<R>,
  signal?: AbortSignal,
): Promise<Prediction<R>[]> {
  const found: Prediction<R>[] = [];
  for await (const prediction of bundle.predict(recordings, signal && { signal })) found.push(prediction);
  return found;
}

const fileOf = (row: Record<string, string>): string => work.path('toy', row.path!);
const recordingOf = (row: Record<string, string>): Recording => ({ path: fileOf(row), text: row.text! });

/** Within the rounding of batches of other lengths. */
function expectSame(found: Prediction<unknown>, row: Record<string, string>): void {
  expect(found.error).toBeUndefined();
  expect(found.label).toBe(row.label);
  for (const label of bundle.labels) {
    expect(Math.abs(found.probabilities![label]! - Number(row[`prob_${label}`]))).toBeLessThan(1e-5);
  }
  expect(found.margin).toBeCloseTo(Number(row.margin), 4);
}

describe('a bundle as a library', () => {
  it('gives the probabilities of the command, in order, with what was given', async () => {
    const recordings = rows.map(recordingOf);
    const found = await all(recordings);
    expect(found.map(({ recording }) => recording)).toEqual(recordings);
    for (const [index, prediction] of found.entries()) expectSame(prediction, rows[index]!);
    expect(bundle.labels).toEqual(['neutral', 'happy', 'angry', 'sad']);
  });

  it('judges samples in memory as the file that they are from', async () => {
    const row = rows[0]!;
    const { samples } = await decodeAudio(fileOf(row), {});
    const [found] = await all([{ samples, text: row.text! }]);
    expectSame(found!, row);
    expect(found).toMatchObject({ start: 0 });
    const [part, whole] = await all([
      { samples, start: 0.25, end: 1 },
      { samples: samples.slice(4000, 16_000) },
    ]);
    expect(part!.probabilities).toEqual(whole!.probabilities);
    expect([part!.start, part!.end]).toEqual([0.25, 1]);
  });

  it('says what is wrong with a recording, and goes on with the others', async () => {
    const good = fileOf(rows[0]!);
    const nan = Float32Array.of(0.1, Number.NaN);
    const given: (Recording | string)[] = [
      ...['none.wav', '', { samples: new Float32Array() }, { samples: nan }],
      ...[{ path: good, channel: 3 }, { path: good, start: 9 }, { path: good, start: 1, end: 0.5 }, {}, good],
    ];
    const found = await all(given);
    const errors = found.map(({ error }) => error);
    expect(errors.at(-1)).toBeUndefined();
    expect(errors.slice(0, -1).every((error) => error !== undefined && !error.includes('\n'))).toBe(true);
    expect(errors[0]).toMatch(/none\.wav does not exist/);
    expect(errors[2]).toBe('there are no samples');
    expect(errors[3]).toBe('the samples have values that are not numbers');
    expect(found[0]).toMatchObject({ label: undefined, probabilities: undefined, margin: undefined });
  });

  it('notes what is only judged in part, and what is silent', async () => {
    const long = Float32Array.from({ length: 3 * 16_000 }, (_, i) => Math.sin(i / 10) / 2);
    const [found] = await all([{ samples: long }]); // max_audio_sec is 2
    expect(found).toMatchObject({ start: 0, end: 2, notes: ['cut: judged on the first 2 s of 3.0 s'] });
  });

  it('judges long files in windows, and says what of each', async () => {
    const joined = Buffer.concat(rows.slice(0, 4).map((row) => readFileSync(fileOf(row)).subarray(44)));
    const values = Float32Array.from(
      { length: joined.length >> 1 },
      (_, i) => joined.readInt16LE(2 * i) / 32_768,
    );
    const long = work.path(work.file('long.wav', encodeWav(values, 16_000)));
    const [found] = await all([long]);
    const { windows, probabilities, start, end } = found!;
    expect(windows!.length).toBeGreaterThan(2); // max_audio_sec is 2
    expect([start, Math.round(1000 * end!)]).toEqual([0, Math.round(values.length / 16)]);
    const length = (window: Answer): number => window.end! - window.start!;
    const total = windows!.reduce((sum, window) => sum + length(window), 0);
    for (const label of bundle.labels) {
      const mean = windows!.reduce(
        (sum, each) => sum + (each.probabilities![label]! * length(each)) / total,
        0,
      );
      expect(probabilities![label]).toBeCloseTo(mean, 5);
    }
    const beginning: Prediction<string>[] = [];
    for await (const each of bundle.predict([long], { windows: 'off' })) beginning.push(each);
    expect(beginning[0]).toMatchObject({ start: 0, end: 2 });
    expect(beginning[0]!.windows).toBeUndefined();
    await expect(bundle.predict([long], { windows: 60 }).next()).rejects.toThrow(/windows of 60 s/);
  });

  it('answers what has arrived before the next recording comes', async () => {
    let release!: () => void;
    const answered = new Promise<void>((resolve) => {
      release = resolve;
    });
    async function* slowly() {
      yield fileOf(rows[0]!);
      await answered; // only its own answer makes the next recording come
      yield fileOf(rows[1]!);
    }
    const found: string[] = [];
    for await (const { label } of bundle.predict(slowly())) {
      found.push(label!);
      release();
    }
    expect(found).toHaveLength(2);
  });

  it('takes endless recordings, and no more of them than it needs', async () => {
    let taken = 0;
    let ended = false;
    function* endless() {
      try {
        for (;;) {
          taken += 1;
          yield fileOf(rows[taken % rows.length]!);
        }
      } finally {
        ended = true;
      }
    }
    let count = 0;
    for await (const { error } of bundle.predict(endless())) {
      expect(error).toBeUndefined();
      if (++count === 40) break;
    }
    expect(taken).toBeLessThanOrEqual(160);
    await vi.waitFor(() => expect(ended).toBe(true));
  });

  it('stops when it is aborted, and can be asked again', async () => {
    const stop = new AbortController();
    const files = Array.from({ length: 200 }, (_, index) => fileOf(rows[index % rows.length]!));
    const asked = (async () => {
      for await (const _ of bundle.predict(files, { signal: stop.signal })) stop.abort(new Error('enough'));
    })();
    await expect(asked).rejects.toThrow('enough');
    const aborted = AbortSignal.abort(new Error('before it began'));
    await expect(all(files, aborted)).rejects.toThrow('before it began');
    expect(await all(files.slice(0, 1))).toHaveLength(1);
  });

  it('predicts several times at once, also with several bundles', async () => {
    const other = await openBundle(work.path('bundle'), { device: 'cpu', threads: 1 });
    try {
      const files = rows.slice(0, 6).map(fileOf);
      const predictions = async (from: Bundle) => {
        const found: unknown[] = [];
        for await (const { probabilities } of from.predict(files)) found.push(probabilities);
        return found;
      };
      const [first, ...others] = await Promise.all([bundle, bundle, other].map(predictions));
      for (const each of others) expect(each).toEqual(first);
    } finally {
      await other.close();
    }
  });

  it('prints nothing', async () => {
    const out = vi.spyOn(process.stdout, 'write');
    const err = vi.spyOn(process.stderr, 'write');
    try {
      await all(['none.wav', fileOf(rows[0]!)]);
      expect([...out.mock.calls, ...err.mock.calls]).toEqual([]);
    } finally {
      vi.restoreAllMocks();
    }
  });

  it('is opened only where it is a bundle, and on a device that is there', async () => {
    await expect(openBundle(work.path('good'))).rejects.toThrow(/is no bundle/);
    await expect(openBundle(work.path('bundle'), { device: 'cuda:77' })).rejects.toThrow(/cuda:77/);
  });
});

describe('the example in Node', () => {
  it('prints a line for each recording', () => {
    // The package as it is installed finds itself by name; in a checkout, its own entry does.
    const example = fileURLToPath(new URL('../../examples/predict.mjs', import.meta.url));
    const entry = new URL('../../dist/library/index.js', import.meta.url).href;
    const script = readFileSync(example, 'utf8').replace("from 'emoq'", `from '${entry}'`);
    expect(script).toContain(entry);
    const files = rows.slice(0, 2).map(fileOf);
    const run = work.file('example.mjs', script);
    const args = [work.path(run), work.path('bundle'), ...files];
    const lines = execFileSync(process.execPath, args, { encoding: 'utf8' }).trim().split('\n');
    expect(lines.map((line) => JSON.parse(line).path)).toEqual(files);
    expect(JSON.parse(lines[0]!).label).toMatch(/^(neutral|happy|angry|sad)$/);
  });
});
