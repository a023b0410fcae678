/** @file Recordings that are named one by one, by their folder, by a glob pattern, or in a list of paths. */

import { createHash } from 'node:crypto';
import { type Dirent, readdir, type Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { extname, isAbsolute, join, relative, resolve } from 'node:path';
import { glob, isDynamicPattern } from 'tinyglobby';
import { InputError } from '../../base/index.js';
import { AUDIO_NAME, adviceFor, formatOfBytes } from './table-advice.js';
import { isAbsent, whyUnread } from './table-text.js';
import { headOf } from './text-blocks.js';

/** Names of tables. */
const TABLE_NAME = /\.(?:csv|tsv|tab|jsonl|ndjson)$/i;

/** Recordings in order, each once. */
export interface RecordingList {
  /** Relative to the working folder, or absolute, as they were named. */
  readonly paths: readonly string[];
  /** SHA-256 of the list. */
  readonly sha256: string;
  /** Folders that cannot be read, each with its reason: their recordings are not among the paths. */
  readonly unread: readonly string[];
}

/** True for a name that is that of a table by its ending. */
export function isTableName(name: string): boolean {
  return TABLE_NAME.test(name);
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
  const unread = new Map<string, string>();
  for (const name of names) {
    for (const path of await recordingsOf(name, unread)) {
      const absolute = resolve(path);
      if (!paths.has(absolute)) paths.set(absolute, path);
    }
  }
  const list = [...paths.values()];
  return {
    paths: list,
    sha256: createHash('sha256').update(list.join('\0')).digest('hex'),
    unread: shown(unread),
  };
}

/** Why folders cannot be read, by their absolute paths. */
type Unread = Map<string, string>;

async function recordingsOf(name: string, allUnread: Unread): Promise<readonly string[]> {
  if (name === '') throw new InputError('an input has an empty name; name a table or recordings');
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(name)) {
    throw new InputError(adviceFor({ kind: 'address' }, name, { what: 'input', columns: [] }));
  }
  let entry: Stats | undefined;
  try {
    entry = await stat(name);
  } catch (error) {
    if (!isDynamicPattern(name)) throw new InputError(`${name} ${whyUnread(error)}`);
  }
  if (entry?.isDirectory() === false) {
    if (!TABLE_NAME.test(name)) return [name];
    throw new InputError(`${name} is a table, and others are named beside it; predict one table at a time`);
  }
  const unread: Unread = new Map();
  const search = { expandDirectories: false, fs: noting(unread) };
  const found = entry
    ? (await glob('**/*', { ...search, cwd: name })).map((path) => join(name, path))
    : await glob(name, { ...search, absolute: isAbsolute(name) });
  const recordings = found.filter((path) => AUDIO_NAME.test(path)).sort();
  for (const [folder, reason] of unread) allUnread.set(folder, reason);
  if (recordings.length > 0) return recordings;
  const itself = unread.get(resolve(name));
  if (itself !== undefined) throw new InputError(`${name} cannot be read: ${itself}`);
  const others = unread.size > 0 ? `, and ${shown(unread)[0]} cannot be read` : '';
  if (entry) {
    throw new InputError(`${name} is a folder without recordings${others}; name another one, or a table`);
  }
  const what =
    found.length > 0 ? `matches ${found.length} files, none of them a recording` : 'matches nothing';
  throw new InputError(
    `${name} ${what}${others}; quote a pattern, such as 'calls/**/*${extname(name) || '.wav'}'`,
  );
}

/** `readdir` for a search, which passes over what it cannot read: this keeps those folders, with the reason. */
function noting(unread: Unread): { readdir: typeof readdir } {
  const noted = (path: string, options: { withFileTypes: true }, done: ReaddirDone): void =>
    readdir(path, options, (error, entries) => {
      if (error && !isAbsent(error)) unread.set(resolve(path), error.code ?? error.message);
      done(error, entries);
    });
  return { readdir: noted as typeof readdir };
}

type ReaddirDone = (error: NodeJS.ErrnoException | null, entries: Dirent[]) => void;

/** `calls/private (EACCES)` */
function shown(unread: Unread): string[] {
  return [...unread].map(([folder, reason]) => {
    const near = relative('.', folder) || '.';
    return `${near.startsWith('..') ? folder : near} (${reason})`;
  });
}
