/**
 * @file Damages run folders and lists them: run.json, recipe.yaml, results.json and the training state of some, files
 * that are gone, folders or links in their place. The good ones must be listed as they are, each of the others as what
 * its files say or with a problem of one line.
 *
 *     node run-list-fuzz.mjs LISTS SEED FOLDER
 */

import { strict as assert } from 'node:assert';
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeJsonAtomic } from '../../dist/base/index.js';
import { float32, writeSafetensors } from '../../dist/engine/tensor/index.js';
import { loadRecipe } from '../../dist/recipe/index.js';
import { phaseFolder } from '../../dist/training/runs/folder.js';
import { listRuns } from '../../dist/training/runs/list.js';
import { createRun, positionMetadata } from '../../dist/training/runs/run-state.js';
import { damagedBytes, damagedJson, damagedYaml, peakMiB } from '../fuzz/mutations.mjs';
import { assertLine, repeat, report } from '../fuzz/trials.mjs';

const [lists, seed] = process.argv.slice(2, 4).map(Number);
const folder = process.argv[4];
const FIGURES = { wa: 0.5, ua: 0.25, wf1: 0.75, n: 8 };
const FOLDS = [1, 2, 3, 4, 5, 6];

/** An experiment of six folds, each with everything that a run's folder may hold. */
async function writeExperiment(root) {
  const recipe = await loadRecipe({ dataset: 'toy4', overrides: ['stage1.epochs=3'] });
  for (const fold of FOLDS) {
    const run = phaseFolder(root, 'stage1', fold);
    await createRun(run, recipe, {
      format: 'emoq-run',
      ...{ system: 'emoq', phase: 'stage1', fold, name: 'toy4', labels: recipe.labels, seed: 1 },
      ...{ startedFrom: null, prompt: null },
      status: fold % 2 === 1 ? 'finished' : 'training',
      manifest: { path: 'data/toy/manifest.csv', sha256: 'a'.repeat(64), ffmpeg: '5.1' },
      utterances: { train: 64, dev: 8, test: 8 },
      ...{ cropped: 0, cut_texts: 0, checkpoint: { sha256: 'b'.repeat(64), replaces: null } },
      ...{
        checkpoints: { 'epoch-001.safetensors': 'b'.repeat(64) },
        parameters: { trainable: 9, frozen: 99 },
      },
      validation: { draw: 'by-fold', seed: 1, speakers: ['Ann'] },
      backbones: { former: { files: { 'a.bin': 9 }, config: { hidden_size: 8 }, bytes: 9, weights: 'c' } },
      ...{ steps: 24, selected: { epoch: 2, metric: 'wf1', value: 0.5 }, trained: { epochs: 3, steps: 24 } },
      ...{ device: 'cpu', threads: null, versions: { emoq: '0.1.0', node: '22' } },
    });
    await writeSafetensors(
      run.state,
      [['w', float32([8], Array(8).fill(1))]],
      positionMetadata({
        ...{ step: 16, epoch: 2, metricsBytes: 99, best: { epoch: 2, metric: 'wf1', value: 0.5 } },
        recent: [0.25, null],
      }),
    );
    if (fold !== 4) await writeJsonAtomic(run.results, { name: 'toy4', ...FIGURES, versions: {}, facts: {} });
  }
  const around = {
    name: 'toy4',
    ...FIGURES,
    folds: FOLDS.map((fold) => ({ fold: String(fold), ...FIGURES })),
  };
  await writeJsonAtomic(join(root, 'stage1', 'results.json'), around);
}

const NAMES = ['run.json', 'run.json', 'recipe.yaml', 'results.json', 'training_state.safetensors'];

/** The content of a file, damaged. */
function damaged(name, bytes, random) {
  if (name.endsWith('.json')) return damagedJson(JSON.parse(bytes), random);
  return name.endsWith('.yaml') ? damagedYaml(String(bytes), random) : damagedBytes(bytes, random);
}

function spoil(path, name, whole, random) {
  const kind = random.uniform();
  if (kind > 0.1) return writeFileSync(path, damaged(name, whole, random));
  rmSync(path);
  if (kind < 0.04) mkdirSync(path);
  else if (kind < 0.06) symlinkSync('nowhere', path);
}

function checkListed(each) {
  const { dir, phase, fold, seed: ofRun, status, step, totalSteps, best, test, changed } = each;
  if (each.problem !== undefined) assertLine(each.problem);
  if (each.kind === 'unreadable')
    return assert.deepEqual(Object.keys(each).sort(), ['dir', 'kind', 'problem']);
  assert.ok(['stage1', 'stage2'].includes(phase) && ['finished', 'unfinished'].includes(status), dir);
  for (const count of [fold ?? 1, ofRun, step, totalSteps])
    assert.ok(Number.isSafeInteger(count) && count >= 0);
  assert.ok(best === null || best.value === null || Number.isFinite(best.value));
  for (const figure of [test?.wa, test?.ua, test?.wf1])
    assert.ok(figure === undefined || (figure >= 0 && figure <= 1));
  for (const { key, before, after } of changed ?? []) {
    assert.equal(typeof key, 'string');
    for (const value of [before, after]) if (value !== undefined) JSON.parse(value);
  }
  return true;
}

const root = join(folder, 'runs');
const source = join(folder, 'source');
await writeExperiment(source);
cpSync(source, root, { recursive: true });
const good = await listRuns(root);
assert.deepEqual(
  good.map(({ fold, status, step, test }) => ({ fold, status, step, test })),
  FOLDS.map((fold) => ({
    ...(fold % 2 === 1 ? { fold, status: 'finished', step: 24 } : { fold, status: 'unfinished', step: 16 }),
    test: FIGURES,
  })),
);

const baselineMiB = peakMiB();
let damagedRuns = 0;
let unreadable = 0;
const { longestSec } = await repeat(lists, 'lists', { seed, where: `runs in ${root}` }, async (random) => {
  // The first fold stays as it is. The results around them are whole more often than not.
  const spoilt = new Set();
  for (const fold of FOLDS.slice(1)) {
    const dir = phaseFolder(root, 'stage1', fold).dir;
    const name = random.pick(NAMES);
    const from = join(phaseFolder(source, 'stage1', fold).dir, name);
    if (fold === 4 && name === 'results.json') continue;
    spoil(join(dir, name), name, readFileSync(from), random);
    spoilt.add(dir);
  }
  const around = join(root, 'stage1', 'results.json');
  if (random.uniform() < 0.2)
    spoil(around, 'results.json', readFileSync(join(source, 'stage1/results.json')), random);
  const listed = await listRuns(root);
  assert.deepEqual(listed[0], good[0]);
  for (const each of listed) checkListed(each);
  // One without a run.json is none.
  const dirs = new Set(listed.map(({ dir }) => dir));
  for (const { dir } of good) if (!spoilt.has(dir)) assert.ok(dirs.has(dir));
  damagedRuns += spoilt.size;
  unreadable += listed.filter(({ problem }) => problem !== undefined).length;
  rmSync(root, { recursive: true });
  cpSync(source, root, { recursive: true });
  return true;
});
report(baselineMiB, { damagedRuns, unreadable, longestSec });
