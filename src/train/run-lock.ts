/** @file One process at a time trains into a run folder: two would write into each other's metrics and states. */

import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { InputError } from '../base/index.js';
import type { RunFolder } from './run-folder.js';

/**
 * Claims a run folder for this process, making it where it is new; the function that comes back gives it up. What a
 * killed process has left is taken over.
 * @throws InputError while another process trains there
 */
export async function lockRun({ dir }: RunFolder): Promise<() => Promise<void>> {
  const path = join(dir, 'training.lock');
  const own = `${process.pid} ${hostname()}\n`;
  const claim = (): Promise<void> => writeFile(path, own, { flag: 'wx' });
  await mkdir(dir, { recursive: true });
  await claim().catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
    const [pid, host] = (await readFile(path, 'utf8').catch(() => '')).trim().split(' ');
    if (host !== undefined && (host !== hostname() || isAlive(Number(pid)))) {
      throw new InputError(
        `process ${pid} on ${host} is training in ${dir} already; wait for it or use another --run folder (if there is no such process, delete ${path})`,
      );
    }
    await rm(path, { force: true });
    await claim();
  });
  return () => rm(path, { force: true });
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
