/** @file Misbehaving networks and servers: files are correct, or do not get their final name. */

import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { InputError, UnavailableError } from '../../../src/base/index.js';
import { checkDiskSpace, fetchModel, parseModelName, planPull } from '../../../src/checkpoints/hub/index.js';
import { etagOf, type FakeFile, type FakeModel, type Fault } from './fake-hub.js';
import { accessOf, failure, hubCase, isThere, pull } from './hub-case.js';

const current = hubCase();
const ID = 'Org/Big';
const SIZE = 100_000;
const weights = Buffer.from(Uint8Array.from({ length: SIZE }, (_, i) => (i * i) >> 3));

function bigModel(...faults: Fault[]): { model: FakeModel; file: FakeFile; blob: string; partial: string } {
  const model = current.hub.addModel(ID, { 'config.json': '{}', 'model.safetensors': weights });
  const file = model.files.get('model.safetensors')!;
  file.faults = faults;
  const blob = join(current.home, 'hub/models--Org--Big/blobs', etagOf(file));
  return { model, file, blob, partial: `${blob}.emoq.incomplete` };
}

/** Ranges requested from the store, in order; undefined is the whole file. */
const ranges = () =>
  current.hub.requests.filter(({ server }) => server === 'store').map(({ range }) => range);

describe('a download', () => {
  it('that is cut several times goes on where it stopped', async () => {
    const drop = (afterBytes: number): Fault => ({ kind: 'drop', afterBytes });
    const { blob } = bigModel(...[30_000, 20_000, 1, 10_000, 5_000, 7_000, 1_000].map(drop));
    await pull(current, ID);
    expect((await readFile(blob)).equals(weights)).toBe(true);
    // More drops than retries, because each made progress. The last bytes before a cut may be lost with it.
    const starts = ranges().map((range) => Number(range?.slice('bytes='.length, -1) ?? 0));
    expect(starts).toHaveLength(8);
    expect(starts).toEqual([...starts].sort((a, b) => a - b));
    expect(starts[1]).toBeGreaterThan(0);
    expect(starts[7]).toBeGreaterThan(starts[1]!);
    const resumed = current.hub.requests.filter(({ range }) => range !== undefined);
    expect(new Set(resumed.map(({ ifRange }) => ifRange))).toEqual(new Set([`"store-${SIZE}"`]));
  });

  it('that falls silent counts as cut', async () => {
    const { blob } = bigModel({ kind: 'stall', afterBytes: 40_000 });
    await pull(current, ID, { patience: { stallSec: 3, retries: 4, retrySec: 0.004 } });
    expect((await readFile(blob)).equals(weights)).toBe(true);
    expect(ranges()).toContain('bytes=40000-');
  });

  it('from a server that knows no ranges starts again', async () => {
    const { blob } = bigModel({ kind: 'drop', afterBytes: 50_000 }, { kind: 'no-range' });
    await pull(current, ID);
    expect((await readFile(blob)).equals(weights)).toBe(true);
  });

  it('that never gets further than before ends, with how often it was tried', async () => {
    const short: Fault = { kind: 'no-range', afterBytes: 50_000 };
    const { blob, partial } = bigModel(...Array<Fault>(30).fill(short));
    const error = await failure(pull(current, ID));
    expect(error).toBeInstanceOf(UnavailableError);
    expect(error.message).toMatch(
      /^Org\/Big\/model\.safetensors: .*failed.*, 5 times in a row; run the same command/,
    );
    // The first, which makes progress, and four that do not; a reset may cost an attempt its last bytes, which the next
    // gets.
    expect(ranges().length).toBeGreaterThanOrEqual(5);
    expect(ranges().length).toBeLessThan(15);
    const tries = current.trouble.slice(-3).map((line) => /\((\d of \d)\)$/.exec(line)?.[1]);
    expect(tries).toEqual(['2 of 4', '3 of 4', '4 of 4']);
    expect([await isThere(blob), await isThere(partial)]).toEqual([false, true]);
  });

  it.each<[string, Fault]>([
    ['too large', { kind: 'wrong-length', by: 500 }],
    ['too small', { kind: 'wrong-length', by: -500 }],
  ])('whose length is announced %s is the right one in the end', async (_, fault) => {
    const { blob } = bigModel(fault);
    await pull(current, ID);
    expect((await readFile(blob)).equals(weights)).toBe(true);
  });

  it('that gives another part than asked for is asked for whole', async () => {
    const { blob } = bigModel({ kind: 'drop', afterBytes: 50_000 }, { kind: 'other-range' });
    await pull(current, ID);
    expect((await readFile(blob)).equals(weights)).toBe(true);
    expect(ranges()).toEqual([undefined, expect.stringMatching(/^bytes=\d+-$/), undefined]);
  });

  it.each<[string, Fault]>([
    ['with a wrong byte', { kind: 'wrong-byte', at: 77_777 }],
    ['with bytes behind its end', { kind: 'longer', by: 3 }],
  ])('%s is fetched once more, from its start', async (_, fault) => {
    const { blob } = bigModel(fault);
    await pull(current, ID);
    expect((await readFile(blob)).equals(weights)).toBe(true);
    expect(ranges()).toEqual([undefined, undefined]);
    expect(current.trouble).toEqual([expect.stringContaining('fetching it again from its start')]);
  });

  it('that is always wrong ends with both hashes, and leaves nothing of it', async () => {
    const wrong: Fault = { kind: 'wrong-byte', at: 5 };
    const { blob, partial, file } = bigModel(wrong, wrong, wrong);
    const error = await failure(pull(current, ID));
    expect(error).toBeInstanceOf(UnavailableError);
    expect(error.message).toMatch(
      new RegExp(
        `^Org/Big: model\\.safetensors arrived twice with SHA-256 [0-9a-f]{64}, and it must have ${etagOf(file)}`,
      ),
    );
    expect([await isThere(blob), await isThere(partial)]).toEqual([false, false]);
    expect(await isThere(join(current.home, 'hub/models--Org--Big/snapshots'))).toBe(false);
    expect(await isThere(join(current.home, 'hub/models--Org--Big/refs'))).toBe(false);
  });

  it('of a small file is checked by the hash of git', async () => {
    const { model } = bigModel();
    const wrong: Fault = { kind: 'wrong-byte', at: 0 };
    model.files.get('config.json')!.faults = [wrong, wrong];
    const { message } = await failure(pull(current, ID));
    expect(message).toContain(`config.json arrived twice with git hash`);
    expect(message).toContain(etagOf(model.files.get('config.json')!));
  });

  it('goes on with what an earlier run has left, by a range without a condition', async () => {
    const { blob, partial } = bigModel();
    await mkdir(dirname(partial), { recursive: true });
    await writeFile(partial, weights.subarray(0, 60_000));
    const plan = await planPull(await accessOf(current), parseModelName(ID)!);
    expect(plan.files.map(({ presentBytes }) => presentBytes)).toEqual([0, 60_000]);
    await pull(current, ID);
    expect((await readFile(blob)).equals(weights)).toBe(true);
    expect(ranges()).toEqual(['bytes=60000-']);
    expect(current.hub.requests.at(-1)!.ifRange).toBeUndefined();
  });

  it.each([
    ['wrong', Buffer.alloc(60_000, 1), ['bytes=60000-', undefined]],
    ['too long', Buffer.concat([weights, weights]), [undefined]],
    ['whole', weights, []],
    ['whole and wrong', Buffer.alloc(SIZE, 1), [undefined]],
  ])('is right where the part that is left is %s', async (_, left, asked) => {
    const { blob, partial } = bigModel();
    await mkdir(dirname(partial), { recursive: true });
    await writeFile(partial, left);
    await pull(current, ID);
    expect((await readFile(blob)).equals(weights)).toBe(true);
    expect(ranges()).toEqual(asked);
  });

  it('stops at once when aborted, and keeps what it has', async () => {
    const { blob, partial } = bigModel();
    current.hub.paceMs = 20;
    const stop = new AbortController();
    const access = await accessOf(current, { signal: stop.signal });
    const plan = await planPull(access, parseModelName(ID)!);
    let here = 0;
    const pulling = fetchModel(access, plan, (bytes) => {
      here = bytes;
      if (bytes > 40_000) stop.abort();
    });
    expect((await failure(pulling)).name).toBe('AbortError');
    expect(await isThere(blob)).toBe(false);
    expect((await readFile(partial)).length).toBe(here - 2); // next to config.json
    expect(weights.subarray(0, here - 2).equals(await readFile(partial))).toBe(true);
    expect(await readdir(join(current.home, 'hub/.locks/models--Org--Big'))).toEqual([]);
  });

  it('of two at once happens once', async () => {
    const { blob } = bigModel();
    current.hub.paceMs = 5;
    const plans = await Promise.all([1, 2, 3].map(() => pull(current, ID)));
    expect(new Set(plans.map(({ snapshot }) => snapshot)).size).toBe(1);
    expect((await readFile(blob)).equals(weights)).toBe(true);
    expect(ranges()).toEqual([undefined]);
  });

  it('one file failing ends the others, which keep what they have', async () => {
    const { model, partial } = bigModel();
    current.hub.paceMs = 20;
    model.files.get('config.json')!.faults = [{ kind: 'status', status: 418 }];
    const error = await failure(pull(current, ID));
    expect(error.message).toContain('418');
    expect(await isThere(partial)).toBe(true);
    expect((await readFile(partial)).length).toBeLessThan(SIZE);
  });
});

