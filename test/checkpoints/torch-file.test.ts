/** @file pytorch_model.bin against PyTorch and transformers, in both formats. References: test/reference/torch-files.py. */

import { cp, mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { findSpeechEncoder } from '../../src/backbones/index.js';
import { openCheckpoint, readWeight, requireWeight } from '../../src/checkpoints/index.js';
import { readTorchFile } from '../../src/checkpoints/torch-file.js';
import { openFeatureCache } from '../../src/data/features/feature-cache.js';
import {
  elementCount,
  readSafetensors,
  type Tensor,
  writeSafetensors,
} from '../../src/engine/tensor/index.js';
import {
  encodeBatch,
  openEncoder,
  realFrames,
  relativeError,
} from '../backbones/speech-encoders/encoding.js';
import { failure } from './failure.js';

const fixtures = new URL('../fixtures/torch/', import.meta.url).pathname;
const MARK = 'emoq-pickle-ran';

let root: string;
beforeAll(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'emoq-torch-')));
});
afterAll(() => rm(root, { recursive: true, force: true }));
afterEach(() => vi.unstubAllEnvs());

/** A checkpoint folder with the given fixture files, by their names in the folder. */
async function folderOf(name: string, files: Readonly<Record<string, string>>): Promise<string> {
  const dir = join(root, name);
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, 'config.json'), '{"model_type":"x"}');
  for (const [file, source] of Object.entries(files)) await cp(join(fixtures, source), join(dir, file));
  return dir;
}

const bytesOf = ({ data }: Tensor): Buffer => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

describe('the weights of a state dict', () => {
  const files = ['zip.bin', 'zip-protocol-4.bin', 'legacy.bin', 'legacy-protocol-4.bin', 'python2.bin'];

  it.each(files)('are found and read from %s as PyTorch has them', async (file) => {
    const { tensors } = await readSafetensors(join(fixtures, 'state', 'values.safetensors'));
    const dir = await folderOf(`state-${file}`, { 'pytorch_model.bin': `state/${file}` });
    const { weights } = await openCheckpoint(dir);
    expect([...weights.keys()].sort()).toEqual([...tensors.keys()].sort());
    expect([...weights.keys()].slice(0, 3)).toEqual(['embedding.weight', 'lm_head.weight', 'rows']);
    for (const [key, expected] of tensors) {
      const ref = weights.get(key)!;
      expect(ref).toMatchObject({ key, dtype: expected.dtype, shape: expected.shape });
      expect(ref.path).toBe(join(dir, 'pytorch_model.bin'));
      expect(bytesOf(await readWeight(ref)).equals(bytesOf(expected)), key).toBe(true);
    }
  });

  it('share bytes where tensors share a storage', async () => {
    const places = await readTorchFile(join(fixtures, 'state', 'zip.bin'));
    const [table, tied, rows] = ['embedding.weight', 'lm_head.weight', 'rows'].map((key) => places.get(key)!);
    expect(tied).toEqual(table);
    expect(rows!.offset).toBe(table!.offset + 3 * 4); // from the second row of three floats
  });

  it('of 16 bits are raw words', async () => {
    const { weights } = await openCheckpoint(
      await folderOf('words', { 'pytorch_model.bin': 'state/legacy.bin' }),
    );
    const half = await readWeight(requireWeight({ dir: '', config: {}, weights }, 'half', [3]));
    const bfloat16 = await readWeight(requireWeight({ dir: '', config: {}, weights }, 'bfloat16', [2]));
    expect([half.dtype, [...(half.data as Uint16Array)]]).toEqual(['float16', [0x2e66, 0xfbff, 0x0001]]);
    expect([bfloat16.dtype, [...(bfloat16.data as Uint16Array)]]).toEqual(['bfloat16', [0x4049, 0xfe96]]);
  });
});

