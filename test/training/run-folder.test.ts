/** @file Run folders: when they count as new, unfinished, finished or foreign, and what a killed run leaves. */

import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { InputError, writeJsonAtomic } from '../../src/base/index.js';
import { float32, writeSafetensors } from '../../src/engine/tensor/index.js';
import { loadRecipe } from '../../src/recipe/index.js';
import type { Recipe } from '../../src/systems/settings.js';
import { changedCircumstances } from '../../src/training/run-metadata.js';
import { phaseFolder, type RunFolder, runRecipe } from '../../src/training/runs/folder.js';
import {
  type RunMetadata,
  readMetadata,
  storedMetadata,
  writeMetadata,
} from '../../src/training/runs/metadata.js';
import {
  createRun,
  inspectRun,
  lockRun,
  positionMetadata,
  readPosition,
  removeDeadLock,
  removeTemporaries,
  type TrainingPosition,
} from '../../src/training/runs/run-state.js';
import { runMetadata } from './run-metadata.js';

let root: string;
let folder: RunFolder;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'emoq-run-'));
  folder = phaseFolder(join(root, 'runs', 'demo'), 'stage1', undefined);
});
afterEach(() => rm(root, { recursive: true }));

async function recipeWith(...overrides: string[]): Promise<Recipe> {
  const path = join(root, 'demo.yaml');
  await writeFile(path, 'labels: [happy, sad]\nmanifest: data/demo/manifest.csv\n');
  return loadRecipe({ path, overrides });
}

const metadata = runMetadata();
const position: TrainingPosition = {
  ...{ step: 3, epoch: 1, metricsBytes: 12 },
  best: { epoch: 1, metric: 'wf1', value: 0.5 },
};
const saveState = (metadata = positionMetadata(position)): Promise<void> =>
  writeSafetensors(folder.state, [['w', float32([1], [1])]], metadata);

