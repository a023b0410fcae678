/** @file PyTorch's zip format: unusual, very large and invalid files. */

import { mkdtemp, open, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readTorchFile } from '../../src/checkpoints/torch-file.js';
import { failure } from './failure.js';
import { dict, pickleOf, type TensorFields, tensorBytes } from './pickle-bytes.js';
import { writeZip, type ZipEntry } from './zip-file.js';

let root: string;
beforeAll(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'emoq-archive-')));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const floats = (...values: number[]): Buffer => Buffer.from(Float32Array.from(values).buffer);

/** The entries of a file whose state dict is one tensor "w" in storage "0" of two floats. */
function entriesOf(tensor: TensorFields = {}, storage: Partial<ZipEntry> = {}): ZipEntry[] {
  return [
    { name: 'any name/data.pkl', content: pickleOf(dict({ w: tensorBytes(tensor) })) },
    { name: 'any name/byteorder', content: Buffer.from('little') },
    { name: 'any name/data/0', content: floats(1, 2), ...storage },
    { name: 'any name/version', content: Buffer.from('3\n') },
  ];
}

let written = 0;
async function zipOf(entries: readonly ZipEntry[], options?: { zip64?: boolean }): Promise<string> {
  const path = join(root, `${written++}.bin`);
  await writeZip(path, entries, options);
  return path;
}

describe('an archive', () => {
  it.each([false, true])('may have any folder name, with zip64 records %s', async (zip64) => {
    const path = await zipOf(entriesOf(), { zip64 });
    const place = (await readTorchFile(path)).get('w')!;
    expect(place).toMatchObject({ dtype: 'float32', shape: [2], byteLength: 8 });
    const file = await open(path);
    const { buffer } = await file.read(Buffer.alloc(8), 0, 8, place.offset);
    await file.close();
    expect(buffer).toEqual(floats(1, 2));
  });

  it('needs no byte order, which older ones do not say', async () => {
    const entries = entriesOf().filter(({ name }) => !name.endsWith('byteorder'));
    expect((await readTorchFile(await zipOf(entries))).size).toBe(1);
  });

  it('of 5 GiB is opened without reading its weights', async () => {
    const elements = 5 * 2 ** 28;
    const large = { storage: '1', elements, shape: [5, 2 ** 28], strides: [2 ** 28, 1] };
    const path = await zipOf([
      { name: 'm/data.pkl', content: pickleOf(dict({ large: tensorBytes(large), small: tensorBytes() })) },
      { name: 'm/data/1', content: 4 * elements },
      { name: 'm/data/0', content: floats(3, 4) },
    ]);
    const before = process.memoryUsage().rss;
    const places = await readTorchFile(path);
    expect(process.memoryUsage().rss - before).toBeLessThan(50e6);
    expect(places.get('large')).toMatchObject({ shape: [5, 2 ** 28], byteLength: 4 * elements });
    const { offset } = places.get('small')!;
    expect(offset).toBeGreaterThan(4 * elements);
    const file = await open(path);
    const { buffer } = await file.read(Buffer.alloc(8), 0, 8, offset);
    await file.close();
    expect(buffer).toEqual(floats(3, 4));
  });
});

