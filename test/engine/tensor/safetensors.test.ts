/** @file safetensors against the Python library, in both directions, and every kind of corrupt file. */

import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InputError } from '../../../src/base/index.js';
import {
  float32,
  float32Of,
  isFloating,
  readSafetensors,
  readSafetensorsHeader,
  readSafetensorsTensor,
  type Tensor,
  tensor,
  writeSafetensors,
} from '../../../src/engine/tensor/index.js';

const fixtures = new URL('../../fixtures/safetensors/', import.meta.url).pathname;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'emoq-safetensors-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A file from a header (any text or value) and data. */
async function fileOf(
  header: unknown,
  data: Uint8Array = new Uint8Array(0),
  length?: bigint,
): Promise<string> {
  const json = Buffer.isBuffer(header)
    ? header
    : Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(length ?? BigInt(json.length));
  const path = join(folder, 'corrupt.safetensors');
  await writeFile(path, Buffer.concat([prefix, json, data]));
  return path;
}

describe('a file of the Python library', () => {
  it('reads with the same keys, shapes, values and metadata', async () => {
    const expected = JSON.parse(await readFile(join(fixtures, 'python.json'), 'utf8'));
    const { tensors, metadata } = await readSafetensors(join(fixtures, 'python.safetensors'));
    expect(metadata).toEqual(expected.metadata);
    expect([...tensors.keys()].sort()).toEqual(Object.keys(expected.shapes).sort());
    for (const [key, value] of tensors) {
      expect(value.shape, key).toEqual(expected.shapes[key]);
      if (isFloating(value.dtype)) {
        expect([...float32Of(value)], key).toEqual(expected.float32[key].map(Math.fround));
      } else {
        expect(Array.from(value.data, String), key).toEqual(expected.integers[key]);
      }
    }
  });

  it('gives one tensor alone, at an absolute offset', async () => {
    const path = join(fixtures, 'python.safetensors');
    const header = await readSafetensorsHeader(path);
    const one = await readSafetensorsTensor(header, '7');
    expect(one).toEqual(float32([1], [7]));
    const entry = header.entries.get('7')!;
    const bytes = await readFile(path);
    expect(bytes.readFloatLE(entry.offset)).toBe(7);
    await expect(readSafetensorsTensor(header, 'absent')).rejects.toThrow(
      `safetensors file ${path} has no tensor "absent"`,
    );
  });
});

