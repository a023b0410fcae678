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

/** What is in a folder: by name, by composed name, and by what a name looks like. */
interface Folder {
  readonly names: ReadonlySet<string>;
  readonly composed: ReadonlyMap<string, string>;
  readonly alike: ReadonlyMap<string, string>;
}

/** @param folder what paths are relative to. */
export function fileFinder(folder: string): FileFinder {
  const found = new Map<string, Promise<string>>(); // many rows may share one recording
  const folders = new Map<string, Promise<Folder>>(); // and many missing ones a folder
  const look: Look = (dir) => {
    const known = folders.get(dir) ?? readFolder(dir);
    folders.set(dir, known);
    return known;
  };
  return {
    find(path) {
      const known = found.get(path) ?? findFile(resolve(folder), path, look);
      found.set(path, known);
      known.catch(() => undefined); // whoever asked is told
      return known;
    },
  };
}

type Look = (dir: string) => Promise<Folder>;

async function readFolder(dir: string): Promise<Folder> {
  const names = await readdir(dir).catch((): string[] => []);
  const sorted = names.sort().reverse(); // of several that look alike the first by name is taken
  return {
    names: new Set(names),
    composed: new Map(sorted.map((name) => [name.normalize('NFC'), name])),
    alike: new Map(sorted.map((name) => [canonicalSpelling(name), name])),
  };
}

async function findFile(folder: string, path: string, look: Look): Promise<string> {
  const trimmed = path.trim();
  for (const variant of new Set([path, trimmed, trimmed.replaceAll('\\', '/')])) {
    const candidate = resolve(folder, variant);
    if (await isFile(candidate)) return candidate;
  }
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(trimmed)) {
    throw new InputError(`${trimmed} is an address; download it and name the copy`);
  }
  const wanted = resolve(folder, trimmed.replaceAll('\\', '/'));
  const same = await walk(wanted, look, ({ composed }, name) => composed.get(name.normalize('NFC')));
  if (same !== undefined && (await isFile(same))) return same;
  const near = await walk(wanted, look, ({ alike }, name) => alike.get(canonicalSpelling(name)));
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

/** The path whose every part is the wanted one, or the one that `match` finds for it; undefined where there is none. */
async function walk(
  path: string,
  look: Look,
  match: (folder: Folder, name: string) => string | undefined,
): Promise<string | undefined> {
  const parent = dirname(path);
  if (parent === path) return path;
  const dir = await walk(parent, look, match);
  if (dir === undefined) return undefined;
  const name = path.slice(parent.length).replace(/^[/\\]/, '');
  const folder = await look(dir);
  const found = folder.names.has(name) ? name : match(folder, name);
  if (found !== undefined) return resolve(dir, found);
  // A folder that may be entered and not listed.
  const candidate = resolve(dir, name);
  return (await stat(candidate).catch(() => undefined)) === undefined ? undefined : candidate;
}