describe('the folder of a run', () => {
  it('is named by stage and fold', () => {
    expect(phaseFolder('runs/iemocap4', 'stage1', 3).dir).toBe(join('runs', 'iemocap4', 'stage1', 'fold-3'));
    expect(phaseFolder('runs/toy4', 'stage2', undefined).checkpoint).toBe(
      join('runs', 'toy4', 'stage2', 'checkpoint.safetensors'),
    );
  });

  it('is new where there is none, and looking makes none', async () => {
    expect(await inspectRun(folder, await recipeWith(), metadata)).toMatchObject({ status: 'new' });
    await expect(readdir(folder.dir)).rejects.toThrow('ENOENT');
  });

  it('is new until a state is saved, then unfinished, then finished', async () => {
    const recipe = await recipeWith();
    await createRun(folder, recipe, metadata);
    expect(await readMetadata(folder)).toEqual(metadata);
    expect(await inspectRun(folder, recipe, metadata)).toMatchObject({ status: 'new' });
    await saveState();
    expect(await inspectRun(folder, recipe, metadata)).toEqual({ status: 'unfinished', metadata });
    await writeMetadata(folder, { ...metadata, status: 'finished' });
    expect(await inspectRun(folder, recipe, metadata)).toMatchObject({ status: 'finished' });
  });

  it('without its run.json starts over, without its former state', async () => {
    const recipe = await recipeWith();
    await createRun(folder, recipe, metadata);
    await saveState();
    await rm(folder.metadata);
    expect(await inspectRun(folder, recipe, metadata)).toMatchObject({ status: 'new' });
    await createRun(folder, recipe, metadata);
    expect(await readPosition(folder.state)).toBeUndefined();
  });

  it('of another recipe is refused with the keys that differ, finished or not', async () => {
    await createRun(folder, await recipeWith(), metadata);
    await saveState();
    const other = await recipeWith('stage1.epochs=3', 'seed=9');
    for (const status of ['training', 'finished'] as const) {
      await writeMetadata(folder, { ...metadata, status });
      const refusal = inspectRun(folder, other, metadata);
      await expect(refusal).rejects.toThrow(InputError);
      await expect(refusal).rejects.toThrow(
        `${folder.dir} holds a run of another recipe: seed was 1, is 9; stage1.epochs was 10, is 3. Use another --run folder, or delete this one`,
      );
    }
  });

  it('of another manifest or another stage 1 is refused', async () => {
    const recipe = await recipeWith();
    await createRun(folder, recipe, metadata);
    await saveState();
    const changed = { ...metadata, manifest: { ...metadata.manifest, sha256: 'def' } };
    await expect(inspectRun(folder, recipe, changed)).rejects.toThrow('the manifest has changed');
    await expect(inspectRun(folder, recipe, { ...metadata, startedFrom: 'xyz' })).rejects.toThrow(
      'the stage-1 checkpoint has changed',
    );
    expect((await readMetadata(folder))!.manifest.sha256).toBe('abc');
  });

  it('with a run.json that is not a run is refused in one line', async () => {
    await createRun(folder, await recipeWith(), metadata);
    for (const content of ['{"format": "other"}', 'null', '[]', '{']) {
      await writeFile(folder.metadata, content);
      const error = await readMetadata(folder).catch((thrown: unknown) => thrown);
      expect(error, content).toBeInstanceOf(InputError);
      expect((error as Error).message).toContain(folder.metadata);
      expect((error as Error).message).not.toContain('\n');
    }
  });

  it.each<[string, unknown, string]>([
    ['stage', 3, 'must be 1 or 2'],
    ['stage', undefined, 'must be 1 or 2'],
    ['fold', 'one', 'expected number'],
    ['name', '../demo', 'is not the name of a recipe'],
    ['name', 'a\nb', 'is not the name of a recipe'],
    ['labels', 'happy', 'expected array'],
    ['labels.1', 3, 'expected string'],
    ['status', 'done', 'expected one of'],
    ['seed', undefined, 'is missing'],
    ['manifest', undefined, 'is missing'],
    ['manifest.sha256', undefined, 'is missing'],
    ['utterances', [], 'expected object'],
    ['utterances.dev', -1, 'expected number to be >=0'],
    ['validation', {}, 'validation.draw: '],
    ['checkpoint.sha256', 5, 'expected string'],
    ['checkpoint.replaces', {}, 'expected string'],
    ['checkpoints', ['abc'], 'expected record'],
    ['backbones.llm', { bytes: 4 }, 'backbones.llm.files: is missing'],
    ['backbones.former.config', 'wide', 'expected record'],
    ['prompt', { system: '', user: '<AUDIO>' }, 'prompt.answer: is missing'],
    ['prompt.user_without_text', 3, 'expected string'],
    ['prompt.speaker', 'age', 'expected one of'],
    ['parameters', null, 'expected object'],
    ['steps', 1.5, 'expected int'],
    ['selected', { epoch: 1, metric: 'wa', value: 'NaN' }, 'selected.value: '],
    ['trained', { epochs: 1 }, 'trained.steps: is missing'],
    ['cut_texts', '3', 'expected number'],
    ['threads', 0, 'expected number to be >=1'],
    ['versions', { emoq: 1 }, 'versions.emoq: '],
  ])('whose run.json has for %s %j is damaged, and its key is named', async (key, value, problem) => {
    await createRun(folder, await recipeWith(), metadata);
    const whole: Record<string, unknown> = {
      ...storedMetadata(structuredClone(metadata)),
      checkpoint: { sha256: 'abc' },
      prompt: { system: '', user: '<AUDIO>', answer: '{label}' },
      backbones: { former: { files: { 'a.bin': 4 }, config: {}, bytes: 4, weights: 'abc' } },
    };
    await writeJsonAtomic(folder.metadata, whole);
    expect(storedMetadata((await readMetadata(folder))!)).toEqual(whole);
    const path = key.split('.');
    const inner = path
      .slice(0, -1)
      .reduce<Record<string, unknown>>((object, name) => object[name] as Record<string, unknown>, whole);
    inner[path.at(-1)!] = value;
    await writeJsonAtomic(folder.metadata, whole);
    const refusal = readMetadata(folder);
    await expect(refusal).rejects.toThrow(InputError);
    await expect(refusal).rejects.toThrow(`run ${folder.metadata} is damaged, key ${key}`);
    await expect(refusal).rejects.toThrow(problem);
    await expect(refusal).rejects.toThrow(/^.*; restore a good copy, or delete the run and train again$/);
  });

  it('of the first emoq, which recorded less, is opened, and keys of a later one are kept in their order', async () => {
    const { cropped: _, threads: _threads, trained: _trained, ...first } = metadata;
    await createRun(folder, await recipeWith(), metadata);
    await writeMetadata(folder, first as RunMetadata);
    expect(await readMetadata(folder)).toEqual(first);
    const later = { later: [1], ...metadata, manifest: { later: 'x', ...metadata.manifest } };
    await writeMetadata(folder, later);
    expect(JSON.stringify(await readMetadata(folder))).toBe(JSON.stringify(later));
  });

  it('whose run.json is cut anywhere, or nests without end, is refused in one line', async () => {
    await createRun(folder, await recipeWith(), metadata);
    const text = await readFile(folder.metadata, 'utf8');
    const deep = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`;
    for (const content of [
      ...Array.from({ length: text.trimEnd().length }, (_, length) => text.slice(0, length)),
      text.replace('"versions": {}', `"versions": ${deep}`),
      text.replace('"format"', `"more": ${deep}, "format"`),
    ]) {
      await writeFile(folder.metadata, content);
      const error = await readMetadata(folder).catch((thrown: unknown) => thrown);
      expect(error, content.slice(0, 500)).toBeInstanceOf(InputError);
      expect((error as Error).message).toContain(folder.metadata);
      expect((error as Error).message).toMatch(/^.{1,1200}$/);
    }
  });

  it('whose recipe is cut anywhere before its last key is refused in one line, not read with other settings', async () => {
    const recipe = await recipeWith('stage1.epochs=3');
    await createRun(folder, recipe, metadata);
    await saveState();
    expect(await runRecipe(folder)).toEqual(recipe);
    expect((await runRecipe(folder, ['seed=9'])).seed).toBe(9);
    const text = await readFile(folder.recipe, 'utf8');
    const last = text.indexOf('paper:');
    for (let length = 0; length < last; length += 5) {
      await writeFile(folder.recipe, text.slice(0, length));
      for (const read of [() => runRecipe(folder), () => inspectRun(folder, recipe, metadata)]) {
        const error = await read().catch((thrown: unknown) => thrown);
        expect(error, String(length)).toBeInstanceOf(InputError);
        expect((error as Error).message).toContain(`recipe ${folder.recipe} `);
        expect((error as Error).message).toMatch(
          /^.{1,1200}; restore a good copy, or delete the run and train again$/,
        );
      }
    }
  });

  it('is rid of the unfinished files of a killed process, and of nothing else', async () => {
    await createRun(folder, await recipeWith(), metadata);
    const before = (await readdir(folder.dir, { recursive: true })).sort();
    await writeFile(`${folder.state}.4711-0123abcd.tmp`, 'half');
    await writeFile(`${folder.trainingModel}.4711-0123abcd.tmp`, 'half');
    await writeFile(join(folder.dir, 'notes.tmp'), 'mine');
    await removeTemporaries(folder);
    expect((await readdir(folder.dir, { recursive: true })).sort()).toEqual([...before, 'notes.tmp'].sort());
  });
});

describe('a resumed run', () => {
  it('reports changes of its environment that may affect its last digits', () => {
    const before: RunMetadata = {
      ...metadata,
      versions: { emoq: '0.1.0', onnxruntime: '1.30.0', node: '20' },
    };
    expect(changedCircumstances(before, { ...before, versions: { ...before.versions, node: '22' } })).toEqual(
      [],
    );
    const now = {
      ...before,
      device: 'cuda:0',
      versions: { ...before.versions, onnxruntime: '1.31.0' },
    };
    expect(changedCircumstances(before, now)).toEqual([
      'device was cpu, is cuda:0',
      'onnxruntime was 1.30.0, is 1.31.0',
    ]);
  });
});

describe('the position of a saved state', () => {
  it('is read as it was written', async () => {
    await saveState();
    expect(await readPosition(folder.state)).toEqual(position);
    await saveState(positionMetadata({ ...position, best: null }));
    expect((await readPosition(folder.state))!.best).toBeNull();
    await saveState(positionMetadata({ ...position, best: { epoch: 2, metric: null, value: null } }));
    expect((await readPosition(folder.state))!.best).toEqual({ epoch: 2, metric: null, value: null });
  });

  it('is none where there is no file', async () => {
    expect(await readPosition(folder.state)).toBeUndefined();
  });

  it('of a file that emoq did not write is refused in one line', async () => {
    const message = `${folder.state} is not a training state of emoq; delete the run to start over`;
    const [key] = Object.keys(positionMetadata(position)) as [string];
    for (const metadata of [{}, { [key]: JSON.stringify({ ...position, step: -1 }) }, { [key]: '[]' }]) {
      await saveState(metadata);
      await expect(readPosition(folder.state)).rejects.toThrow(new InputError(message));
    }
    await writeFile(folder.state, 'no safetensors at all');
    await expect(readPosition(folder.state)).rejects.toThrow(InputError);
  });
});

describe('a lock in a finished run', () => {
  const names = () => readdir(folder.dir);

  it('is removed when the process that left it has exited', async () => {
    await mkdir(folder.dir, { recursive: true });
    const { pid } = spawnSync(process.execPath, ['--version']);
    await writeFile(join(folder.dir, 'training.lock'), `${pid} ${hostname()} 00000000\n`);
    await removeDeadLock(folder);
    expect(await names()).toEqual([]);
    await removeDeadLock(folder); // there is none now, which is not an error
  });

  it('stays while its process is about to give it up', async () => {
    const unlock = await lockRun(folder);
    await removeDeadLock(folder);
    expect(await names()).toEqual(['training.lock']);
    await unlock();
    expect(await names()).toEqual([]);
  });
});
