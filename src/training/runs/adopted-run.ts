/** @file A finished run as that of another experiment, whose recipe differs only in what the run does not read. */

import { constants } from 'node:fs';
import { cp } from 'node:fs/promises';
import { basename } from 'node:path';
import { isTemporaryName, pathExists, writeFileAtomic, writeNewFolder } from '../../base/index.js';
import { dumpRecipe } from '../../recipe/index.js';
import type { Recipe } from '../../systems/index.js';
import { type RunFolder, runFolder } from './folder.js';
import { readMetadata } from './metadata.js';
import { LOCK_NAME } from './run-state.js';

/**
 * Copies a finished run with its curves and checkpoints to where there is none; the copy has the other recipe. On file
 * systems that can, the two share their space on disk until one changes.
 * @returns false if there is nothing to copy, or something in its place already
 */
export async function adoptRun(from: RunFolder, to: RunFolder, recipe: Recipe): Promise<boolean> {
  if ((await readMetadata(from))?.status !== 'finished' || (await pathExists(to.dir))) return false;
  await writeNewFolder(to.dir, undefined, async (staged) => {
    await cp(from.dir, staged, {
      recursive: true,
      mode: constants.COPYFILE_FICLONE,
      filter: (path) => !isTemporaryName(path) && basename(path) !== LOCK_NAME,
    });
    await writeFileAtomic(runFolder(staged).recipe, dumpRecipe(recipe));
  });
  return true;
}
