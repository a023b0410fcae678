/** @file Folders of several files that appear when everything is in them. */

import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { errorMessage, InputError, InterruptedError } from './errors.js';
import { pathExists } from './files.js';
import { makeOutputFolder } from './output.js';
import { deleteAtExit, sweepTemporaries, temporaryName } from './temporary-files.js';

/** @throws InputError when `out`, the value of -o, is there and not an empty folder */
export async function requireNewFolder(out: string): Promise<void> {
  const isTaken = await readdir(out).then(
    (names) => names.length > 0,
    () => pathExists(out),
  );
  if (isTaken) throw new InputError(`-o ${out} exists already; name a new folder, or remove that one`);
}

/**
 * Writes a new folder: `write` fills one beside it, which takes its place when it is done.
 * @param out the value of -o
 * @throws InputError when it is there already, or cannot be written; InterruptedError when `stop` is aborted, as late as
 *   after `write`
 */
export async function writeNewFolder<T>(
  out: string,
  stop: AbortSignal | undefined,
  write: (staged: string) => Promise<T>,
): Promise<T> {
  const target = resolve(out);
  await requireNewFolder(out);
  await makeOutputFolder(dirname(target)).catch((error: unknown) => {
    throw new InputError(`-o ${out} cannot be written: ${errorMessage(error)}`);
  });
  await sweepTemporaries(target);
  const staged = temporaryName(target);
  await mkdir(staged);
  const exit = deleteAtExit(staged);
  try {
    const written = await write(staged);
    if (stop?.aborted) throw new InterruptedError('interrupted; nothing was written');
    await rm(target, { recursive: true, force: true }); // an empty folder
    await rename(staged, target);
    return written;
  } finally {
    await rm(staged, { recursive: true, force: true });
    exit.forget();
  }
}