describe('a HuBERT in pytorch_model.bin', () => {
  const hubert = join(fixtures, 'hubert');

  it.each(['pytorch_model.bin', 'legacy.bin'])('runs in place from %s as in transformers', async (file) => {
    const dir = await folderOf(`hubert-${file}`, { 'config.json': 'hubert/config.json' });
    await cp(join(hubert, file), join(dir, 'pytorch_model.bin'));
    const { tensors } = await readSafetensors(join(hubert, 'reference.safetensors'));
    const session = await openEncoder(dir);
    try {
      for (const clip of [0, 1]) {
        const samples = tensors.get(`clip.${clip}`)!.data as Float32Array;
        const [hidden] = realFrames(await encodeBatch(session, [samples]));
        const expected = tensors.get(`hidden.${clip}`)!;
        expect(hidden!.length).toBe(elementCount(expected.shape));
        expect(relativeError(hidden!, expected.data as Float32Array)).toBeLessThan(1e-5);
      }
    } finally {
      await session.dispose();
    }
  });

  it('is read through the links of a Hugging Face cache, and runs from the blob', async () => {
    const model = join(root, 'hub', 'models--Org--Tiny');
    const snapshot = join(model, 'snapshots', 'abc');
    await mkdir(snapshot, { recursive: true });
    await mkdir(join(model, 'blobs'));
    await mkdir(join(model, 'refs'));
    await writeFile(join(model, 'refs', 'main'), 'abc');
    for (const [file, blob] of Object.entries({ 'pytorch_model.bin': 'f00d', 'config.json': 'beef' })) {
      await cp(join(hubert, file), join(model, 'blobs', blob));
      await symlink(`../../blobs/${blob}`, join(snapshot, file));
    }
    vi.stubEnv('HF_HUB_CACHE', join(root, 'hub'));
    const checkpoint = await openCheckpoint('Org/Tiny');
    expect(checkpoint.dir).toBe(snapshot);
    expect(new Set([...checkpoint.weights.values()].map(({ path }) => path))).toEqual(
      new Set([join(model, 'blobs', 'f00d')]),
    );
    const session = await openEncoder('Org/Tiny');
    expect(session.outputNames).toContain('last_hidden_state');
    await session.dispose();
  });

  it('gives the feature cache another key when one byte of it changes', async () => {
    const dir = await folderOf('keyed', {
      'config.json': 'hubert/config.json',
      'pytorch_model.bin': 'hubert/pytorch_model.bin',
    });
    const path = join(dir, 'pytorch_model.bin');
    const { weights } = await openCheckpoint(dir);
    const { files } = await findSpeechEncoder(dir, null);
    expect(files).toEqual([join(dir, 'config.json'), path]);
    const before = await openFeatureCache(join(root, 'cache'), files);
    const bytes = await readFile(path);
    bytes[[...weights.values()][0]!.offset]! ^= 1;
    await writeFile(path, bytes);
    expect((await openFeatureCache(join(root, 'cache'), files)).dir).not.toBe(before.dir);
  });
});

