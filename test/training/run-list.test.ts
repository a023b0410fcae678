/** @file The list of runs: a damaged run has its own line and does not stop the listing. */

import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeJsonAtomic } from '../../src/base/index.js';
import { float32, writeSafetensors } from '../../src/engine/tensor/index.js';
import { loadRecipe } from '../../src/recipe/index.js';
import { phaseFolder } from '../../src/training/runs/folder.js';
import { listRuns } from '../../src/training/runs/list.js';
import { createRun, positionMetadata } from '../../src/training/runs/run-state.js';
import { emoqBin } from '../cli/command-line.js';
import { emoqHere } from '../cli/in-process.js';
import { runMetadata } from './run-metadata.js';

const FIGURES = { wa: 0.5, ua: 0.25, wf1: 0.75, n: 8 };

let root: string;
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'emoq-list-'));
  await makeRun('good', 1, 'finished');
});
afterEach(() => rmSync(root, { recursive: true }));

/** A run as training leaves it. */
async function makeRun(name: string, fold: number | undefined, status: 'training' | 'finished') {
  const folder = phaseFolder(join(root, name), 'stage1', fold);
  const recipe = await loadRecipe({ dataset: 'toy4' });
  const metadata = runMetadata({ name: 'toy4', labels: recipe.labels, fold: fold ?? null, status });
  await createRun(folder, recipe, metadata);
  await writeSafetensors(
    folder.state,
    [['w', float32([64], new Array(64).fill(1))]],
    positionMetadata({ step: 3, epoch: 1, metricsBytes: 0, best: null }),
  );
  if (status === 'finished') await writeJsonAtomic(folder.results, { ...FIGURES, name: 'toy4' });
  return folder;
}

const lines = (stderr: string): string[] => stderr.trimEnd().split('\n');

/** Bytes of a file up to the end of the line that has byte `at`. */
const endOfLine = (file: string, at: number): number => readFileSync(file).indexOf('\n', at) + 1;

