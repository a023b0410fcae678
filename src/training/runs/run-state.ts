/**
 * @file What a run folder holds when training begins: nothing, a run that goes on, or one that is done; and how far it
 * is: one safetensors file with parameters and moments, the position in its metadata.
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
  backboneDifferences,
  manifestChange,
  metricName,
  type RunMetadata,
  readMetadata,
  writeMetadata,
} from './metadata.js';

/** What a run folder holds before training begins; `metadata` are those that its run began with. */
export type FoundRun =
  | { readonly status: 'new' }
  | { readonly status: 'unfinished' | 'finished'; readonly metadata: RunMetadata };

/**
 * Looks at a run folder and changes nothing. A run that was killed before it had saved anything counts as new.
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

/** run.json of a run that has saved something; one that was killed before counts as none. */
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

/** Makes the folder of a new run: recipe and metadata. */
export async function createRun(folder: RunFolder, recipe: Recipe, metadata: RunMetadata): Promise<void> {
  await mkdir(join(folder.dir, 'artifacts'), { recursive: true });
  // Of a run that was killed before its first state, or whose run.json was deleted.
  await Promise.all([folder.state, folder.checkpoint].map((path) => rm(path, { force: true })));
  await rm(folder.checkpoints, { recursive: true, force: true });
  await writeFileAtomic(folder.recipe, dumpRecipe(recipe));
  await writeMetadata(folder, metadata);
}

/** Deletes the unfinished files that a killed process has left in a run folder. */
export async function removeTemporaries({ dir }: RunFolder): Promise<void> {
  const names = await readdir(dir, { recursive: true });
  const left = names.filter(isTemporaryName);
  await Promise.all(left.map((name) => rm(join(dir, name), { force: true })));
}

/** A file where a folder should be, or a folder in which nobody, or not this user, may write. */
const UNWRITABLE = new Set(['ENOTDIR', 'EEXIST', 'EACCES', 'EPERM', 'EROFS']);

/**
 * Claims a run folder for this process, making it where it is new; the function that comes back gives it up. What a
 * killed process has left is taken over.
 * @throws InputError while another process trains there, or where the folder cannot be written
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

/** Deletes the lock of a process that was killed when its run was finished and the lock not yet given up. */
export async function removeDeadLock({ dir }: RunFolder): Promise<void> {
  if (!(await pathExists(lockFile(dir)))) return;
  const claim = await claimLock(lockFile(dir));
  if (typeof claim === 'function') await claim();
}

function lockFile(dir: string): string {
  return join(dir, 'training.lock');
}

/** The best epoch so far by the recipe's metric. */
export interface BestEpoch {
  readonly epoch: number;
  readonly metric: string | null;
  readonly value: number | null;
}

/** Everything beside the tensors that a resumed run needs. */
export interface TrainingPosition {
  /** Steps done. */
  readonly step: number;
  /** Epochs validated. */
  readonly epoch: number;
  /** Bytes of metrics.jsonl that belong to these steps. */
  readonly metricsBytes: number;
  readonly best: BestEpoch | null;
  /** With `select: smoothed`: that figure of the last two epochs, the last one last; null where it is not a number. */
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

/** Position of a saved state; undefined where there is none. @throws InputError when the file is not one */
export async function readPosition(path: string): Promise<TrainingPosition | undefined> {
  if (!(await pathExists(path))) return undefined;
  const { metadata } = await readSafetensorsHeader(path);
  const parsed = positionSchema.safeParse(parseJson(metadata[KEY]));
  if (!parsed.success)
    throw new InputError(`${path} is not a training state of emoq; delete the run to start again`);
  return parsed.data;
}

/**
 * Checks a saved state against the checksum that it was written with; one of an emoq that wrote none passes.
 * @throws InputError when it is damaged
 */
export async function verifyState(path: string): Promise<void> {
  const { metadata } = await readSafetensorsHeader(path);
  // Of a key that is damaged itself the file would else pass as one without a checksum.
  const isForeign = Object.keys(metadata).some((key) => key !== KEY && key !== CHECKSUM_KEY);
  if (isForeign || (await hasWholeContent(path)) === false) {
    throw new InputError(
      `training state ${path} is damaged: its checksum does not fit its content; delete the run to start again, or put a good copy in its place`,
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