describe('a checkpoint folder with .bin files', () => {
  const shards = ['pytorch_model-00001-of-00002.bin', 'pytorch_model-00002-of-00002.bin'] as const;

  it('may be sharded', async () => {
    const { weights } = await openCheckpoint(join(fixtures, 'sharded'));
    expect([...weights].map(([key, { path }]) => [key, path])).toEqual([
      ['a', join(fixtures, 'sharded', shards[0])],
      ['b', join(fixtures, 'sharded', shards[0])],
      ['c', join(fixtures, 'sharded', shards[1])],
    ]);
    expect(await readWeight(weights.get('c')!)).toEqual({
      dtype: 'float32',
      shape: [4],
      data: Float32Array.of(0, 1, 2, 3),
    });
  });

  it('is read from safetensors where it has these, and never from the state of training', async () => {
    const dir = await folderOf('both', {
      'pytorch_model.bin': 'harmful/system.bin',
      'training_args.bin': 'harmful/eval.bin',
      'optimizer.bin': 'harmful/exec.bin',
    });
    await writeSafetensors(join(dir, 'model.safetensors'), [
      ['w', { dtype: 'float32', shape: [1], data: Float32Array.of(1) }],
    ]);
    expect([...(await openCheckpoint(dir)).weights.keys()]).toEqual(['w']);
    await rm(join(dir, 'model.safetensors'));
    await cp(join(fixtures, 'sharded', shards[1]), join(dir, 'pytorch_model.bin'));
    expect([...(await openCheckpoint(dir)).weights.keys()]).toEqual(['c']);
    await rm(join(dir, 'pytorch_model.bin'));
    expect(await failure(openCheckpoint(dir))).toBe(
      `checkpoint ${dir} has no weights; looked for model.safetensors and pytorch_model.bin, or model.safetensors.index.json or pytorch_model.bin.index.json with its shards`,
    );
  });

  it.each([
    ['../state/zip.bin', 'puts "a" into "../state/zip.bin", not a .bin file of its folder'],
    ['/etc/passwd.bin', 'puts "a" into "/etc/passwd.bin"'],
    ['model.safetensors', 'puts "a" into "model.safetensors"'],
    ['gone.bin', 'is missing gone.bin, which pytorch_model.bin.index.json lists'],
    ['one.bin', 'one.bin has no weight "a", though pytorch_model.bin.index.json puts it there'],
  ])('whose index puts a weight into %s is refused', async (shard, message) => {
    const dir = await folderOf('indexed', { 'one.bin': `sharded/${shards[1]}` });
    const index = { weight_map: { a: shard } };
    await writeFile(join(dir, 'pytorch_model.bin.index.json'), JSON.stringify(index));
    expect(await failure(openCheckpoint(dir))).toContain(message);
  });
});

describe('what cannot be read in place', async () => {
  const refused = await readMessages('refused');

  it.each(refused)('%s is refused with %s', async (file, message) => {
    const path = join(fixtures, 'refused', file);
    const shown = await failure(readTorchFile(path));
    expect(shown).toContain(message);
    expect(shown.startsWith(`PyTorch file ${path} `)).toBe(true);
  });

  it.each([
    ['nothing', Buffer.alloc(0), 'is empty'],
    ['text', Buffer.from('<!DOCTYPE html>'), 'is not a PyTorch file: neither a zip nor a pickle'],
    ['pointer', Buffer.from('version https://git-lfs.github.com/spec/v1\n'), 'is a Git LFS pointer'],
    ['tar', Buffer.from(`${'sys_info'.padEnd(257, '\0')}ustar`), 'is a tar, as PyTorch wrote before 0.2'],
    ['PK', Buffer.from('PK\x03\x04'), 'is a broken zip: End of central directory record signature not found'],
    ['half a magic number', Buffer.from('\x80\x02\x8a\x0a', 'latin1'), 'has a pickle that is cut short'],
  ])('%s is refused', async (name, bytes, message) => {
    const path = join(root, name);
    await writeFile(path, bytes);
    expect(await failure(readTorchFile(path))).toContain(`PyTorch file ${path} ${message}`);
  });

  it('a folder or a missing file is refused', async () => {
    expect(await failure(readTorchFile(root))).toBe(`PyTorch file ${root} is not a file`);
    expect(await failure(readTorchFile(join(root, 'gone')))).toContain('does not exist');
  });
});

describe('a pickle that does harm', async () => {
  const harmful = await readMessages('harmful');

  it.each(harmful)('%s is refused by the name %s and leaves no trace', async (file, asked) => {
    const dir = await folderOf(`harmful-${file}`, { 'pytorch_model.bin': `harmful/${file}` });
    expect(await failure(openCheckpoint(dir))).toContain(
      `${dir}/pytorch_model.bin asks for ${asked}, which a state dict does not need; it was not executed`,
    );
    expect((await readdir(dir)).sort()).toEqual(['config.json', 'pytorch_model.bin']);
    expect(await readdir(process.cwd())).not.toContain(MARK);
  });
});

/** The expected messages in a fixture folder's JSON, by file. */
async function readMessages(folder: string): Promise<[string, string][]> {
  const json = await readFile(join(fixtures, folder, `${folder}.json`), 'utf8');
  return Object.entries(JSON.parse(json) as Record<string, string>);
}