describe('the list of runs', () => {
  it.each<[string, (dir: string) => void, RegExp]>([
    [
      'run.json that is no JSON',
      (dir) => writeFileSync(join(dir, 'run.json'), '{"format"'),
      /run\.json is not valid JSON/,
    ],
    [
      'run.json with a wrong key',
      (dir) => damage(join(dir, 'run.json'), '"seed": 1', '"seed": "x"'),
      /run\.json is damaged, key seed/,
    ],
    ['a folder for run.json', (dir) => folderFor(join(dir, 'run.json')), /run\.json is a folder, not a file/],
    ['a run.json that links nowhere', (dir) => linkFor(join(dir, 'run.json')), /run\.json cannot be read/],
    ['no recipe', (dir) => rmSync(join(dir, 'recipe.yaml')), /recipe .*recipe\.yaml does not exist/],
    [
      'a cut recipe',
      (dir) => truncateSync(join(dir, 'recipe.yaml'), endOfLine(join(dir, 'recipe.yaml'), 200)),
      /recipe .*recipe\.yaml is cut off/,
    ],
    [
      'a recipe cut within a key',
      (dir) => truncateSync(join(dir, 'recipe.yaml'), endOfLine(join(dir, 'recipe.yaml'), 200) + 2),
      /recipe .*recipe\.yaml is not valid YAML/,
    ],
    ['an empty recipe', (dir) => truncateSync(join(dir, 'recipe.yaml'), 0), /recipe .*recipe\.yaml is empty/],
    [
      'a recipe that refers to itself',
      (dir) => writeFileSync(join(dir, 'recipe.yaml'), 'a: &a [*a]\npaper: 1\n'),
      /refers to itself/,
    ],
    [
      'a folder for the recipe',
      (dir) => folderFor(join(dir, 'recipe.yaml')),
      /recipe\.yaml is a folder, not a file/,
    ],
    [
      'a cut training state',
      (dir) => truncateSync(join(dir, 'training_state.safetensors'), 300),
      /training_state\.safetensors/,
    ],
    [
      'an empty training state',
      (dir) => truncateSync(join(dir, 'training_state.safetensors'), 0),
      /training_state\.safetensors/,
    ],
    [
      'a folder for the training state',
      (dir) => folderFor(join(dir, 'training_state.safetensors')),
      /training_state\.safetensors/,
    ],
  ])('tells of one with %s in a line, and lists the others', async (_, spoil, problem) => {
    const { dir } = await makeRun('bad', undefined, 'training');
    spoil(dir);
    const { code, stdout, stderr } = await emoqHere(['runs', '--root', root]);
    expect(code).toBe(0);
    expect(lines(stderr)).toEqual([expect.stringMatching(problem)]);
    expect(stderr).toContain(`warning: ${dir}: `);
    expect(lines(stdout).map((row) => row.split(' ')[0])).toEqual(['run', join(root, 'good/stage1/fold-1')]);
    expect(stdout).toContain('50.0');
  });

  it.each<[string, string, RegExp]>([
    ['no JSON', '{', /results\.json is not valid JSON/],
    ['null', 'null', /results\.json are damaged: .*expected object/],
    ['a list', '[]', /results\.json are damaged: .*expected object/],
    ['a figure that is text', JSON.stringify({ ...FIGURES, wa: '50' }), /results\.json are damaged, key wa/],
    [
      'a figure out of its range',
      JSON.stringify({ ...FIGURES, ua: 50 }),
      /results\.json are damaged, key ua/,
    ],
    ['a figure too few', JSON.stringify({ wa: 1, ua: 1 }), /results\.json are damaged, key wf1: is missing/],
    [
      'folds that are none',
      JSON.stringify({ ...FIGURES, folds: [null] }),
      /results\.json are damaged, key folds\.0/,
    ],
  ])('lists one whose results are damaged (%s) without them', async (_, text, problem) => {
    const folder = await makeRun('bad', undefined, 'finished');
    writeFileSync(folder.results, text);
    const { code, stdout, stderr } = await emoqHere(['runs', '--root', root]);
    expect(code).toBe(0);
    expect(lines(stderr)).toEqual([expect.stringMatching(problem)]);
    expect(lines(stdout)[1]).toMatch(new RegExp(`^${folder.dir} .* finished .* - +- +- `));
    expect(lines(stdout)[2]).toMatch(/good\/stage1\/fold-1 .* 50\.0 +25\.0 +75\.0/);
  });

  it('reports damaged results of a cross-validation once, and lists its folds', async () => {
    for (const fold of [2, 3]) rmSync((await makeRun('good', fold, 'finished')).results);
    writeFileSync(join(root, 'good/stage1/results.json'), JSON.stringify({ ...FIGURES, folds: 3 }));
    const { stdout, stderr } = await emoqHere(['runs', '--root', root]);
    expect(lines(stderr)).toEqual([
      expect.stringMatching(/^warning: results .*results\.json are damaged, key folds: /),
    ]);
    expect(lines(stdout)).toHaveLength(4);
    const around = { ...FIGURES, folds: [{ fold: '2', ...FIGURES, wa: 0.125 }] };
    writeFileSync(join(root, 'good/stage1/results.json'), JSON.stringify(around));
    const [first, second, third] = await listRuns(root);
    expect([first, second, third]).toMatchObject([
      { test: FIGURES },
      { test: { wa: 0.125 } },
      { test: null },
    ]);
  });

  it('reports an unreadable folder, and lists the others', () => {
    const locked = join(root, 'locked');
    mkdirSync(locked);
    cpSync(join(root, 'good'), join(root, 'more'), { recursive: true });
    chmodSync(root, 0o755);
    chmodSync(locked, 0);
    // As another user if the test runs as root, which can read everything.
    const user = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [emoqBin, 'runs', '--root', root, '--json'],
      {
        encoding: 'utf8',
        env: { ...process.env, NO_COLOR: '1' },
        ...user,
      },
    );
    expect(lines(stderr)).toEqual([expect.stringMatching(/^warning: .*locked: cannot be read: EACCES/)]);
    expect(JSON.parse(stdout).runs).toHaveLength(2);
    expect(status).toBe(0);
  });

  it('refuses a root that is no folder', async () => {
    writeFileSync(join(root, 'file'), '');
    await expect(listRuns(join(root, 'file'))).rejects.toThrow(/file cannot be read: ENOTDIR/);
    await expect(listRuns(join(root, 'nowhere'))).rejects.toThrow(/there is no folder .*nowhere/);
  });
});

function damage(path: string, from: string, to: string): void {
  const text = readFileSync(path, 'utf8');
  expect(text).toContain(from);
  writeFileSync(path, text.replace(from, to));
}

function folderFor(path: string): void {
  rmSync(path);
  mkdirSync(path);
}

function linkFor(path: string): void {
  rmSync(path);
  symlinkSync('nowhere', path);
}
