/** @file Finds shared libraries where Linux's loader looks for them (ld.so(8)). */

import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { pathExists } from '../../base/index.js';
import type { DynamicSection } from './elf.js';

/** A library by its name, such as `libcudart.so.13`. */
export interface FoundLibrary {
  readonly name: string;
  /** The file that would be loaded; undefined if the loader finds none. */
  readonly path: string | undefined;
}

/** Who looks: the library that needs the others, for its own folders. */
export interface SearchContext {
  /** File of the library that needs the others. */
  readonly path: string;
  readonly dynamic: Pick<DynamicSection, 'rpath' | 'runpath'>;
}

const LDCONFIG_TIME_LIMIT_MS = 20_000;
/** Its folder is often not on the PATH. */
const LDCONFIG = ['/sbin/ldconfig', '/usr/sbin/ldconfig'];
/** In the listing of the cache, the word for libraries of this processor. */
const CACHE_WORDS: Readonly<Record<string, string>> = { x64: 'x86-64', arm64: 'AArch64' };
/** Of the architecture's own kind first, as Debian and Fedora build them into the loader. */
const DEFAULT_FOLDERS: Readonly<Record<string, readonly string[]>> = {
  x64: ['/lib/x86_64-linux-gnu', '/usr/lib/x86_64-linux-gnu', '/lib64', '/usr/lib64'],
  arm64: ['/lib/aarch64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/lib64', '/usr/lib64'],
};

/**
 * Looks for libraries in the loader's order: RPATH (if there is no RUNPATH), LD_LIBRARY_PATH, RUNPATH, the loader's
 * cache, the default folders. A file counts by its name: whether it can be loaded only loading shows.
 * @param context whose folders to search besides; absent: nobody's
 */
export async function findLibraries(
  names: readonly string[],
  context?: SearchContext,
): Promise<FoundLibrary[]> {
  const cache = await loaderCache();
  const { rpath = [], runpath = [] } = context?.dynamic ?? {};
  const expanded = (folders: readonly string[]): string[] =>
    folders.map((folder) => folder.replace(/\$(?:ORIGIN|\{ORIGIN\})/g, dirname(context!.path)));
  const before = [...(runpath.length === 0 ? expanded(rpath) : []), ...searchPath(), ...expanded(runpath)];
  const after = [...(DEFAULT_FOLDERS[process.arch] ?? []), '/lib', '/usr/lib'];
  return Promise.all(
    names.map(async (name) => ({
      name,
      path: (await firstWith(name, before)) ?? cache.get(name) ?? (await firstWith(name, after)),
    })),
  );
}

/** LD_LIBRARY_PATH: an empty part is the working directory. */
function searchPath(): string[] {
  const text = process.env.LD_LIBRARY_PATH ?? '';
  return text === '' ? [] : text.split(/[:;]/).map((folder) => folder || process.cwd());
}

async function firstWith(name: string, folders: readonly string[]): Promise<string | undefined> {
  for (const folder of folders) {
    const path = join(folder, name);
    if (await pathExists(path)) return path;
  }
  return undefined;
}

/** Paths by name in `ldconfig -p`: `	libz.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libz.so.1`. */
async function loaderCache(): Promise<ReadonlyMap<string, string>> {
  for (const program of LDCONFIG) {
    const { stdout } = await promisify(execFile)(program, ['-p'], {
      timeout: LDCONFIG_TIME_LIMIT_MS,
      killSignal: 'SIGKILL',
      maxBuffer: 16 << 20,
    }).catch(() => ({ stdout: '' }));
    if (stdout !== '') return cachedPaths(stdout, CACHE_WORDS[process.arch] ?? '');
  }
  return new Map();
}

/** The listing's first path for each name, among the libraries of one architecture. */
export function cachedPaths(listing: string, architecture: string): Map<string, string> {
  const paths = new Map<string, string>();
  for (const [, name, kind, path] of listing.matchAll(/^\s+(\S+) \(([^)]*)\) => (.+)$/gm)) {
    if (kind!.includes(architecture) && !paths.has(name!)) paths.set(name!, path!);
  }
  return paths;
}
