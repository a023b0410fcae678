/**
 * @file The temporary folder of one run of the suite. Everything that tests write is in it, and it is deleted at the
 * end, including leftovers of killed processes. It is in memory if there is enough space, since the hundreds of trained
 * runs would otherwise wait for the disk at each file they save.
 */

import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, realpathSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    /** Folder for fixtures shared by all test files. */
    suiteFolder: string;
    /** Folder on a disk, for tests of mapped files, since memory of files on a RAM disk is counted differently. */
    diskFolder: string;
  }
}

const IN_MEMORY = '/dev/shm';
/** Several times what the suite takes. */
const NEEDED_BYTES = 6 * 2 ** 30;

export default function setup(project: TestProject): () => void {
  const disk = makeFolder(tmpdir(), () => true)!;
  const folder = makeFolder(IN_MEMORY, hasSpace) ?? disk;
  process.env.TMPDIR = folder; // for the processes that run the tests, and their children
  project.provide('suiteFolder', folder);
  project.provide('diskFolder', disk);
  return () => {
    for (const each of new Set([folder, disk])) rmSync(each, { recursive: true, force: true });
  };
}

function makeFolder(parent: string, isFit: (folder: string) => boolean): string | undefined {
  let folder: string | undefined;
  try {
    folder = realpathSync(mkdtempSync(join(parent, 'emoq-suite-')));
    chmodSync(folder, 0o1777); // as usual for such folders: some tests run as another user
    if (isFit(folder)) return folder;
  } catch {
    // It does not exist, or programs cannot be run from it.
  }
  if (folder !== undefined) rmSync(folder, { recursive: true });
  return undefined;
}

/** Containers may limit it to a few megabytes, and refuse to run programs from it, which some tests do. */
function hasSpace(folder: string): boolean {
  const { bavail, bsize } = statfsSync(folder);
  if (Math.min(bavail * bsize, freemem()) < NEEDED_BYTES) return false;
  const program = join(folder, 'program');
  writeFileSync(program, '#!/bin/sh\nexit 0\n');
  chmodSync(program, 0o755);
  execFileSync(program);
  rmSync(program);
  return true;
}
