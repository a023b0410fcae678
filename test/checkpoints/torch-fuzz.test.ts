/**
 * @file 10,000 damaged PyTorch files, seed 0: each gives one clear line or a right result, in little time and memory.
 * Damages zip headers, pickles inside zips with valid checksums, and the legacy format.
 */

import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fromBufferPromise } from 'yauzl';
import { type Random, seededRandom } from '../../src/engine/tensor/index.js';
import { bombs, sharedDictionary } from './pickle-bytes.js';
import { writeZip, type ZipEntry } from './zip-file.js';

const SEED = 0;
const CASES = 10_000;
/** Processor time: a file takes about a millisecond. */
const MAX_MS = 30_000;
const MAX_GROWTH_BYTES = 200e6;
const state = new URL('../fixtures/torch/state/', import.meta.url).pathname;

interface Result {
  readonly file: string;
  /** "answer", "refused", or what went wrong. */
  readonly outcome: string;
  readonly ms: number;
  readonly peakBytes: number;
}

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'emoq-torch-fuzz-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** Opens every file of a folder in a separate process. */
async function openEach(folder: string): Promise<Result[]> {
  const script = new URL('./open-each.mjs', import.meta.url).pathname;
  const child = spawn(process.execPath, [script, folder, join(state, 'zip.bin')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const results: Result[] = [];
  const ended = new Promise((resolve) => child.once('close', (code, signal) => resolve(code ?? signal)));
  for await (const line of createInterface({ input: child.stdout })) results.push(JSON.parse(line) as Result);
  const end = await ended;
  expect(end, `the process ended after ${results.at(-1)?.file}`).toBe(0);
  return results;
}

function checkAll(results: readonly Result[], warm: Result): void {
  expect(results.filter(({ outcome }) => outcome !== 'answer' && outcome !== 'refused')).toEqual([]);
  expect(results.filter(({ ms }) => ms > MAX_MS)).toEqual([]);
  expect(results.at(-1)!.peakBytes - warm.peakBytes).toBeLessThan(MAX_GROWTH_BYTES);
}

type Damage = (bytes: Buffer, random: Random) => Buffer;

const splice = (bytes: Buffer, start: number, removed: number, added: Buffer): Buffer =>
  Buffer.concat([bytes.subarray(0, start), added, bytes.subarray(start + removed)]);

const flipBits: Damage = (bytes, random) => {
  const flipped = Buffer.from(bytes);
  for (let times = 1 + random.integer(8); times > 0; times--) {
    flipped[random.integer(flipped.length)]! ^= 1 << random.integer(8);
  }
  return flipped;
};

const insertBytes: Damage = (bytes, random) => {
  const added = Buffer.from(Array.from({ length: 1 + random.integer(6) }, () => random.integer(256)));
  return splice(bytes, random.integer(bytes.length), 0, added);
};

const truncate: Damage = (bytes, random) => bytes.subarray(0, random.integer(bytes.length));

const removeBytes: Damage = (bytes, random) =>
  splice(bytes, random.integer(bytes.length), 1 + random.integer(20), Buffer.alloc(0));

const repeatBytes: Damage = (bytes, random) => {
  const start = random.integer(bytes.length);
  return splice(
    bytes,
    random.integer(bytes.length),
    0,
    bytes.subarray(start, start + 1 + random.integer(200)),
  );
};

const LENGTHS = [
  0xffff_ffffn,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffff_ffff_ffffn,
  1n << 53n,
  1n << 40n,
  0n,
  0xffffn,
];

const blowUpLength: Damage = (bytes, random) => {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(random.pick(LENGTHS));
  const width = random.pick([2, 4, 8]);
  return splice(bytes, random.integer(bytes.length), width, length.subarray(0, width));
};

const OPCODES = [
  ...'R.(t)}busQN02]ae\x81\x85\x86\x87\x93\x94',
  ...[
    'cos\nsystem\n',
    'h\x00',
    'h\x01',
    'q\x00',
    'K\x00',
    'U\x01a',
    'J\xff\xff\xff\xff',
    'X\xff\xff\xff\xff',
  ],
  ...['\x8a\xff', '\x8b\xff\xff\xff\x7f', 'G\x7f\xf0\x00\x00\x00\x00\x00\x00'],
];

const spliceOpcode: Damage = (bytes, random) => {
  const opcode = Buffer.from(random.pick(OPCODES), 'latin1');
  return splice(bytes, random.integer(bytes.length), random.integer(2) * opcode.length, opcode);
};

const damages = [flipBits, insertBytes, truncate, removeBytes, repeatBytes, blowUpLength, spliceOpcode];

function damaged(bytes: Buffer, random: Random): Buffer {
  return random.pick(damages)(bytes, random);
}

/** The end of a zip: its directory and the records after it. */
function damagedDirectory(zip: Buffer, random: Random): Buffer {
  const start = zip.indexOf('PK\x01\x02', 0, 'latin1');
  return Buffer.concat([zip.subarray(0, start), damaged(zip.subarray(start), random)]);
}

/** The entries of a fixture, to be rewritten around another pickle. */
async function entriesOf(zip: Buffer): Promise<ZipEntry[]> {
  const archive = await fromBufferPromise(zip);
  const entries: ZipEntry[] = [];
  for await (const entry of archive.eachEntry()) {
    const { fileDataStart } = await archive.readLocalFileHeaderPromise(entry);
    const content = zip.subarray(fileDataStart, fileDataStart + entry.compressedSize);
    entries.push({ name: entry.fileName, content });
  }
  return entries;
}

describe('a damaged PyTorch file', () => {
  it(`is refused in one line or read right, ${CASES} times`, async () => {
    const random = seededRandom(SEED);
    const load = (name: string): Promise<Buffer> => readFile(join(state, name));
    const zips = await Promise.all(['zip.bin', 'zip-protocol-4.bin', 'python2.bin'].map(load));
    const archives = await Promise.all(zips.map(entriesOf));
    const legacy = await Promise.all(['legacy.bin', 'legacy-protocol-4.bin'].map(load));
    const folder = join(root, 'damaged');
    await mkdir(folder);
    for (let place = 0; place < CASES; place++) {
      const path = join(folder, String(place).padStart(5, '0'));
      const kind = place % 5;
      if (kind === 0) await writeFile(path, damaged(random.pick(zips), random));
      else if (kind === 1) await writeFile(path, damagedDirectory(random.pick(zips), random));
      else if (kind === 2) {
        const entries = random
          .pick(archives)
          .map((entry) =>
            entry.name.endsWith('/data.pkl')
              ? { ...entry, content: damaged(entry.content as Buffer, random) }
              : entry,
          );
        await writeZip(path, entries);
      } else await writeFile(path, damaged(random.pick(legacy), random));
    }
    const [warm, ...results] = await openEach(folder);
    expect(results.length).toBe(CASES);
    checkAll(results, warm!);
    const answers = results.filter(({ outcome }) => outcome === 'answer').length;
    const slowest = Math.max(...results.map(({ ms }) => ms)).toFixed(0);
    console.log(
      `${CASES} damaged files, seed ${SEED}: ${answers} answers, ${CASES - answers} refused, slowest ${slowest} ms`,
    );
    // Both must be common, or the damage would prove nothing.
    expect(answers).toBeGreaterThan(CASES / 100);
    expect(answers).toBeLessThan(CASES / 2);
  });

  it('made to take memory or time takes little', async () => {
    const folder = join(root, 'bombs');
    await mkdir(folder);
    const pickles = { ...bombs, 'one dictionary under many keys': sharedDictionary() };
    for (const [name, pickle] of Object.entries(pickles)) {
      await writeZip(join(folder, name), [{ name: 'm/data.pkl', content: pickle }]);
    }
    const names = Array.from({ length: 75_000 }, (_, place) => ({
      name: `${place}`,
      content: Buffer.alloc(0),
    }));
    await writeZip(join(folder, 'zip entries'), names, { zip64: true });
    const [warm, ...results] = await openEach(folder);
    expect(results.length).toBe(Object.keys(pickles).length + 1);
    expect(results.filter(({ outcome }) => outcome !== 'refused')).toEqual([]);
    checkAll(results, warm!);
  });
});
