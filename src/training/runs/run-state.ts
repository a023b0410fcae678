/**
 * @file The state of a run folder when training begins (empty, unfinished or finished), its lock, and its saved state:
 * a safetensors file with parameters and moments, and the position in its metadata.
 */

import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import {
  claimLock,
  errorMessage,
  InputError,
  isTemporaryName,
  pathExists,
  writeFileAtomic,
} from '../../base/index.js';
import { CHECKSUM_KEY, hasWholeContent, readSafetensorsHeader } from '../../engine/tensor/index.js';
import { dumpRecipe, recipeDifferences } from '../../recipe/index.js';
import type { Recipe } from '../../systems/index.js';
import { type RunFolder, runRecipeText } from './folder.js';
import {
  augmentationDifferences,
  backboneDifferences,
  manifestChange,
  metricName,
  type RunMetadata,
  readMetadata,
  writeMetadata,
} from './metadata.js';

/** What a run folder contains before training begins; `metadata` is the run's original metadata. */
export type FoundRun =
  | { readonly status: 'new' }
  | { readonly status: 'unfinished' | 'finished'; readonly metadata: RunMetadata };

/**
 * Inspects a run folder without changing it. A run killed before its first saved state counts as new.
 * @throws InputError when the folder holds a run of another recipe, naming the keys that differ, or something else
 */
export async function inspectRun(
  folder: RunFolder,
  recipe: Recipe,
  metadata: RunMetadata,
): Promise<FoundRun> {
  const found = await begunRun(folder);
  if (found === undefined) return { status: 'new' };
  const change = manifestChange(found.manifest, metadata.manifest);
  const differences = [
    ...recipeDifferences(await runRecipeText(folder), dumpRecipe(recipe)),
    ...(change === undefined ? [] : [`the manifest ${change}`]),
    ...backboneDifferences(found.backbones, metadata.backbones),
    ...augmentationDifferences(found.augmentation, metadata.augmentation),
    ...(found.startedFrom === metadata.startedFrom ? [] : ['the stage-1 checkpoint has changed']),
    ...validationDifference(found, metadata),
  ];
  if (differences.length > 0) {
    throw new InputError(
      `${folder.dir} holds a run of another recipe: ${differences.join('; ')}. Use another --run folder, or delete this one`,
    );
  }
  return { status: found.status === 'finished' ? 'finished' : 'unfinished', metadata: found };
}

/** run.json of a run with saved state; undefined if it was killed before the first save. */
export async function begunRun(folder: RunFolder): Promise<RunMetadata | undefined> {
  const found = await readMetadata(folder);
  return found?.status === 'training' && !(await pathExists(folder.state)) ? undefined : found;
}

function validationDifference(
  { validation: before }: RunMetadata,
  { validation: now }: RunMetadata,
): string[] {
  if (before === undefined || JSON.stringify(before) === JSON.stringify(now)) return [];
  const names = (drawn: RunMetadata['validation']): string => drawn?.speakers.join(', ') || 'none whole';
  return [`its validation speakers were ${names(before)}, are ${names(now)}`];
}

/** Creates the folder of a new run: recipe and metadata. */
export async function createRun(folder: RunFolder, recipe: Recipe, metadata: RunMetadata): Promise<void> {
  await mkdir(join(folder.dir, 'artifacts'), { recursive: true });
  // Left by a run that was killed before its first saved state, or whose run.json was deleted.
  await Promise.all([folder.state, folder.checkpoint].map((path) => rm(path, { force: true })));
  await rm(folder.checkpoints, { recursive: true, force: true });
  await writeFileAtomic(folder.recipe, dumpRecipe(recipe));
  await writeMetadata(folder, metadata);
}

/** Deletes the temporary files that a killed process left in a run folder. */
export async function removeTemporaries({ dir }: RunFolder): Promise<void> {
  const names = await readdir(dir, { recursive: true });
  const left = names.filter(isTemporaryName);
  await Promise.all(left.map((name) => rm(join(dir, name), { force: true })));
}

