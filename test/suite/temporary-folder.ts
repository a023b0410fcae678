/**
 * @file The temporary folder of one run of the suite: all that tests write lies in it, and it is deleted at the end, what
 * killed processes have left too. In memory where there is room: the hundreds of runs that are trained wait for the disk
 * at each file that they save.
 */

import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, realpathSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    /** Folder for what is made once for all test files. */
    suiteFolder: string;
    /** Folder on a disk, for what is about files that are mapped: those in memory are counted otherwise. */
    diskFolder: string;
  }
}

const IN_MEMORY = '/dev/shm';
/** Several times what the suite takes. */
const ROOM_BYTES = 6 * 2 ** 30;

export default function setup(project: TestProject): () => void {
  const disk = makeFolder(tmpdir(), () => true)!;
  const folder = makeFolder(IN_MEMORY, hasSpace) ?? disk;
  process.env.TMPDIR = folder; // of the processes that run the tests, and of theirs
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
    chmodSync(folder, 0o1777); // as such folders are: some tests become another user
    if (isFit(folder)) return folder;
  } catch {
    // There is none, or no program may be run in it.
  }
  if (folder !== undefined) rmSync(folder, { recursive: true });
  return undefined;
}

/** Containers may give it a few megabytes, and refuse to run programs from it, which some tests write. */
function hasSpace(folder: string): boolean {
  const { bavail, bsize } = statfsSync(folder);
  if (Math.min(bavail * bsize, freemem()) < ROOM_BYTES) return false;
  const program = join(folder, 'program');
  writeFileSync(program, '#!/bin/sh\nexit 0\n');
  chmodSync(program, 0o755);
  execFileSync(program);
  rmSync(program);
  return true;
}
