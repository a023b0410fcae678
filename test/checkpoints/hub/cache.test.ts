/**
 * @file The cache: the same files and links as written by the huggingface_hub library, and reading what that library
 * wrote.
 */

import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { hubCacheFolder } from '../../../src/checkpoints/hub/index.js';
import { findCheckpointFolder } from '../../../src/checkpoints/index.js';
import { hubCase, pull, treeOf } from './hub-case.js';

type Tree = Record<string, { link: string } | { text: string }>;
const reference: {
  model: string;
  commit: string;
  revisions: string[];
  files: Record<string, string>;
  cache: Tree;
} = JSON.parse(await readFile(new URL('../../fixtures/hub/cache.json', import.meta.url), 'utf8'));

const current = hubCase();
const addReference = () => current.hub.addModel(reference.model, reference.files, /\.safetensors$/);
const modelFolder = () => join(current.home, 'hub', `models--${reference.model.replace('/', '--')}`);

describe('a pulled model', () => {
  it('lies in the cache as huggingface_hub puts it there', async () => {
    expect(addReference().commit).toBe(reference.commit);
    for (const revision of reference.revisions) await pull(current, `${reference.model}@${revision}`);
    expect(await treeOf(modelFolder())).toEqual(reference.cache);
  });

  it('is taken as it is where huggingface_hub has fetched it: one request, nothing written', async () => {
    addReference();
    for (const [name, entry] of Object.entries(reference.cache)) {
      const path = join(modelFolder(), name);
      await mkdir(dirname(path), { recursive: true });
      if ('link' in entry) await symlink(entry.link, path);
      else await writeFile(path, entry.text);
    }
    const plan = await pull(current, reference.model);
    expect(plan.files.every(({ presentBytes, sizeBytes }) => presentBytes === sizeBytes)).toBe(true);
    expect(current.hub.requests.map(({ path }) => path)).toEqual([
      `/api/models/${reference.model}/revision/main?blobs=true`,
    ]);
    expect(Object.keys(await treeOf(join(current.home, 'hub'))).sort()).toEqual(
      Object.keys(reference.cache)
        .map((name) => `models--Org--Tiny.1/${name}`)
        .sort(),
    );
  });

  it('has files of the same content as links to one blob, fetched once', async () => {
    const same = {
      'config.json': '{}',
      'tokenizer.json': '{}',
      'vocab.json': '{}',
      'model.safetensors': '{}',
    };
    const { commit } = current.hub.addModel('Org/Same', same);
    current.hub.paceMs = 20;
    const { snapshot } = await pull(current, 'Org/Same');
    const links = Object.values(await treeOf(snapshot)).map((entry) => ('link' in entry ? entry.link : ''));
    expect([links.length, new Set(links).size]).toEqual([4, 2]);
    const asked = current.hub.requests.filter(({ path }) => path.includes(`/resolve/${commit}/`));
    expect(asked).toHaveLength(2);
  });

  it('is found by its name, and the second pull is one request', async () => {
    addReference();
    const { snapshot } = await pull(current, reference.model);
    expect(await findCheckpointFolder(reference.model)).toBe(snapshot);
    current.hub.requests.length = 0;
    await pull(current, reference.model);
    expect(current.hub.requests).toHaveLength(1);
  });

  it('takes plain files of a snapshot too, as a disk without links has them', async () => {
    addReference();
    const { snapshot } = await pull(current, reference.model);
    await rm(join(snapshot, 'config.json'));
    await writeFile(join(snapshot, 'config.json'), reference.files['config.json']!);
    current.hub.requests.length = 0;
    await pull(current, reference.model);
    expect(current.hub.requests).toHaveLength(1);
  });

  it('has a blob of the wrong size, or a lost link, repaired', async () => {
    addReference();
    const { snapshot, files } = await pull(current, reference.model);
    const before = await treeOf(modelFolder());
    const shard = files.find(({ path }) => path.startsWith('model-00001'))!;
    await writeFile(join(modelFolder(), 'blobs', shard.etag), 'cut');
    await rm(join(snapshot, 'config.json'));
    await pull(current, reference.model);
    expect(await treeOf(modelFolder())).toEqual(before);
  });

  it('moves its ref when the branch moves, and keeps the older snapshot', async () => {
    const model = addReference();
    const { snapshot } = await pull(current, reference.model);
    const commit = '5'.repeat(40);
    current.hub.models.set(reference.model, { ...model, commit });
    const next = await pull(current, reference.model);
    expect(next.commit).toBe(commit);
    expect(await readFile(join(modelFolder(), 'refs', 'main'), 'utf8')).toBe(commit);
    expect(Object.keys(await treeOf(snapshot))).toHaveLength(7);
    // The content is the same, so only the listing was requested.
    expect(current.hub.requests.at(-1)!.path).toContain('/api/models/');
  });

  it('at a pinned commit becomes main where there is none, and leaves a main that is there', async () => {
    const files = { 'config.json': '{}', 'model.safetensors': 'w' };
    const commit = 'e2da8e2f811d1448a5b465c236feacd80ffbac7b';
    current.hub.models.set('FacebookAI/roberta-base', { ...current.hub.addModel('x/y', files), commit });
    const main = join(current.home, 'hub', 'models--FacebookAI--roberta-base', 'refs', 'main');
    const { snapshot } = await pull(current, 'roberta-base');
    expect(await readFile(main, 'utf8')).toBe(commit);
    expect(await findCheckpointFolder('roberta-base')).toBe(snapshot);
    await writeFile(main, '5'.repeat(40));
    await pull(current, 'roberta-base');
    expect(await readFile(main, 'utf8')).toBe('5'.repeat(40));
  });
});

describe('the cache folder', () => {
  it('is that of the variables of huggingface_hub, in their order', () => {
    const set = (values: Record<string, string | undefined>): string => {
      vi.stubEnv('HF_HOME', undefined);
      for (const [name, value] of Object.entries(values)) vi.stubEnv(name, value);
      return hubCacheFolder();
    };
    expect(set({})).toBe(join(homedir(), '.cache/huggingface/hub'));
    expect(set({ XDG_CACHE_HOME: '/x' })).toBe('/x/huggingface/hub');
    expect(set({ HF_HOME: '~/hf' })).toBe(join(homedir(), 'hf/hub'));
    expect(set({ SCRATCH: '/s', HF_HOME: '$SCRATCH/hf' })).toBe('/s/hf/hub');
    expect(set({ HUGGINGFACE_HUB_CACHE: '/old' })).toBe('/old');
    expect(set({ HF_HUB_CACHE: '/new' })).toBe('/new');
  });
});
