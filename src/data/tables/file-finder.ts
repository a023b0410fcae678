/** @file Files that a table names, found as they are meant: trimmed, with either slash, letters composed or decomposed. */

import { readdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { InputError } from '../../base/index.js';
import { canonicalSpelling } from './spellings.js';

/** Finds the files of one table. */
export interface FileFinder {
  /**
   * The absolute path of a file.
   * @throws InputError, one line, where there is none: with the name of one that is spelt a little differently.
   */
  find(path: string): Promise<string>;
}

/** @param folder what paths are relative to. */
export function fileFinder(folder: string): FileFinder {
  const found = new Map<string, Promise<string>>(); // many rows may share one recording
  const entries = new Map<string, Promise<string[]>>();
  const entriesOf = (dir: string): Promise<string[]> => {
    const known = entries.get(dir) ?? readdir(dir).catch((): string[] => []);
    entries.set(dir, known);
    return known;
  };
  return {
    find(path) {
      const known = found.get(path) ?? findFile(resolve(folder), path, entriesOf);
      found.set(path, known);
      known.catch(() => undefined); // whoever asked is told
      return known;
    },
  };
}

async function findFile(
  folder: string,
  path: string,
  entriesOf: (dir: string) => Promise<string[]>,
): Promise<string> {
  const trimmed = path.trim();
  for (const variant of new Set([path, trimmed, trimmed.replaceAll('\\', '/')])) {
    const candidate = resolve(folder, variant);
    if (await isFile(candidate)) return candidate;
  }
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(trimmed)) {
    throw new InputError(`${trimmed} is an address; download it and name the copy`);
  }
  const wanted = resolve(folder, trimmed.replaceAll('\\', '/'));
  const same = await walk(wanted, entriesOf, (name) => name.normalize('NFC'));
  if (same !== undefined && (await isFile(same))) return same;
  const near = await walk(wanted, entriesOf, canonicalSpelling);
  const hint = near === undefined ? '' : `; there is ${near}, which is spelt a little differently`;
  const isFolder = await stat(wanted).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
  throw new InputError(`${wanted} ${isFolder ? 'is a folder' : 'does not exist'}${hint}`);
}

function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (entry) => entry.isFile(),
    () => false,
  );
}

/** The path whose every part is the wanted one, or equal to it by `keyOf`; undefined where there is none. */
async function walk(
  path: string,
  entriesOf: (dir: string) => Promise<string[]>,
  keyOf: (name: string) => string,
): Promise<string | undefined> {
  const parent = dirname(path);
  if (parent === path) return path;
  const dir = await walk(parent, entriesOf, keyOf);
  if (dir === undefined) return undefined;
  const name = path.slice(parent.length).replace(/^[/\\]/, '');
  const names = await entriesOf(dir);
  const match = names.includes(name) ? name : names.find((each) => keyOf(each) === keyOf(name));
  if (match !== undefined) return resolve(dir, match);
  // A folder that may be entered and not listed.
  const candidate = resolve(dir, name);
  return (await stat(candidate).catch(() => undefined)) === undefined ? undefined : candidate;
}
