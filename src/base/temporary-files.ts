/**
 * @file Temporary files next to their final path. The name identifies the process that writes the file, so that
 * leftovers of killed processes can be removed without touching files still being written.
 */

import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { livenessHere, ownIdentity, pidScope } from './process-identity.js';

/** `.<pid>-<start>-<scope>-<random>.tmp`; earlier versions wrote `.<pid>-<random>.tmp`. */
const SUFFIX = /\.(\d+)-(?:([0-9a-z]*)-([0-9a-f]{8})-)?[0-9a-f]{8}\.tmp$/;
const MOST_NAME_BYTES = 255;
/** Even a slow process that is not visible from here finishes within this time. */
const ABANDONED_MS = 24 * 60 * 60_000;

const ofThisProcess = new Set<string>();
let isWatchingExit = false;

/** A new name for a temporary file or folder next to `path`. */
export function temporaryName(path: string): string {
  const { pid, start } = ownIdentity();
  const own = start === '' ? '' : Number(start).toString(36);
  const suffix = `.${pid}-${own}-${pidScope()}-${randomBytes(4).toString('hex')}.tmp`;
  return join(dirname(path), shortened(basename(path), MOST_NAME_BYTES - suffix.length) + suffix);
}

/** True for the name of a temporary file or folder, from this version or an earlier one. */
export function isTemporaryName(name: string): boolean {
  return SUFFIX.test(name);
}

/** The final name of a temporary file. */
export function withoutTemporarySuffix(path: string): string {
  return path.replace(SUFFIX, '');
}

/** Deletes a file or folder if this process exits before `forget` is called, by any means short of SIGKILL. */
export function deleteAtExit(path: string): { forget: () => void } {
  if (!isWatchingExit) {
    isWatchingExit = true;
    process.on('exit', () => {
      for (const each of ofThisProcess) rmSync(each, { recursive: true, force: true });
    });
  }
  ofThisProcess.add(path);
  return { forget: () => void ofThisProcess.delete(path) };
}

/**
 * Deletes leftovers of dead processes next to `path`: temporary files of `path` itself, and of other files if their
 * names show that the process is gone. Never throws: failing to delete leaves things as they were.
 */
export async function sweepTemporaries(path: string): Promise<void> {
  const folder = dirname(path);
  const target = basename(path);
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    const [suffix, pid, start, scope] = SUFFIX.exec(name) ?? [];
    if (suffix === undefined) continue;
    const ofTarget = isOfTarget(name.slice(0, -suffix.length), target);
    const left = join(folder, name);
    const isLeft =
      scope === undefined
        ? ofTarget && livenessHere(Number(pid), '') === 'dead'
        : scope === pidScope()
          ? livenessHere(Number(pid), start === '' ? '' : String(Number.parseInt(start!, 36))) === 'dead'
          : ofTarget && (await isAbandoned(left));
    if (isLeft) await rm(left, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** Earlier exports added a process id: `llm.onnx.safetensors.4711.4711-0a1b2c3d.tmp`. */
function isOfTarget(stem: string, target: string): boolean {
  if (stem === target || stem.replace(/\.\d+$/, '') === target) return true;
  return Buffer.byteLength(target) > 150 && target.startsWith(stem) && stem !== '';
}

async function isAbandoned(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found !== undefined && Date.now() - found.mtimeMs > ABANDONED_MS;
}

/** The start of a name, cut at a character boundary. */
function shortened(name: string, bytes: number): string {
  if (Buffer.byteLength(name) <= bytes) return name;
  let text = '';
  let length = 0;
  for (const character of name) {
    length += Buffer.byteLength(character);
    if (length > bytes) break;
    text += character;
  }
  return text;
}
