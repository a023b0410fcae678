/**
 * @file Fixtures shared by many test files: made once for the whole suite by the first file that needs them, then
 * copied.
 */

import { constants, cpSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inject } from 'vitest';
import { claimLock, sha256Of } from '../../src/base/index.js';

const POLL_MS = 20;

/**
 * The folder that `make` has filled for this `key`, in this test file or another. It is shared, so copy from it.
 * @param key everything that determines the result of `make`
 */
export async function madeOnce(key: unknown, make: (folder: string) => Promise<void>): Promise<string> {
  const name = sha256Of(JSON.stringify(key)).slice(0, 16);
  const folder = join(inject('suiteFolder'), 'made-once', name);
  while (!existsSync(folder)) {
    const release = await claimLock(`${folder}.lock`);
    if (typeof release !== 'function') {
      await sleep(POLL_MS);
      continue;
    }
    try {
      if (!existsSync(folder)) {
        const part = `${folder}.part`;
        rmSync(part, { recursive: true, force: true }); // left by a killed test file
        mkdirSync(part);
        await make(part);
        renameSync(part, folder);
      }
    } finally {
      await release();
    }
  }
  return folder;
}

/** Copies a folder, preserving modification times; changes to the copy do not affect the original. */
export function copyFolder(from: string, to: string): void {
  cpSync(from, to, { recursive: true, preserveTimestamps: true, mode: constants.COPYFILE_FICLONE });
}
