/** @file Endless and trickling responses: a pull does not wait forever, but does wait for slow connections. */

import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { UnavailableError } from '../../../src/base/index.js';
import { etagOf, type FakeFile, type FakeModel } from './fake-hub.js';
import { failure, hubCase, pull } from './hub-case.js';

const current = hubCase();
const ID = 'Org/Slow';
const SIZE = 100_000;
const weights = Buffer.from(Uint8Array.from({ length: SIZE }, (_, i) => (i * 7) >> 2));

/** A slower machine brings even fewer bytes in that time, so these tests do not depend on its speed. */
const patience = { stallSec: 60, least: { bytes: 3000, overSec: 0.3 }, retries: 2, retrySec: 0.004 };

function slowModel(): { model: FakeModel; file: FakeFile; blob: string } {
  const model = current.hub.addModel(ID, { 'config.json': '{}', 'model.safetensors': weights });
  const file = model.files.get('model.safetensors')!;
  return { model, file, blob: join(current.home, 'hub/models--Org--Slow/blobs', etagOf(file)) };
}

describe('an answer', () => {
  it('that trickles ends, also where each try brings a few bytes more', async () => {
    const { file, blob } = slowModel();
    file.faults = Array(20).fill({ kind: 'crawl', paceMs: 20 });
    const error = await failure(pull(current, ID, { patience }));
    expect(error).toBeInstanceOf(UnavailableError);
    expect(error.message).toMatch(
      /^Org\/Slow\/model\.safetensors: 127\.0\.0\.1:\d+ has sent \d+ bytes in \d+ s, 3 times in a row; run the same command/,
    );
    expect(file.faults).toHaveLength(17);
    const { length } = await readFile(`${blob}.emoq.incomplete`);
    expect(length).toBeGreaterThan(0);
    expect(length).toBeLessThan(3 * 3000);
  });

  it('that trickles at first is asked for again, and goes on from there', async () => {
    const { file, blob } = slowModel();
    file.faults = [{ kind: 'crawl', paceMs: 20 }];
    await pull(current, ID, { patience });
    expect((await readFile(blob)).equals(weights)).toBe(true);
  });

  it('that is slow and steady is waited for to its end', async () => {
    const { blob } = slowModel();
    current.hub.paceMs = 200; // 16 kB each time: seven pauses, longer than the measured interval
    await pull(current, ID, { patience: { ...patience, least: { bytes: 100, overSec: 0.1 } } });
    expect((await readFile(blob)).equals(weights)).toBe(true);
    expect(current.trouble).toEqual([]);
    expect(current.hub.requests.filter(({ server }) => server === 'store')).toHaveLength(1);
  });

  it('with a list of files that trickles ends', async () => {
    const { model } = slowModel();
    model.listingFaults.push(...Array(9).fill({ kind: 'crawl', paceMs: 20 }));
    const error = await failure(pull(current, ID, { patience }));
    expect(error).toBeInstanceOf(UnavailableError);
    expect(error.message).toMatch(
      /^Org\/Slow: 127\.0\.0\.1:\d+ has sent \d+ bytes in \d+ s, 4 times in a row/,
    );
  });

  it('with a list of files that has no end is left after 33.6 MB', async () => {
    const { model } = slowModel();
    model.listingFaults.push({ kind: 'endless' });
    const error = await failure(pull(current, ID));
    expect(error).toBeInstanceOf(UnavailableError);
    expect(error.message).toMatch(
      /^127\.0\.0\.1:\d+ answers with more than 33\.6 MB where a list of files is asked for; check HF_ENDPOINT/,
    );
    expect(await readdir(current.home)).toEqual([]);
  });
});

describe('a part of a download', () => {
  it('goes when another tool has fetched the whole meanwhile; one of other content stays', async () => {
    const { blob } = slowModel();
    await mkdir(dirname(blob), { recursive: true });
    await writeFile(blob, weights);
    await writeFile(`${blob}.emoq.incomplete`, weights.subarray(0, 100));
    const other = join(dirname(blob), `${'0'.repeat(64)}.emoq.incomplete`);
    await writeFile(other, 'of another revision');
    await pull(current, ID);
    const names = await readdir(dirname(blob));
    expect(names.filter((name) => name.endsWith('.incomplete'))).toEqual([
      `${'0'.repeat(64)}.emoq.incomplete`,
    ]);
  });
});
