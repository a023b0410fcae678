/**
 * @file Temporary files beside what they will become. Their names say which process writes them, so that those of a
 * process that was killed are told from those of one at work, and taken away.
 */

import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { livenessHere, ownIdentity, placeName } from './process-identity.js';

/** `.<pid>-<start>-<place>-<random>.tmp`; earlier versions wrote `.<pid>-<random>.tmp`. */
const SUFFIX = /\.(\d+)-(?:([0-9a-z]*)-([0-9a-f]{8})-)?[0-9a-f]{8}\.tmp$/;
const MOST_NAME_BYTES = 255;
/** A process that cannot be seen from here may write slowly, but not that slowly. */
const ABANDONED_MS = 24 * 60 * 60_000;

const ofThisProcess = new Set<string>();
let isWatchingExit = false;

/** A new name for a temporary file or folder beside `path`. */
export function temporaryName(path: string): string {
  const { pid, start } = ownIdentity();
  const own = start === '' ? '' : Number(start).toString(36);
  const suffix = `.${pid}-${own}-${placeName()}-${randomBytes(4).toString('hex')}.tmp`;
  return join(dirname(path), shortened(basename(path), MOST_NAME_BYTES - suffix.length) + suffix);
}

/** True for the name of a temporary file or folder, of this version or an earlier one. */
export function isTemporaryName(name: string): boolean {
  return SUFFIX.test(name);
}

/** The name that a temporary file was to have. */
export function withoutTemporarySuffix(path: string): string {
  return path.replace(SUFFIX, '');
}

/** Deletes a file or folder when this process ends before `forget` is called, however it ends short of being killed. */
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
 * Deletes what dead processes have left beside `path`: temporary files of `path` itself, and those of other files where
 * their names tell that their process is gone. Never fails: what cannot be deleted is no worse than before.
 */
export async function sweepTemporaries(path: string): Promise<void> {
  const folder = dirname(path);
  const target = basename(path);
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    const [suffix, pid, start, place] = SUFFIX.exec(name) ?? [];
    if (suffix === undefined) continue;
    const ofTarget = isOfTarget(name.slice(0, -suffix.length), target);
    const left = join(folder, name);
    const isLeft =
      place === undefined
        ? ofTarget && livenessHere(Number(pid), '') === 'dead'
        : place === placeName()
          ? livenessHere(Number(pid), start === '' ? '' : String(Number.parseInt(start!, 36))) === 'dead'
          : ofTarget && (await isAbandoned(left));
    if (isLeft) await rm(left, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** Earlier exports put a process id between: `llm.onnx.safetensors.4711.4711-0a1b2c3d.tmp`. */
function isOfTarget(stem: string, target: string): boolean {
  if (stem === target || stem.replace(/\.\d+$/, '') === target) return true;
  return Buffer.byteLength(target) > 150 && target.startsWith(stem) && stem !== '';
}

async function isAbandoned(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found !== undefined && Date.now() - found.mtimeMs > ABANDONED_MS;
}

/** The beginning of a name, in whole characters. */
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
