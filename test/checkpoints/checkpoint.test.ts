/** @file Checkpoint folders: single and sharded files, the Hugging Face cache, prefixes, and errors. */

import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { InputError } from '../../src/base/index.js';
import {
  findCheckpointFolder,
  openCheckpoint,
  readWeight,
  requireWeight,
  weightsUnder,
} from '../../src/checkpoints/index.js';
import { float32, type Tensor, tensor, writeSafetensors } from '../../src/engine/tensor/index.js';
import { failure } from './failure.js';

let root: string;
beforeAll(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'emoq-checkpoint-')));
});
afterAll(() => rm(root, { recursive: true, force: true }));
afterEach(() => vi.unstubAllEnvs());

const tensors: [string, Tensor][] = [
  ['model.a', float32([2, 3], [1, 2, 3, 4, 5, 6])],
  ['model.b', float32([2], [7, 8])],
  ['lm_head', float32([1], [9])],
];

/** A folder with a config.json and the given JSON files. */
async function folderOf(name: string, files: Record<string, unknown> = {}): Promise<string> {
  const dir = join(root, name);
  await mkdir(dir, { recursive: true });
  for (const [file, content] of Object.entries({ 'config.json': { model_type: 'x' }, ...files })) {
    await writeFile(join(dir, file), typeof content === 'string' ? content : JSON.stringify(content));
  }
  return dir;
}

describe('a checkpoint folder', () => {
  it('opens with its config and the place of each weight', async () => {
    const dir = await folderOf('single', { 'config.json': { model_type: 'x', hidden_size: 4 } });
    await writeSafetensors(join(dir, 'model.safetensors'), tensors);
    const checkpoint = await openCheckpoint(dir);
    expect(checkpoint.dir).toBe(dir);
    expect(checkpoint.config).toEqual({ model_type: 'x', hidden_size: 4 });
    expect([...checkpoint.weights.keys()]).toEqual(['model.a', 'model.b', 'lm_head']);
    for (const [key, value] of tensors) {
      const ref = checkpoint.weights.get(key)!;
      expect(ref).toMatchObject({
        key,
        dtype: 'float32',
        shape: value.shape,
        path: join(dir, 'model.safetensors'),
      });
      expect(await readWeight(ref)).toEqual(value);
    }
  });

  it('may be sharded', async () => {
    const dir = await folderOf('sharded', {
      'model.safetensors.index.json': {
        metadata: { total_size: 36 },
        weight_map: {
          'model.a': 'one.safetensors',
          'model.b': 'two.safetensors',
          lm_head: 'two.safetensors',
        },
      },
    });
    await writeSafetensors(join(dir, 'one.safetensors'), tensors.slice(0, 1));
    await writeSafetensors(join(dir, 'two.safetensors'), tensors.slice(1));
    const { weights } = await openCheckpoint(dir);
    expect(weights.size).toBe(3);
    expect(weights.get('lm_head')!.path).toBe(join(dir, 'two.safetensors'));
    for (const [key, value] of tensors) expect(await readWeight(weights.get(key)!)).toEqual(value);
  });

  it('that is incomplete or corrupt gives one line naming it', async () => {
    const nothing = await folderOf('nothing');
    expect(await failure(openCheckpoint(nothing))).toMatch(
      /has no weights; looked for model\.safetensors and pytorch_model\.bin, or/,
    );
    const pickled = await folderOf('pickled', { 'pytorch_model.bin': 'PK' });
    expect(await failure(openCheckpoint(pickled))).toBe(
      `PyTorch file ${pickled}/pytorch_model.bin is not a PyTorch file: neither a zip nor a pickle`,
    );
    const corrupt = await folderOf('corrupt', { 'model.safetensors': 'no weights at all' });
    expect(await failure(openCheckpoint(corrupt))).toContain(`safetensors file ${corrupt}/model.safetensors`);
    const broken = await folderOf('broken', { 'config.json': '{"model_type":' });
    expect(await failure(openCheckpoint(broken))).toContain(`${broken}/config.json is not valid JSON`);
    const list = await folderOf('list', { 'config.json': [] });
    expect(await failure(openCheckpoint(list))).toContain(`${list}/config.json is not a JSON object`);
    await mkdir(join(root, 'empty'));
    expect(await failure(openCheckpoint(join(root, 'empty')))).toContain('config.json does not exist');
  });

  it('with a wrong index gives one line naming the shard or the key', async () => {
    const sharded = (name: string, index: unknown) =>
      folderOf(name, { 'model.safetensors.index.json': index });
    const absent = await sharded('absent', { weight_map: { a: 'gone.safetensors' } });
    expect(await failure(openCheckpoint(absent))).toContain(
      `checkpoint ${absent} is missing gone.safetensors`,
    );
    const outside = await sharded('outside', { weight_map: { a: '../single/model.safetensors' } });
    expect(await failure(openCheckpoint(outside))).toContain('puts "a" into "../single/model.safetensors"');
    const empty = await sharded('mapless', {});
    expect(await failure(openCheckpoint(empty))).toContain('has no "weight_map" object');
    const nothing = await sharded('null', null);
    expect(await failure(openCheckpoint(nothing))).toContain('has no "weight_map" object');
    const wrong = await sharded('wrong', { weight_map: { c: 'one.safetensors' } });
    await writeSafetensors(join(wrong, 'one.safetensors'), tensors);
    expect(await failure(openCheckpoint(wrong))).toContain('one.safetensors has no weight "c"');
  });
});