/** A file where a folder should be, or a folder that the user cannot write to. */
const UNWRITABLE = new Set(['ENOTDIR', 'EEXIST', 'EACCES', 'EPERM', 'EROFS']);

/**
 * Locks a run folder for this process, creating the folder if needed. Returns a function that releases the lock. Takes
 * over the lock of a killed process.
 * @throws InputError if another process is training there, or the folder is not writable
 */
export async function lockRun({ dir }: RunFolder): Promise<() => Promise<void>> {
  const path = lockFile(dir);
  const claim = await claimLock(path).catch((error: NodeJS.ErrnoException) => {
    if (!(error instanceof InputError || UNWRITABLE.has(error.code ?? ''))) throw error;
    throw new InputError(
      `cannot write into ${dir} (${errorMessage(error)}); choose another folder with --run`,
    );
  });
  if (typeof claim === 'function') return claim;
  throw new InputError(
    `process ${claim.pid} on ${claim.host} is training in ${dir} already; wait for it or use another --run folder (if there is no such process, delete ${path})`,
  );
}

/** Deletes the lock of a process that was killed after finishing its run but before releasing the lock. */
export async function removeDeadLock({ dir }: RunFolder): Promise<void> {
  if (!(await pathExists(lockFile(dir)))) return;
  const claim = await claimLock(lockFile(dir));
  if (typeof claim === 'function') await claim();
}

/** Name of a run folder's lock. */
export const LOCK_NAME = 'training.lock';

function lockFile(dir: string): string {
  return join(dir, LOCK_NAME);
}

/** The best epoch so far, by the recipe's metric. */
export interface BestEpoch {
  readonly epoch: number;
  readonly metric: string | null;
  readonly value: number | null;
}

/** What a resumed run needs besides the tensors. */
export interface TrainingPosition {
  /** Completed steps. */
  readonly step: number;
  /** Validated epochs. */
  readonly epoch: number;
  /** Bytes of metrics.jsonl that belong to these steps. */
  readonly metricsBytes: number;
  readonly best: BestEpoch | null;
  /** With `select: smoothed`: that figure in the last two epochs, oldest first; null if it was not a number. */
  readonly recent?: readonly (number | null)[] | undefined;
}

const positionSchema = z.object({
  step: z.int().min(0),
  epoch: z.int().min(0),
  metricsBytes: z.int().min(0),
  best: z.object({ epoch: z.int(), metric: metricName.nullable(), value: z.number().nullable() }).nullable(),
  recent: z.array(z.number().nullable()).max(2).optional(),
});

const KEY = 'emoq_training_position';

/** Metadata of a training state file. */
export function positionMetadata(position: TrainingPosition): Record<string, string> {
  return { [KEY]: JSON.stringify(position) };
}

/** Position of a saved state; undefined if there is none. @throws InputError when the file is not a saved state */
export async function readPosition(path: string): Promise<TrainingPosition | undefined> {
  if (!(await pathExists(path))) return undefined;
  const { metadata } = await readSafetensorsHeader(path);
  const parsed = positionSchema.safeParse(parseJson(metadata[KEY]));
  if (!parsed.success)
    throw new InputError(`${path} is not a training state of emoq; delete the run to start over`);
  return parsed.data;
}

/**
 * Verifies a saved state against its checksum. States of versions that wrote none are accepted.
 * @throws InputError when it is damaged
 */
export async function verifyState(path: string): Promise<void> {
  const { metadata } = await readSafetensorsHeader(path);
  // Damage to the key itself would otherwise make the file look like one without a checksum.
  const isForeign = Object.keys(metadata).some((key) => key !== KEY && key !== CHECKSUM_KEY);
  if (isForeign || (await hasWholeContent(path)) === false) {
    throw new InputError(
      `training state ${path} is damaged: its checksum does not match its content; restore a good copy, or delete the run to start over`,
    );
  }
}

function parseJson(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? 'null');
  } catch {
    return undefined;
  }
}
