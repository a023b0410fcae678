/**
 * @file The checkpoints of a run and their SHA-256 in run.json. If the process is killed, run.json still describes the
 * checkpoint on disk.
 */

import { readdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import {
  copyFileAtomic,
  errorMessage,
  InputError,
  moveIntoPlace,
  pathExists,
  sha256OfFile,
  temporaryName,
} from '../../base/index.js';
import { readSafetensorsHeader } from '../../engine/tensor/index.js';
import type { RunFolder } from './folder.js';
import { type RunMetadata, readMetadata, writeMetadata } from './metadata.js';
import { verifyState } from './run-state.js';

/** What to keep of an epoch's parameters. */
export interface EpochKept {
  readonly epoch: number;
  /** The epoch (this one or one of the last) whose parameters become the run's checkpoint; absent for none. */
  readonly selected: number | undefined;
  /** How many of the last epochs' checkpoints to keep, including this one. */
  readonly keep: number;
}

/**
 * Saves an epoch's parameters in checkpoints/, and those of the selected epoch as the run's checkpoint.
 * @param write writes them to a path, atomically
 * @throws InputError if an earlier epoch's file, which becomes the run's checkpoint, has changed since it was written
 */
export async function keepParameters(
  folder: RunFolder,
  { epoch, selected, keep }: EpochKept,
  write: (path: string) => Promise<void>,
): Promise<void> {
  const written: { readonly path: string; readonly temporary: string }[] = [];
  const make = async (path: string, fill: (temporary: string) => Promise<void>): Promise<string> => {
    const temporary = temporaryName(path);
    written.push({ path, temporary });
    await fill(temporary);
    return sha256OfFile(temporary);
  };
  try {
    const own = epochCheckpoint(folder, epoch);
    const metadata = await readMetadata(folder);
    const sha256 =
      selected === undefined
        ? undefined
        : await make(folder.checkpoint, (temporary) =>
            selected === epoch
              ? write(temporary)
              : copyFileAtomic(epochCheckpoint(folder, selected), temporary),
          );
    if (selected !== undefined && selected !== epoch) {
      const earlier = epochCheckpoint(folder, selected);
      const recorded = metadata?.checkpoints?.[basename(earlier)];
      if (recorded !== undefined && recorded !== sha256)
        throw damagedCheckpoint(folder, earlier, sha256, recorded);
    }
    const ownSha256 = keep > 0 ? await make(own, write) : undefined;
    if (written.length === 0 && Object.keys(metadata?.checkpoints ?? {}).length === 0) return;
    const checkpoints = {
      ...lastEpochs(metadata?.checkpoints ?? {}, epoch, keep),
      ...(ownSha256 !== undefined && { [basename(own)]: ownSha256 }),
    };
    const record = async (checkpoint: RunMetadata['checkpoint']): Promise<void> => {
      if (metadata !== undefined) await writeMetadata(folder, { ...metadata, checkpoint, checkpoints });
    };
    const before = metadata?.checkpoint;
    // Recorded before it is written, together with the one it replaces: a killed process may leave either.
    await record(sha256 === undefined ? before : { sha256, replaces: before?.sha256 ?? null });
    for (const { path, temporary } of written) await moveIntoPlace(temporary, path);
    if (sha256 !== undefined) await record({ sha256 });
  } finally {
    await Promise.all(written.map(({ temporary }) => rm(temporary, { force: true })));
  }
}

/** The kept epochs before `epoch`, which is about to be saved. */
function lastEpochs(
  checkpoints: Readonly<Record<string, string>>,
  epoch: number,
  keep: number,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(checkpoints).filter(([name]) => {
      const number = epochOf(name) ?? 0;
      return number > epoch - keep && number < epoch;
    }),
  );
}

/** A checkpoint verified against its run.json. */
export interface VerifiedCheckpoint {
  readonly sha256: string;
  /** A warning for the user; undefined if the checkpoint is the one that run.json names. */
  readonly warning: string | undefined;
}

/**
 * Verifies the checkpoint of a run against the SHA-256 in its run.json.
 * @throws InputError if it differs: the file is damaged or was replaced
 */