describe('a server that is busy', () => {
  it('is asked again, after as long as it says', async () => {
    const { model, file } = bigModel(
      { kind: 'status', status: 503 },
      { kind: 'status', status: 429, headers: { 'retry-after': '1' } },
    );
    model.listingFaults.push({ kind: 'status', status: 500 });
    const startMs = performance.now();
    await pull(current, ID);
    expect(performance.now() - startMs).toBeGreaterThan(1000);
    expect(file.faults).toEqual([]);
  });

  it('for good is an error that says what it answers', async () => {
    const { model } = bigModel();
    const busy: Fault = { kind: 'status', status: 503 };
    model.listingFaults.push(...Array(9).fill(busy));
    const error = await failure(pull(current, ID));
    expect(error).toBeInstanceOf(UnavailableError);
    expect(error.message).toMatch(
      /^Org\/Big: 127\.0\.0\.1:\d+ answers 503 \(service unavailable\), 4 times in a row/,
    );
  });

  it('that asks for a long wait is not waited for', async () => {
    const { model } = bigModel();
    model.listingFaults.push({ kind: 'status', status: 429, headers: { 'retry-after': '3000' } });
    expect((await failure(pull(current, ID))).message).toContain('asks to wait 50 min');
  });

  it('whose address of a file has run out is asked for a new one', async () => {
    bigModel({ kind: 'status', status: 403 });
    await pull(current, ID);
    expect(current.hub.requests.filter(({ path }) => path.endsWith('/model.safetensors'))).toHaveLength(2);
  });
});

describe('the disk', () => {
  it('is looked at before', async () => {
    bigModel();
    const access = await accessOf(current);
    const plan = await planPull(access, parseModelName(ID)!);
    await checkDiskSpace(access, [plan]);
    const huge = { ...plan, files: plan.files.map((file) => ({ ...file, sizeBytes: 8e15 })) };
    const error = await failure(checkDiskSpace(access, [huge]));
    expect(error).toBeInstanceOf(InputError);
    expect(error.message).toMatch(
      /has .* GB free, and 16,000,000 GB are to be fetched; free some space, or set HF_HOME/,
    );
  });
});
