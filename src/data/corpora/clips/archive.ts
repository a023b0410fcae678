/**
 * @file Streams files out of a .tar.gz in archive order and unpacks only those asked for. Names only identify files; no
 * path of an archive is ever used as a path on disk.
 */

import { createReadStream } from 'node:fs';
import { open, utimes } from 'node:fs/promises';
import { basename, posix } from 'node:path';
import { createGunzip, constants as zlib } from 'node:zlib';
import { extract, type Header } from 'tar-stream';
import { errorMessage } from '../../../base/index.js';

/** A regular file in an archive. */
export interface ArchivedFile {
  /** Its name without folders. */
  name: string;
  bytes: number;
  modifiedMs: number;
}

/**
 * Called for each file in turn; `save` writes its content to a path.
 * @returns false to stop
 */
export type ArchiveVisitor = (file: ArchivedFile, save: (path: string) => Promise<void>) => Promise<boolean>;

/** Chunk size for reading and inflating; larger than Node's default, to keep the event loop responsive. */
const CHUNK_BYTES = 1 << 18;
/** A tar consists of these blocks and ends in empty ones. */
const TAR_BLOCK_BYTES = 512;

/**
 * Visits the files of a .tar.gz until the visitor stops.
 * @returns what is wrong with the archive if it is damaged, cut off or unreadable (files visited before that were
 *   complete); undefined if nothing was found wrong in the part that was read
 * @throws whatever the visitor throws; the signal's reason when it is aborted
 */
export async function readArchive(
  path: string,
  visit: ArchiveVisitor,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const source = createReadStream(path, { highWaterMark: CHUNK_BYTES });
  // gunzip delivers everything before the cut of a truncated archive; the tar inside shows that more should follow.
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

/** Regular files with a safe name; undefined for anything else. */
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

/** Writes a file with the modification time given in the archive, as tar does. */
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