describe('a file that emoq writes', () => {
  it('has the bytes that the Python library was seen to read back', async () => {
    const { tensors, metadata } = await readSafetensors(join(fixtures, 'python.safetensors'));
    const path = join(folder, 'deep', 'out.safetensors');
    const sorted = [...tensors.keys()].sort().map((key): [string, Tensor] => [key, tensors.get(key)!]);
    await writeSafetensors(path, sorted, metadata);
    const fixture = await readFile(join(fixtures, 'emoq.safetensors'));
    expect((await readFile(path)).equals(fixture)).toBe(true);
    expect(await readdir(join(folder, 'deep'))).toEqual(['out.safetensors']);
  });

  it('keeps the keys in the order given and every tensor aligned to its element', async () => {
    const path = join(folder, 'order.safetensors');
    const tensors = new Map<string, Tensor>([
      ['z', tensor('uint8', [3], Uint8Array.of(1, 2, 3))],
      ['10', float32([2], [4, 5])],
      ['9', tensor('int64', [1], BigInt64Array.of(-6n))],
      ['a', tensor('float16', [1], Uint16Array.of(0x3c00))],
    ]);
    await writeSafetensors(path, tensors);
    const bytes = await readFile(path);
    const json = bytes.toString('utf8', 8, 8 + Number(bytes.readBigUInt64LE()));
    expect([...json.matchAll(/"([^"]+)":\{/g)].map((match) => match[1])).toEqual(['z', '10', '9', 'a']);
    const header = await readSafetensorsHeader(path);
    expect(Math.min(...[...header.entries.values()].map((entry) => entry.offset)) % 64).toBe(0);
    for (const [key, { offset, dtype }] of header.entries) {
      const value = tensors.get(key)!;
      expect(dtype).toBe(value.dtype);
      expect(offset % value.data.BYTES_PER_ELEMENT, key).toBe(0);
      expect(await readSafetensorsTensor(header, key)).toEqual(value);
    }
  });

  it('may hold no tensors, and views into larger buffers', async () => {
    const path = join(folder, 'small.safetensors');
    await writeSafetensors(path, []);
    expect((await readSafetensors(path)).tensors.size).toBe(0);
    const view = Float32Array.of(0, 1, 2, 3).subarray(1, 3);
    await writeSafetensors(path, [['view', tensor('float32', [2], view)]]);
    expect((await readSafetensors(path)).tensors.get('view')).toEqual(float32([2], [1, 2]));
  });

  it('is refused, with nothing left behind, when the tensors make no sense', async () => {
    const path = join(folder, 'refused', 'out.safetensors');
    const one = float32([1], [1]);
    const twice: [string, Tensor][] = [
      ['a', one],
      ['a', one],
    ];
    await expect(writeSafetensors(path, twice)).rejects.toThrow('tensor "a" is given twice');
    await expect(writeSafetensors(path, [['__metadata__', one]])).rejects.toThrow('reserved');
    await expect(writeSafetensors(path, [['a', { ...one, shape: [2] }]])).rejects.toThrow('1 elements');
    await expect(readdir(join(folder, 'refused'))).rejects.toThrow('ENOENT');
  });
});

describe('a corrupt file gives one line with the file and the fault', () => {
  const entry = (begin: number, end: number, shape = [(end - begin) / 4], dtype = 'F32') => ({
    dtype,
    shape,
    data_offsets: [begin, end],
  });
  const bytes = (length: number) => new Uint8Array(length);
  const cases: [string, () => Promise<string>, string][] = [
    ['absent', async () => join(folder, 'nowhere.safetensors'), 'does not exist'],
    ['a folder', async () => folder, 'is not a file'],
    ['empty', () => write(''), 'is only 0 bytes long'],
    ['a Git LFS pointer', () => write('version https://git-lfs.github.com/spec/v1\n'), 'git lfs pull'],
    ['of absurd header length', () => fileOf('{}', bytes(0), 2n ** 63n), 'the limit is 2000000'],
    [
      'cut inside its header',
      () => fileOf('{}', bytes(0), 3n),
      'ends inside its header (10 bytes of at least 11)',
    ],
    ['of no header', () => fileOf(''), 'not JSON'],
    ['of invalid UTF-8', () => fileOf(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d])), 'not JSON'],
    ['of invalid JSON', () => fileOf('{"a":'), 'not JSON'],
    ['of a list as header', () => fileOf('[]'), "does not begin with '{'"],
    ['of a header after a space', () => fileOf(' {}'), "does not begin with '{'"],
    ['of metadata that are not strings', () => fileOf({ __metadata__: { a: 1 } }), '__metadata__'],
    [
      'of a tensor that is a number',
      () => fileOf({ a: 1 }),
      'no dtype, shape and data_offsets for tensor "a"',
    ],
    [
      'of an unknown dtype',
      () => fileOf({ a: entry(0, 4, [1], 'F8_E4M3') }, bytes(4)),
      'has dtype "F8_E4M3"',
    ],
    [
      'of a dtype named like a property',
      () => fileOf({ a: entry(0, 4, [1], 'constructor') }, bytes(4)),
      'dtype',
    ],
    ['of a negative size', () => fileOf({ a: entry(0, 4, [-1]) }, bytes(4)), 'has shape [-1]'],
    ['of a fractional size', () => fileOf({ a: entry(0, 4, [1.5]) }, bytes(4)), 'has shape [1.5]'],
    ['of a negative offset', () => fileOf({ a: entry(-4, 0, [1]) }, bytes(4)), 'data_offsets [-4,0]'],
    [
      'of three offsets',
      () => fileOf({ a: { dtype: 'F32', shape: [], data_offsets: [0, 4, 8] } }),
      '[0,4,8]',
    ],
    ['of offsets backwards', () => fileOf({ a: entry(4, 0, [1]) }, bytes(4)), 'end before they begin'],
    ['of bytes that miss the shape', () => fileOf({ a: entry(0, 8, [3]) }, bytes(8)), 'takes 12'],
    [
      'of an endless shape',
      () => fileOf({ a: entry(0, 8, [2 ** 52, 2 ** 52]) }, bytes(8)),
      'has 8 bytes for',
    ],
    [
      'of overlaps',
      () => fileOf({ a: entry(0, 8), b: entry(4, 12) }, bytes(12)),
      'overlaps the tensor before',
    ],
    [
      'of a key that comes twice',
      () => fileOf('{"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}', bytes(1)),
      'has the key "dtype" twice in one object of its header',
    ],
    [
      'of a tensor that comes twice, spelled otherwise',
      () => fileOf(`{"a":${JSON.stringify(entry(0, 4))},"\\u0061":${JSON.stringify(entry(0, 4))}}`, bytes(4)),
      'has the key "a" twice',
    ],
    [
      'of a shape that is nested deeply',
      () => fileOf(`{"a":{"dtype":"U8","shape":${'['.repeat(99_999)}${']'.repeat(99_999)}}}`),
      'has shape a value nested too deeply to show for tensor "a"',
    ],
    ['of the same bytes twice', () => fileOf({ a: entry(0, 8), b: entry(0, 8) }, bytes(8)), 'overlaps'],
    [
      'of a gap',
      () => fileOf({ a: entry(0, 4), b: entry(8, 12) }, bytes(12)),
      'a gap of 4 bytes before tensor "b"',
    ],
    ['of a gap at the front', () => fileOf({ a: entry(4, 8) }, bytes(8)), 'a gap of 4 bytes'],
    ['cut inside its data', () => fileOf({ a: entry(0, 8) }, bytes(7)), 'is cut short'],
    [
      'of bytes after the data',
      () => fileOf({ a: entry(0, 8) }, bytes(9)),
      'has 1 bytes after its last tensor',
    ],
  ];
  async function write(text: string): Promise<string> {
    const path = join(folder, 'corrupt.safetensors');
    await writeFile(path, text);
    return path;
  }
  it.each(cases)('%s', async (_name, make, message) => {
    const path = await make();
    const error = await readSafetensors(path).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(InputError);
    expect((error as Error).message).toContain(path);
    expect((error as Error).message).toContain(message);
    expect((error as Error).message).not.toContain('\n');
  });

  it('a file that shrinks after its header was read', async () => {
    const path = await fileOf({ a: entry(0, 8) }, bytes(8));
    const header = await readSafetensorsHeader(path);
    await writeFile(path, (await readFile(path)).subarray(0, -1));
    await expect(readSafetensorsTensor(header, 'a')).rejects.toThrow(/is cut short at byte \d+$/);
  });
});
