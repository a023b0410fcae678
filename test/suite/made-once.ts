/** @file What many test files begin with, made once for the whole suite by the first that needs it, and copied into each. */

import { constants, cpSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inject } from 'vitest';
import { claimLock, sha256Of } from '../../src/base/index.js';

const POLL_MS = 20;

/**
 * The folder that `make` has filled for this `key`, in this test file or another. It is for all: copy what is in it.
 * @param key all that decides what `make` makes
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
        rmSync(part, { recursive: true, force: true }); // of a test file that was killed
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

/** Copies a folder with the times of its files; what a test changes in the copy stays there. */
export function copyFolder(from: string, to: string): void {
  cpSync(from, to, { recursive: true, preserveTimestamps: true, mode: constants.COPYFILE_FICLONE });
}
