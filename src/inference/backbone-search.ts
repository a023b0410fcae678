/** @file Finds the backbones of a run whose folder, or whose backbones, have been moved. */

import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { pathExists } from '../base/index.js';
import { findCheckpointFolder } from '../checkpoints/index.js';
import type { Recipe } from '../systems/index.js';

/** Folders above a run in which backbones are looked for: those of a project are at most this far up. */
const LEVELS = 5;
/** Folders that hold backbones by name. */
const SHELVES = ['', 'backbones', 'models'];

/** A backbone that is not where the run says. */
interface MovedBackbone {
  readonly key: string;
  readonly from: string;
  /** undefined if it was not found. */
  readonly to: string | undefined;
}

/**
 * Where the backbones of a run are now. One that is neither in its folder nor in the Hugging Face cache is looked for
 * above the run's folder: by the same relative path, or by its name, also in folders `backbones` and `models`. Whether
 * what is found is the same model is checked when it is opened.
 */
export async function findMovedBackbones(
  { backbones }: Pick<Recipe, 'backbones'>,
  runDir: string,
): Promise<MovedBackbone[]> {
  const moved: MovedBackbone[] = [];
  for (const [key, name] of Object.entries(backbones)) {
    if (typeof name !== 'string' || (await isPresent(key, name))) continue;
    moved.push({ key, from: name, to: await firstPresent(candidates(name, runDir)) });
  }
  return moved;
}

async function isPresent(key: string, name: string): Promise<boolean> {
  if (key === 'encoder_onnx') return pathExists(name);
  return findCheckpointFolder(name).then(
    () => true,
    () => false,
  );
}

function candidates(name: string, runDir: string): string[] {
  const found: string[] = [];
  let folder = resolve(runDir);
  for (let level = 0; level < LEVELS && dirname(folder) !== folder; level++) {
    folder = dirname(folder);
    if (!isAbsolute(name)) found.push(join(folder, name));
    for (const shelf of SHELVES) found.push(join(folder, shelf, basename(name)));
  }
  return found;
}

async function firstPresent(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    if ((await pathExists(join(path, 'config.json'))) || (/\.onnx$/.test(path) && (await pathExists(path))))
      return path;
  }
  return undefined;
}