describe('an archive that lies', () => {
  const local = (fields: ZipEntry['local']): ZipEntry[] => entriesOf({}, { local: fields! });
  const directory = (fields: ZipEntry['directory']): ZipEntry[] => entriesOf({}, { directory: fields! });
  const pickle = (fields: Partial<ZipEntry>): ZipEntry[] =>
    entriesOf().map((entry) => (entry.name.endsWith('.pkl') ? { ...entry, ...fields } : entry));
  const cases: readonly (readonly [string, ZipEntry[], string])[] = [
    ['about a size', directory({ size: 4 }), 'has 4 bytes of "any name/data/0", its pickle says 8'],
    [
      'about a size that leaves the file',
      entriesOf({ elements: 1000 }, { directory: { size: 4000 } }),
      'file data overflows file bounds',
    ],
    ['about a method', directory({ method: 8 }), 'keeps "any name/data/0" compressed or encrypted'],
    ['about a method in the entry itself', local({ method: 8 }), 'has another header than the zip directory'],
    ['about a name in the entry itself', local({ name: 'any name/data/1' }), 'has another header than'],
    ['about encryption', directory({ flags: 1, size: 8 }), 'compressed/uncompressed size mismatch'],
    ['about a place', directory({ offset: 1 }), 'invalid local file header signature'],
    ['about a place behind the end', directory({ offset: 1e9 }), 'refers to bytes past the end of the file'],
    ['about the checksum of its pickle', pickle({ directory: { crc: 7 } }), 'data.pkl" fails its checksum'],
    ['about the size of its pickle', pickle({ directory: { size: 5 } }), 'data.pkl" fails its checksum'],
    [
      'by two entries of a name',
      [...entriesOf(), ...entriesOf().slice(2, 3)],
      'has two entries "any name/data/0"',
    ],
    [
      'by two pickles',
      [...entriesOf(), ...pickle({ name: 'b/data.pkl' }).slice(0, 1)],
      'a zip with 2 data.pkl',
    ],
    ['by no pickle', entriesOf().slice(1), 'is a zip with 0 data.pkl where a PyTorch file has one'],
    ['by no storage', entriesOf().slice(0, 2), 'has no storage "0", though its pickle asks for it'],
    ['by a path', entriesOf({}, { name: '../data/0' }), 'is a broken zip: invalid relative path'],
    ['by a pickle beyond measure', pickle({ content: (8 << 20) + 1 }), 'the limit is 8388608'],
    ['by names without end', many(70), 'has a zip directory of over 4194304 bytes'],
  ];

  it.each(cases)('%s is refused', async (_, entries, message) => {
    expect(await failure(readTorchFile(await zipOf(entries)))).toContain(message);
  });

  it('about the places of its own records is refused', async () => {
    const path = await zipOf(entriesOf(), { zip64: true });
    const file = await open(path, 'r+');
    const { size } = await file.stat();
    // The zip64 locator's offset, before the end record: not a valid file position.
    await file.write(Buffer.alloc(8, 0xff), 0, 8, size - 22 - 12);
    await file.close();
    expect(await failure(readTorchFile(path))).toContain('refers to bytes past the end of the file');
  });
});

/** Entries with names of 60,000 bytes. */
function many(count: number): ZipEntry[] {
  const names = Array.from({ length: count }, (_, place) => `${place}/${'x'.repeat(60_000)}`);
  return names.map((name) => ({ name, content: Buffer.alloc(0) }));
}

describe('a tensor that lies', () => {
  const cases: readonly (readonly [string, TensorFields, string])[] = [
    ['about its size', { shape: [3] }, '"w" of shape [3] at element 0 of a storage that has only 2'],
    ['about its offset', { offset: 1 }, '"w" of shape [2] at element 1 of a storage that has only 2'],
    ['about its storage', { elements: 3 }, 'has 8 bytes of "any name/data/0", its pickle says 12'],
    [
      'with a negative size',
      { shape: [-2] },
      'by something other than its storage, offset, shape and strides',
    ],
    [
      'with a negative offset',
      { offset: -1 },
      'by something other than its storage, offset, shape and strides',
    ],
    [
      'with a size beyond all numbers',
      { shape: Array(64).fill(2 ** 50), strides: Array(64).fill(0) },
      'strides',
    ],
    ['with sizes that overflow', { shape: [0, 2 ** 40, 2 ** 40], strides: [1, 1, 1] }, 'is too large'],
    ['with strides that overlap', { shape: [2], strides: [0] }, 'of shape [2] with strides [0]'],
    [
      'with a stride too many',
      { strides: [1, 1] },
      'has a tensor of 1 dimensions (of at most 64) and 2 strides',
    ],
    [
      'with too many dimensions',
      { shape: Array(65).fill(1), strides: Array(65).fill(1) },
      'of 65 dimensions',
    ],
    ['about its type', { type: 'load' }, 'asks for torch.load, which a state dict does not need'],
  ];

  it.each(cases)('%s is refused', async (_, tensor, message) => {
    expect(await failure(readTorchFile(await zipOf(entriesOf(tensor))))).toContain(message);
  });

  it('about a storage that another tensor describes otherwise is refused', async () => {
    const tensors = { w: tensorBytes(), v: tensorBytes({ type: 'IntStorage' }) };
    const [, ...rest] = entriesOf();
    const path = await zipOf([{ name: 'any name/data.pkl', content: pickleOf(dict(tensors)) }, ...rest]);
    expect(await failure(readTorchFile(path))).toContain('gives two accounts of storage "0"');
  });

  it.each([
    ['a scalar', { elements: 2, shape: [], strides: [], offset: 1 }, 4],
    ['a column with an odd stride in a dimension of one', { shape: [2, 1], strides: [1, 99] }, 8],
    ['an empty tensor at the end', { shape: [0, 7], strides: [3, 5], offset: 2 }, 0],
  ])('is not %s', async (_, tensor, byteLength) => {
    const place = (await readTorchFile(await zipOf(entriesOf(tensor)))).get('w')!;
    expect(place).toMatchObject({ shape: tensor.shape, byteLength });
  });
});
