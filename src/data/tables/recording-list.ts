/** @file Recordings that are named one by one, by their folder, by a glob pattern, or in a list of paths. */

import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { extname, isAbsolute, join, resolve } from 'node:path';
import { glob, isDynamicPattern } from 'tinyglobby';
import { InputError } from '../../base/index.js';
import { AUDIO_NAME, adviceFor, formatOfBytes } from './table-advice.js';
import { headOf } from './text-blocks.js';

/** Names of tables. */
const TABLE_NAME = /\.(?:csv|tsv|tab|jsonl|ndjson)$/i;

/** Recordings in order, each once. */
export interface RecordingList {
  /** Relative to the working folder, or absolute, as they were named. */
  readonly paths: readonly string[];
  /** SHA-256 of the list. */
  readonly sha256: string;
}

/** True for a file that is a recording by its name or its first bytes. */
export async function isRecording(path: string): Promise<boolean> {
  if (AUDIO_NAME.test(path)) return true;
  if (TABLE_NAME.test(path)) return false;
  const head = await headOf(path).catch(() => undefined);
  return head !== undefined && formatOfBytes(head)?.kind === 'audio';
}

/** True if the name is that of no file or folder, and a glob pattern. */
export async function isPattern(name: string): Promise<boolean> {
  return isDynamicPattern(name) && (await stat(name).catch(() => undefined)) === undefined;
}

/**
 * Lists the recordings that names refer to: files; folders, with what is in them, except hidden files and files whose
 * names are not those of recordings; glob patterns, likewise. Files of a folder or a pattern are sorted by path.
 * @throws InputError for a name without any recording, and for a table among them
 */
export async function listRecordings(names: readonly string[]): Promise<RecordingList> {
  const paths = new Map<string, string>(); // by absolute path
  for (const name of names) {
    for (const path of await recordingsOf(name)) {
      const absolute = resolve(path);
      if (!paths.has(absolute)) paths.set(absolute, path);
    }
  }
  const list = [...paths.values()];
  return { paths: list, sha256: createHash('sha256').update(list.join('\0')).digest('hex') };
}

async function recordingsOf(name: string): Promise<readonly string[]> {
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(name)) {
    throw new InputError(adviceFor({ kind: 'address' }, name, { what: 'recording', columns: [] }));
  }
  const entry = await stat(name).catch(() => undefined);
  if (entry?.isDirectory()) {
    const found = await glob('**/*', { cwd: name, expandDirectories: false });
    const recordings = sortedRecordings(found).map((path) => join(name, path));
    if (recordings.length > 0) return recordings;
    throw new InputError(`${name} is a folder without recordings; name another one, or a table`);
  }
  if (entry !== undefined) {
    if (!TABLE_NAME.test(name)) return [name];
    throw new InputError(`${name} is a table, and others are named beside it; predict one table at a time`);
  }
  if (!isDynamicPattern(name)) throw new InputError(`${name} does not exist`);
  const found = await glob(name, { expandDirectories: false, absolute: isAbsolute(name) });
  const recordings = sortedRecordings(found);
  if (recordings.length > 0) return recordings;
  const what =
    found.length > 0 ? `matches ${found.length} files, none of them a recording` : 'matches nothing';
  throw new InputError(`${name} ${what}; quote a pattern, such as 'calls/**/*${extname(name) || '.wav'}'`);
}

function sortedRecordings(paths: readonly string[]): string[] {
  return paths.filter((path) => AUDIO_NAME.test(path)).sort();
}