describe('a model id', () => {
  /** A cache with the layout of the huggingface_hub library: snapshots link to blobs. */
  async function cacheOf(name: string, main: string | undefined, ...revisions: string[]): Promise<string> {
    const model = join(root, name, 'models--Org--Tiny.1');
    await mkdir(join(model, 'blobs'), { recursive: true });
    await mkdir(join(model, 'refs'));
    await writeSafetensors(join(model, 'blobs', 'w123'), tensors);
    await writeFile(join(model, 'blobs', 'c123'), '{"model_type":"x"}');
    if (main !== undefined) await writeFile(join(model, 'refs', 'main'), main);
    for (const revision of revisions) {
      const snapshot = join(model, 'snapshots', revision);
      await mkdir(snapshot, { recursive: true });
      await symlink('../../blobs/w123', join(snapshot, 'model.safetensors'));
      await symlink('../../blobs/c123', join(snapshot, 'config.json'));
    }
    return model;
  }

  it('is found in the Hugging Face cache, and weights refer to the real file', async () => {
    const model = await cacheOf('home/hub', 'abc\n', 'old', 'abc');
    vi.stubEnv('HF_HUB_CACHE', '');
    vi.stubEnv('HUGGINGFACE_HUB_CACHE', '');
    vi.stubEnv('HF_HOME', join(root, 'home'));
    const checkpoint = await openCheckpoint('Org/Tiny.1');
    expect(checkpoint.dir).toBe(join(model, 'snapshots', 'abc'));
    expect(checkpoint.weights.get('lm_head')!.path).toBe(join(model, 'blobs', 'w123'));
    expect(await readWeight(checkpoint.weights.get('lm_head')!)).toEqual(float32([1], [9]));
  });

  it('is found in $HF_HUB_CACHE first, and without refs/main when there is one snapshot', async () => {
    const model = await cacheOf('hub-cache', undefined, 'only');
    vi.stubEnv('HF_HUB_CACHE', join(root, 'hub-cache'));
    vi.stubEnv('HF_HOME', join(root, 'home'));
    expect(await findCheckpointFolder('Org/Tiny.1')).toBe(join(model, 'snapshots', 'only'));
  });

  it('gives way to a local folder of that name', async () => {
    const before = process.cwd();
    await folderOf('Org/Tiny.1');
    vi.stubEnv('HF_HUB_CACHE', join(root, 'hub-cache'));
    const spy = vi.spyOn(process, 'cwd').mockReturnValue(root);
    try {
      expect(await findCheckpointFolder('Org/Tiny.1')).toBe(join(root, 'Org/Tiny.1'));
    } finally {
      spy.mockRestore();
    }
    expect(process.cwd()).toBe(before);
  });

  it('that is not there gives one line of what was looked for and where', async () => {
    vi.stubEnv('HF_HUB_CACHE', join(root, 'hub-cache'));
    expect(await failure(openCheckpoint('Qwen/Absent-7B'))).toBe(
      `checkpoint "Qwen/Absent-7B" not found: no folder ${join(process.cwd(), 'Qwen/Absent-7B')}, and no ${join(root, 'hub-cache/models--Qwen--Absent-7B')} in the Hugging Face cache; fetch it with emoq pull Qwen/Absent-7B, or give the path of a folder that holds config.json and model.safetensors or pytorch_model.bin`,
    );
    expect(await failure(openCheckpoint('/nowhere/at/all'))).toBe(
      'checkpoint folder /nowhere/at/all does not exist; give the path of a folder that holds config.json and model.safetensors or pytorch_model.bin',
    );
    expect(await failure(openCheckpoint(join(root, 'single/config.json')))).toContain(
      'is a file, not a folder',
    );
  });

  it('whose download is incomplete says so', async () => {
    await cacheOf('two', undefined, 'one', 'two');
    vi.stubEnv('HF_HUB_CACHE', join(root, 'two'));
    expect(await failure(openCheckpoint('Org/Tiny.1'))).toContain('has 2 snapshots and no refs/main');
    await cacheOf('gone', 'abc', 'old');
    vi.stubEnv('HF_HUB_CACHE', join(root, 'gone'));
    expect(await failure(openCheckpoint('Org/Tiny.1'))).toContain('has no snapshot of revision "abc"');
  });
});

