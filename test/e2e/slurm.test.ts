/** @file The array jobs of recipes/slurm on a real Slurm of one node, where it is installed. */

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { emoqBin } from '../cli/command-line.js';
import { type Slurm, slurmProblem, startSlurm } from '../slurm/one-node.js';
import { makeWorkspace } from './workspace.js';

const work = makeWorkspace('slurm');
const problem = slurmProblem();
// Not in the workspace, whose path may be too long for a socket.
const folder = mkdtempSync(join(tmpdir(), 'slurm-'));
let slurm: Slurm | undefined;
let failure = '';

afterAll(async () => {
  await slurm?.stop();
  rmSync(folder, { recursive: true, force: true });
  work.remove();
});

const script = (name: string): string =>
  fileURLToPath(new URL(`../../recipes/slurm/${name}`, import.meta.url));
const settings = { EMOQ: `${process.execPath} ${emoqBin}`, EMOQ_CACHE: work.path('cache'), NO_COLOR: '1' };

/** Submits a job, waits for it, and returns what its tasks printed, by the name of their files. */
async function ran(options: readonly string[], name: string, ...args: string[]): Promise<string> {
  const job = slurm!.submit(work.dir, settings, ...options, script(name), ...args);
  await slurm!.finished(job);
  const outputs = readdirSync(work.dir).filter(
    (file) => file.startsWith('slurm-') && file.includes(`-${job}`),
  );
  return outputs.map((file) => readFileSync(work.path(file), 'utf8')).join('\n');
}

describe.runIf(problem === undefined)('on Slurm', () => {
  beforeAll(async () => {
    await work.smallRun('good');
    slurm = await startSlurm(folder).catch((error: Error) => {
      failure = `its daemons do not start here: ${error.message}`;
      return undefined;
    });
  });

  it('features are encoded in shards that leave nothing to encode', async (test) => {
    // Without the rights that Slurm's daemons need, there is nothing to submit to.
    if (slurm === undefined) return test.skip(failure);
    const said = await ran(['--array=1-2'], 'features.sbatch', '--recipe', 'small.yaml');
    expect(said.match(/features of 10 of 20 clips are in the cache/g), said).toHaveLength(2);
    const again = await ran(['--array=1'], 'features.sbatch', '--recipe', 'small.yaml');
    expect(again).toContain('features of all 20 clips are in the cache');
    expect(again).not.toContain('encoding audio');
  });

  it('a table is predicted in parts and merged to the output of one command', async (test) => {
    // Without the rights that Slurm's daemons need, there is nothing to submit to.
    if (slurm === undefined) return test.skip(failure);
    const said = await ran(
      ['--array=1-3'],
      'predict.sbatch',
      'toy/manifest.csv',
      'emotions.csv',
      '--run',
      'good',
    );
    expect(
      readdirSync(work.dir).filter((name) => /^emotions\.part-\d\.csv$/.test(name)),
      said,
    ).toHaveLength(3);
    const merged = await ran([], 'merge.sbatch', 'emotions.csv');
    await work.done('predict', 'toy/manifest.csv', '-o', 'whole.csv', '--run', 'good');
    expect(work.read('emotions.csv').equals(work.read('whole.csv')), merged).toBe(true);
  });

  it('seeds and folds are trained, a task each, and scored together', async (test) => {
    // Without the rights that Slurm's daemons need, there is nothing to submit to.
    if (slurm === undefined) return test.skip(failure);
    const seeds = ['--recipe', 'small.yaml', '--set', 'stage2.epochs=1', '--run', 'seeds'];
    const said = await ran(['--array=3-4'], 'seeds.sbatch', ...seeds);
    const runs = ['seeds/seed-3/stage2/run.json', 'seeds/seed-4/stage2/run.json'];
    for (const run of runs) expect(work.read(run).toString(), said).toContain('"status": "finished"');
    const folds = [
      '--recipe',
      'small.yaml',
      '--set',
      'folds=session',
      '--set',
      'validation=speaker',
      '--run',
      'folds',
    ];
    const trained = await ran(['--array=1-2'], 'folds.sbatch', ...folds);
    expect(readdirSync(work.path('folds/stage1')).sort(), trained).toEqual(['fold-1', 'fold-2']);
  });
});

describe.runIf(problem !== undefined)('without Slurm', () => {
  it('its jobs are not tried', () => {
    console.log(`skipped: the array jobs of recipes/slurm (${problem})`);
  });
});
