/** @file Shared fixtures: made by one process at a time, again after a failure, and unaffected by changes to copies. */

import { mkdtempSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { copyFolder, madeOnce } from './made-once.js';

it('is made by the first that asks, for all of the same key', async () => {
  let times = 0;
  const make = async (folder: string): Promise<void> => {
    times += 1;
    writeFileSync(join(folder, 'file'), 'content');
  };
  const folders = await Promise.all(Array.from({ length: 5 }, () => madeOnce('made-once test', make)));
  expect(new Set(folders).size).toBe(1);
  expect(times).toBe(1);
  expect(await madeOnce('another key', make)).not.toBe(folders[0]);
  expect(times).toBe(2);
});

it('is made again where it failed, from nothing', async () => {
  const failing = madeOnce('fails at first', async (folder) => {
    writeFileSync(join(folder, 'half'), '');
    throw new Error('no space');
  });
  await expect(failing).rejects.toThrow('no space');
  const folder = await madeOnce('fails at first', async (part) => writeFileSync(join(part, 'whole'), ''));
  expect(() => statSync(join(folder, 'half'))).toThrow('ENOENT');
  expect(statSync(join(folder, 'whole')).isFile()).toBe(true);
});

it('is copied with its times, and stays as it is when a copy is written over', async () => {
  const folder = await madeOnce('copied', async (part) => {
    writeFileSync(join(part, 'file'), 'content');
    utimesSync(join(part, 'file'), 1000, 1000);
  });
  const copy = join(mkdtempSync(join(tmpdir(), 'emoq-copy-')), 'copy');
  copyFolder(folder, copy);
  expect(statSync(join(copy, 'file')).mtimeMs).toBe(1_000_000);
  writeFileSync(join(copy, 'file'), 'changed');
  expect(readFileSync(join(folder, 'file'), 'utf8')).toBe('content');
});
