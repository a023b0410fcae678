/** @file Recordings that are named by files, folders and patterns, where some of them cannot be read. */

import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { RecordingList } from '../../../src/data/tables/index.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-recordings-'));
chmodSync(folder, 0o755);
for (const name of ['shut', 'mixed/open', 'mixed/shut', 'mixed/empty'])
  mkdirSync(join(folder, name), { recursive: true });
for (const name of ['shut/a.wav', 'mixed/open/b.wav', 'mixed/shut/c.wav'])
  writeFileSync(join(folder, name), '');
const locked = ['shut', 'mixed/shut'].map((name) => join(folder, name));
for (const path of locked) chmodSync(path, 0);
afterAll(() => {
  for (const path of locked) chmodSync(path, 0o755);
  rmSync(folder, { recursive: true });
});

const tablesUrl = new URL('../../../dist/data/tables/index.js', import.meta.url).href;

/** The list, or the message of the error, for a user who may not read everything. */
function listed(...names: string[]): Pick<RecordingList, 'paths' | 'unread'> | string {
  const code = `
    const { listRecordings } = await import(${JSON.stringify(tablesUrl)});
    const list = await listRecordings(${JSON.stringify(names)}).catch((error) => error);
    const { name, message, paths, unread } = list;
    console.log(JSON.stringify(name === 'InputError' ? message : { paths, unread }));`;
  return JSON.parse(
    execFileSync(process.execPath, ['--input-type=module', '-e', code], {
      encoding: 'utf8',
      cwd: folder,
      ...(process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}),
    }),
  );
}

describe('folders that may not be read', () => {
  it('are reported beside the recordings of the others', () => {
    const all = { paths: ['mixed/open/b.wav'], unread: ['mixed/shut (EACCES)'] };
    expect(listed('mixed')).toEqual(all);
    expect(listed('mixed/**/*.wav')).toEqual(all);
    expect(listed('mixed/open', 'mixed/open/b.wav')).toEqual({ paths: all.paths, unread: [] });
  });

  it.each([
    ['shut', 'shut cannot be read: EACCES'],
    ['shut/a.wav', "shut/a.wav cannot be read: EACCES: permission denied, stat 'shut/a.wav'"],
    [
      'shut/*.flac',
      "shut/*.flac matches nothing, and shut (EACCES) cannot be read; quote a pattern, such as 'calls/**/*.flac'",
    ],
    ['mixed/empty', 'mixed/empty is a folder without recordings; name another one, or a table'],
    ['gone/*.wav', "gone/*.wav matches nothing; quote a pattern, such as 'calls/**/*.wav'"],
  ])('are not called missing or empty: %s', (name, message) => {
    expect(listed(name)).toBe(message);
  });
});
