/** @file One process at a time trains into a run folder: two would write into each other's metrics and states. */

import { join } from 'node:path';
import { claimLock, errorMessage, InputError, pathExists } from '../../base/index.js';
import type { RunFolder } from './folder.js';

/** A file where a folder should be, or a folder in which nobody, or not this user, may write. */
const UNWRITABLE = new Set(['ENOTDIR', 'EEXIST', 'EACCES', 'EPERM', 'EROFS']);

/**
 * Claims a run folder for this process, making it where it is new; the function that comes back gives it up. What a
 * killed process has left is taken over.
 * @throws InputError while another process trains there, or where the folder cannot be written
 */
export async function lockRun({ dir }: RunFolder): Promise<() => Promise<void>> {
  const path = lockFile(dir);
  const claim = await claimLock(path).catch((error: NodeJS.ErrnoException) => {
    if (!(error instanceof InputError || UNWRITABLE.has(error.code ?? ''))) throw error;
    throw new InputError(
      `cannot write into ${dir} (${errorMessage(error)}); choose another folder with --run`,
    );
  });
  if (typeof claim === 'function') return claim;
  throw new InputError(
    `process ${claim.pid} on ${claim.host} is training in ${dir} already; wait for it or use another --run folder (if there is no such process, delete ${path})`,
  );
}

/** Deletes the lock of a process that was killed when its run was finished and the lock not yet given up. */
export async function removeDeadLock({ dir }: RunFolder): Promise<void> {
  if (!(await pathExists(lockFile(dir)))) return;
  const claim = await claimLock(lockFile(dir));
  if (typeof claim === 'function') await claim();
}

function lockFile(dir: string): string {
  return join(dir, 'training.lock');
}
