/** @file checkpoints/: the trained parameters after each of the last epochs, whether or not they are the best. */

import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunFolder } from './folder.js';

/** Path of an epoch's checkpoint, such as `checkpoints/epoch-003.safetensors`. */
export function epochCheckpoint({ checkpoints }: RunFolder, epoch: number): string {
  return join(checkpoints, `epoch-${String(epoch).padStart(3, '0')}.safetensors`);
}

/** The epoch that a checkpoint's name says. */
export function epochOf(name: string): number | undefined {
  const digits = /^epoch-(\d+)\.safetensors$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** Deletes all but the last `keep` epochs up to `epoch`, and what a killed run had written beyond its saved state. */
export async function pruneCheckpoints(folder: RunFolder, epoch: number, keep: number): Promise<void> {
  const names = await readdir(folder.checkpoints).catch(() => []);
  const obsolete = names.filter((name) => {
    const number = epochOf(name);
    return number !== undefined && (number <= epoch - keep || number > epoch);
  });
  await Promise.all(obsolete.map((name) => rm(join(folder.checkpoints, name), { force: true })));
}
