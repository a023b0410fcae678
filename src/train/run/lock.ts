/** @file One process at a time trains into a run folder: two would write into each other's metrics and states. */

import { join } from 'node:path';
import { claimLock, InputError } from '../../base/index.js';
import type { RunFolder } from './folder.js';

/**
 * Claims a run folder for this process, making it where it is new; the function that comes back gives it up. What a
 * killed process has left is taken over.
 * @throws InputError while another process trains there
 */
export async function lockRun({ dir }: RunFolder): Promise<() => Promise<void>> {
  const path = join(dir, 'training.lock');
  const claim = await claimLock(path);
  if (typeof claim === 'function') return claim;
  throw new InputError(
    `process ${claim.pid} on ${claim.host} is training in ${dir} already; wait for it or use another --run folder (if there is no such process, delete ${path})`,
  );
}