export async function verifyCheckpoint(
  folder: RunFolder,
  metadata: RunMetadata,
): Promise<VerifiedCheckpoint> {
  const { checkpoint, checkpoints = {} } = metadata;
  const sha256 = await sha256OfFile(folder.checkpoint).catch((error: unknown) => {
    throw new InputError(`checkpoint ${folder.checkpoint} cannot be read: ${errorMessage(error)}`);
  });
  if (checkpoint === undefined) {
    const warning = `${folder.metadata} was written by an emoq version that recorded no SHA-256 of the checkpoint, so whether ${folder.checkpoint} is intact cannot be verified`;
    return { sha256, warning };
  }
  if (sha256 === checkpoint?.sha256 || sha256 === checkpoint?.replaces) return { sha256, warning: undefined };
  const epoch = Object.keys(checkpoints).find((name) => checkpoints[name] === sha256);
  if (epoch !== undefined) {
    const warning = `${folder.checkpoint} is a copy of ${join(basename(folder.checkpoints), epoch)}, not of the selected epoch`;
    return { sha256, warning };
  }
  // If the run is still training, the checkpoint may have been replaced since run.json was read.
  const now = await readMetadata(folder);
  if (now?.checkpoint && now.checkpoint.sha256 !== checkpoint?.sha256) return verifyCheckpoint(folder, now);
  await readSafetensorsHeader(folder.checkpoint); // a truncated file reports that itself
  throw damagedCheckpoint(folder, folder.checkpoint, sha256, checkpoint?.sha256);
}

function damagedCheckpoint(
  { metadata, dir }: RunFolder,
  path: string,
  sha256: string | undefined,
  recorded: string | undefined,
): InputError {
  return new InputError(
    `checkpoint ${path} is damaged or was replaced: its SHA-256 is ${short(sha256)}, in ${metadata} it is ${short(recorded)}; restore a good copy, or delete ${dir} and train again`,
  );
}

/** Enough of a checksum to compare by eye. */
function short(sha256: string | undefined): string {
  return sha256 === undefined ? 'none' : `${sha256.slice(0, 12)}...`;
}

/**
 * Verifies the checkpoint and the saved state that an unfinished run resumes from.
 * @returns a warning, as in {@link VerifiedCheckpoint}
 * @throws InputError if one is damaged, replaced or missing
 */
export async function verifyUnfinished(
  folder: RunFolder,
  metadata: RunMetadata,
): Promise<string | undefined> {
  await verifyState(folder.state);
  if (await pathExists(folder.checkpoint)) return (await verifyCheckpoint(folder, metadata)).warning;
  if (metadata.checkpoint && metadata.checkpoint.replaces !== null) {
    throw new InputError(
      `checkpoint ${folder.checkpoint} of the best epoch so far is missing; restore it, or delete ${folder.dir} to start over`,
    );
  }
  return undefined;
}

/** Makes run.json name only the checkpoint on disk, before a run resumes; see {@link keepParameters}. */
export async function settleCheckpoint(folder: RunFolder): Promise<void> {
  const metadata = (await readMetadata(folder))!;
  if (metadata.checkpoint !== undefined && metadata.checkpoint?.replaces === undefined) return;
  const checkpoint = (await pathExists(folder.checkpoint))
    ? { sha256: await sha256OfFile(folder.checkpoint) }
    : null;
  await writeMetadata(folder, { ...metadata, checkpoint });
}

/** Path of an epoch's checkpoint, such as `checkpoints/epoch-003.safetensors`. */
export function epochCheckpoint({ checkpoints }: RunFolder, epoch: number): string {
  return join(checkpoints, `epoch-${String(epoch).padStart(3, '0')}.safetensors`);
}

/** The epoch number in a checkpoint's file name. */
export function epochOf(name: string): number | undefined {
  const digits = /^epoch-(\d+)\.safetensors$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** Deletes all but the last `keep` epochs up to `epoch`, and anything a killed run wrote after its last saved state. */
export async function pruneCheckpoints(folder: RunFolder, epoch: number, keep: number): Promise<void> {
  const names = await readdir(folder.checkpoints).catch(() => []);
  const obsolete = names.filter((name) => {
    const number = epochOf(name);
    return number !== undefined && (number <= epoch - keep || number > epoch);
  });
  await Promise.all(obsolete.map((name) => rm(join(folder.checkpoints, name), { force: true })));
}
