/** @file A temporary folder for files that a script damages. */

import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';

/** Creates a folder before the tests of a file and deletes it afterwards; returns a function that gives its path. */
export function useFuzzFolder(name: string): () => string {
  let folder: string;
  beforeAll(async () => {
    folder = await realpath(await mkdtemp(join(tmpdir(), `emoq-${name}-fuzz-`)));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));
  return () => folder;
}