describe('weights', () => {
  it('are found with and without the prefix that a checkpoint stores', async () => {
    const dir = await folderOf('prefixed');
    await writeSafetensors(join(dir, 'model.safetensors'), [...tensors, ['b', float32([1], [0])]]);
    const view = weightsUnder(await openCheckpoint(dir), ['model.', '']);
    expect(view.weights.get('a')!.key).toBe('model.a');
    expect(view.weights.get('b')!.key).toBe('model.b');
    expect(view.weights.get('lm_head')!.key).toBe('lm_head');
    expect(view.weights.get('absent')).toBeUndefined();
    const strict = weightsUnder(view, ['nothing.']);
    expect(strict.weights.size).toBe(0);
    expect(() => requireWeight(strict, 'a', [2, 3])).toThrow('it holds none');
  });

  it('are refused with key and folder when absent, of another shape, or quantised', async () => {
    const dir = await folderOf('checked');
    const quantised = tensor('int8', [2], Int8Array.of(1, 2));
    await writeSafetensors(join(dir, 'model.safetensors'), [...tensors, ['q', quantised]]);
    const checkpoint = weightsUnder(await openCheckpoint(dir), ['model.', '']);
    expect(requireWeight(checkpoint, 'a', [2, 3]).key).toBe('model.a');
    const cases: [string, number[], string][] = [
      ['c', [2], `checkpoint ${dir} has no weight "c"; it holds 4, such as "model.a"`],
      ['a', [3, 2], `weight "model.a" in ${dir} has shape [2, 3], the config asks for [3, 2]`],
      ['a', [2, 3, 1], `weight "model.a" in ${dir} has shape [2, 3], the config asks for [2, 3, 1]`],
      ['q', [2], `weight "q" in ${dir} is int8; quantised checkpoints cannot be read, only floating ones`],
    ];
    for (const [key, shape, message] of cases) {
      const require = () => requireWeight(checkpoint, key, shape);
      expect(require).toThrow(InputError);
      expect(require).toThrow(message);
    }
  });
});
