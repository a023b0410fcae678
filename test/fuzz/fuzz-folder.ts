/** @file A folder for the files that a script damages. */

import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';

/** Makes a folder before the tests of a file and deletes it after them; its path is there when they run. */
export function useFuzzFolder(name: string): () => string {
  let folder: string;
  beforeAll(async () => {
    folder = await realpath(await mkdtemp(join(tmpdir(), `emoq-${name}-fuzz-`)));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));
  return () => folder;
}
