/**
 * @file Files of a .tar.gz as a stream, in the order in which they lie there: only what is asked for is unpacked.
 * Names say only which file is which; no path of an archive is ever used as a path here.
 */

import { createReadStream } from 'node:fs';
import { open, utimes } from 'node:fs/promises';
import { basename, posix } from 'node:path';
import { createGunzip, constants as zlib } from 'node:zlib';
import { extract, type Header } from 'tar-stream';
import { errorMessage } from '../../../base/index.js';

/** An ordinary file of an archive. */
export interface ArchivedFile {
  /** Its name without folders. */
  name: string;
  bytes: number;
  modifiedMs: number;
}

/**
 * Called for each file in turn; `save` writes its content to a path.
 * @returns false when nothing more is wanted.
 */
export type ArchiveVisitor = (file: ArchivedFile, save: (path: string) => Promise<void>) => Promise<boolean>;

/** Chunks that reading and inflating hand on: larger ones than Node's own keep its event loop free. */
const CHUNK_BYTES = 1 << 18;
/** A tar is made of these, and ends in empty ones. */
const TAR_BLOCK_BYTES = 512;

/**
 * Visits the files of a .tar.gz until the visitor has what it wants.
 * @returns what is wrong with the archive where it is damaged, cut off or not readable: files visited before that
 *   were whole. undefined where nothing is wrong, as far as it was read.
 * @throws whatever the visitor throws; the signal's reason when it fires.
 */
export async function readArchive(
  path: string,
  visit: ArchiveVisitor,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const source = createReadStream(path, { highWaterMark: CHUNK_BYTES });
  // Everything before the cut comes out of an archive that is cut off; the tar in it tells that more should come.
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES, finishFlush: zlib.Z_SYNC_FLUSH });
  const entries = extract();
  let damage: Error | undefined;
  const fail = (error: Error): void => {
    damage ??= error;
    entries.destroy(error);
  };
  source.on('error', fail);
  gunzip.on('error', fail);
  entries.on('error', fail);
  source.pipe(gunzip).pipe(entries);
  let end: Buffer = Buffer.alloc(0);
  gunzip.on('data', (chunk: Buffer) => {
    end = Buffer.concat([end, chunk.subarray(-TAR_BLOCK_BYTES)]).subarray(-TAR_BLOCK_BYTES);
  });
  let files = 0;
  const damaged = (reason: string): string =>
    `${basename(path)} is damaged or not whole: ${reason} after ${files.toLocaleString('en')} files`;
  try {
    for await (const entry of entries) {
      signal?.throwIfAborted();
      const file = wholeFile(entry.header);
      const wantsMore = file
        ? await visit(file, (target) => save(entry as unknown as AsyncIterable<Buffer>, target, file))
        : true;
      if (!wantsMore) return undefined;
      files += 1;
      entry.resume();
    }
    const hasEndMark = end.length === TAR_BLOCK_BYTES && end.every((byte) => byte === 0);
    return hasEndMark ? undefined : damaged('Unexpected end of data');
  } catch (error) {
    if (damage === undefined) throw error;
    signal?.throwIfAborted();
    return damaged(errorMessage(damage).replaceAll(path, basename(path)));
  } finally {
    source.destroy();
    gunzip.destroy();
    entries.destroy();
  }
}

/** Ordinary files with a safe name; undefined for anything else. */
function wholeFile(header: Header): ArchivedFile | undefined {
  if (header.type !== 'file' && header.type !== 'contiguous-file') return undefined;
  const parts = header.name.replaceAll('\\', '/').split('/');
  if (parts[0] === '' || /^[A-Za-z]:$/.test(parts[0]!) || parts.includes('..')) return undefined;
  return {
    name: posix.basename(header.name),
    bytes: header.size,
    modifiedMs: header.mtime.getTime(),
  };
}

/** Writes a file with the time of change that the archive gives it, as tar does. */
async function save(
  content: AsyncIterable<Buffer>,
  path: string,
  { name, bytes, modifiedMs }: ArchivedFile,
): Promise<void> {
  const handle = await open(path, 'w');
  let written = 0;
  try {
    for await (const chunk of content) {
      await handle.appendFile(chunk);
      written += chunk.byteLength;
    }
  } finally {
    await handle.close();
  }
  if (written !== bytes) throw new Error(`${name} came out of its archive with ${written} of ${bytes} bytes`);
  await utimes(path, modifiedMs / 1000, modifiedMs / 1000);
}
