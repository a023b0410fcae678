/** @file Annotations that are packed with the clips: taken out once, and kept beside the prepared corpus. */

import { readFile, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError, makeOutputFolder, temporaryName, writeFileAtomic } from '../../base/index.js';
import { readArchive } from './clips/index.js';

/**
 * A CSV out of an archive, at `<out>/<name>`. The copy bears the archive's time of change: while they agree, the
 * archive is not read again.
 * @returns its path; undefined where the archive has none.
 * @throws InputError when the archive is damaged and the CSV does not come before that.
 */
export async function unpackAnnotations(
  archive: string,
  name: string,
  out: string,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const path = join(out, name);
  const modifiedSec = await changedAtSec(archive);
  if ((await changedAtSec(path)) === modifiedSec) return path;
  await makeOutputFolder(out);
  const unpacked = temporaryName(path);
  let isThere = false;
  try {
    const damage = await readArchive(
      archive,
      async (file, save) => {
        if (file.name !== name) return true;
        await save(unpacked);
        isThere = true;
        return false;
      },
      signal,
    );
    if (damage !== undefined)
      throw new InputError(`${archive} has no whole ${name}: ${damage}; get it again`);
    if (!isThere) return undefined;
    await writeFileAtomic(path, await readFile(unpacked));
  } finally {
    await rm(unpacked, { force: true });
  }
  if (modifiedSec !== undefined) await utimes(path, modifiedSec, modifiedSec);
  return path;
}

/** Whole seconds; undefined where there is no file. */
async function changedAtSec(path: string): Promise<number | undefined> {
  const file = await stat(path).catch(() => undefined);
  return file && Math.floor(file.mtimeMs / 1000);
}
