/** @file Kills preparations at random moments and checks the final result. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import type { PreparationSummary } from '../../../src/data/corpora/index.js';
import { seededRandom } from '../../../src/engine/tensor/index.js';
import { snapshot } from './meld-tree.js';

const corporaUrl = new URL('../../../dist/data/corpora/index.js', import.meta.url).href;

/**
 * Runs a preparation in a separate process and kills it after a seeded random number of clips, and a moment; a run that
 * finishes is started again from nothing. Then lets one finish, and compares it with an undisturbed one.
 * @param prepare its name in src/data/corpora/index.ts
 * @param folder for the two corpora, which are named after `name`
 * @param kills minimum number; if they hit fewer than `moments` different numbers of clips, more follow
 * @returns the numbers of finished clips at each kill
 */
export async function killAndCompare(
  prepare: (options: never) => Promise<PreparationSummary>,
  options: object,
  folder: string,
  name: string,
  kills: number,
  moments = 1,
): Promise<Set<number>> {
  const undisturbed = join(folder, `${name} undisturbed`);
  const { kept } = await prepare({ ...options, out: undisturbed } as never);
  const out = join(folder, `${name} killed`);
  const code = `
    const corpora = await import(${JSON.stringify(corporaUrl)});
    const onProgress = (done) => process.stdout.write(done + ' ');
    await corpora.${prepare.name}({ ...JSON.parse(process.argv[1]), onProgress });`;
  const args = ['--input-type=module', '-e', code, JSON.stringify({ ...options, out, jobs: 2 })];
  const random = seededRandom(1, 'kill', name);
  const states = new Set<number>();
  for (let killed = 0, tries = 0; killed < kills || states.size < moments; tries++) {
    expect(tries).toBeLessThan(4 * kills);
    const clips = clipsIn(out) + random.integer(kept / 3);
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = once(child, 'exit');
    const reached = new Promise<void>((resolve) => {
      let said = '';
      child.stdout!.on('data', (chunk) => {
        said += chunk;
        if (Number(said.trim().split(' ').at(-1)) >= Math.min(clips, kept)) resolve();
      });
    });
    await Promise.race([reached.then(() => sleep(40 * random.uniform())), exited]);
    child.kill('SIGKILL');
    await exited;
    if (child.signalCode === 'SIGKILL') {
      killed++;
      states.add(clipsIn(out));
    } else {
      expect(child.exitCode).toBe(0);
      rmSync(out, { recursive: true });
    }
  }
  await prepare({ ...options, out } as never);
  expect(snapshot(out)).toEqual(snapshot(undisturbed));
  return states;
}

function clipsIn(out: string): number {
  try {
    return (readdirSync(join(out, 'audio'), { recursive: true }) as string[]).filter((name) =>
      /\.(?:wav|flac)$/.test(name),
    ).length;
  } catch {
    return 0;
  }
}
