/** @file Lock files: one holder at a time, and takeover of stale locks. */

import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { claimLock } from '../../src/base/index.js';

let root: string;
let path: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'emoq-lock-'));
  path = join(root, 'made', 'work.lock');
});
afterEach(() => rm(root, { recursive: true }));

/** The id of a process that has exited. */
const deadPid = (): number => spawnSync(process.execPath, ['-e', '']).pid;

async function found(text: string, ageMin = 0): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
  const touched = new Date(Date.now() - ageMin * 60_000);
  await utimes(path, touched, touched);
}

async function held(): Promise<{ release: () => Promise<void> }> {
  const claim = await claimLock(path);
  expect(claim).toBeTypeOf('function');
  return { release: claim as () => Promise<void> };
}

describe('a lock', () => {
  it('has one holder, until it is released', async () => {
    const { release } = await held();
    expect(await claimLock(path)).toEqual({ pid: process.pid, host: hostname() });
    await release();
    expect(await readdir(join(root, 'made'))).toEqual([]);
    await (await held()).release();
  });

  it('of a process that is gone is taken over', async () => {
    await found(`${deadPid()} ${hostname()} abc\n`);
    const { release } = await held();
    expect(await readFile(path, 'utf8')).toMatch(new RegExp(`^${process.pid} ${hostname()} `));
    await release();
    expect(await readdir(join(root, 'made'))).toEqual([]);
  });

  it('of a process that lives is respected, however old it is', async () => {
    await found(`${process.pid} ${hostname()} abc\n`, 1000);
    expect(await claimLock(path)).toEqual({ pid: process.pid, host: hostname() });
  });

  it('of another machine is respected while it is touched', async () => {
    await found(`${deadPid()} elsewhere abc\n`, 8);
    expect(await claimLock(path)).toMatchObject({ host: 'elsewhere' });
    await found(`${deadPid()} elsewhere abc\n`, 12);
    await (await held()).release();
  });

  it('is taken over by one of many who find it dead', async () => {
    await found(`${deadPid()} ${hostname()} abc\n`);
    const claims = await Promise.all(Array.from({ length: 20 }, () => claimLock(path)));
    expect(claims.filter((claim) => typeof claim === 'function')).toHaveLength(1);
  });

  it('that its process left empty, or half taken over, is free after a while', async () => {
    await found('', 1);
    await (await held()).release();
    await found(`${deadPid()} ${hostname()} abc\n`);
    const turn = `${path}.takeover`;
    const then = new Date(Date.now() - 60_000);
    await writeFile(turn, '');
    await utimes(turn, then, then);
    await (await held()).release();
    expect(await readdir(join(root, 'made'))).toEqual([]);
  });

  it('is not released by who has lost it', async () => {
    const { release } = await held();
    await writeFile(path, '1 elsewhere abc\n');
    await release();
    expect(await readFile(path, 'utf8')).toBe('1 elsewhere abc\n');
  });
});
