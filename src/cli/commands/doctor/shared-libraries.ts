/** @file Which shared libraries the system's loader finds, asked without loading them. */

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { pathExists } from '../../../base/index.js';

const TIME_LIMIT_MS = 20_000;
/** Not on the path of everybody. */
const LDCONFIG = ['/sbin/ldconfig', '/usr/sbin/ldconfig'];

/** Those of `names` that are neither in LD_LIBRARY_PATH nor in the loader's cache. */
export async function missingLibraries(names: readonly string[]): Promise<string[]> {
  const folders = (process.env.LD_LIBRARY_PATH ?? '').split(':').filter((folder) => folder !== '');
  const cached = await loaderCache();
  const found = await Promise.all(
    names.map(async (name) => {
      if (cached.has(name)) return true;
      const inFolders = await Promise.all(folders.map((folder) => pathExists(join(folder, name))));
      return inFolders.some(Boolean);
    }),
  );
  return names.filter((_, index) => !found[index]);
}

/** Names in `ldconfig -p`: `	libz.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libz.so.1`. */
async function loaderCache(): Promise<Set<string>> {
  for (const program of LDCONFIG) {
    const { stdout } = await promisify(execFile)(program, ['-p'], {
      timeout: TIME_LIMIT_MS,
      killSignal: 'SIGKILL',
      maxBuffer: 16 << 20,
    }).catch(() => ({ stdout: '' }));
    if (stdout !== '') return new Set([...stdout.matchAll(/^\s+(\S+) \(/gm)].map((match) => match[1]!));
  }
  return new Set();
}
