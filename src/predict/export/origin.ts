/** @file Where an exported model comes from: the folder that a user names, and what the metadata says of it. */

import { basename, join } from 'node:path';
import { InputError, pathExists } from '../../base/index.js';
import { snapshotOf } from '../../models/hub/index.js';
import { type Checkpoint, openCheckpoint } from '../../models/index.js';
import type { TrainedRun } from '../trained-run.js';

/**
 * Opens a Hugging Face checkpoint.
 * @param instead what to do where the folder is a run of emoq
 * @throws InputError when it is one, or is missing or broken
 */
export async function openModelFolder(nameOrPath: string, instead: string): Promise<Checkpoint> {
  for (const facts of ['run.json', 'stage1/run.json', 'stage2/run.json']) {
    if (nameOrPath !== '' && (await pathExists(join(nameOrPath, facts)))) {
      throw new InputError(
        `--checkpoint ${nameOrPath} is a run of emoq, not a Hugging Face folder; ${instead}`,
      );
    }
  }
  return openCheckpoint(nameOrPath);
}

/**
 * What a checkpoint is called wherever it lies: `Qwen/Qwen2.5-7B-Instruct@<revision>` in the Hugging Face cache, else
 * the name of its folder.
 */
export function checkpointName({ dir }: Pick<Checkpoint, 'dir'>): string {
  const cached = snapshotOf(dir);
  return cached ? `${cached.id}@${cached.commit}` : basename(dir);
}

/** The run in a model's metadata. */
export function runMetadata({ facts, checkpointSha256 }: TrainedRun): Record<string, string> {
  return {
    run: facts.name,
    run_stage: String(facts.stage),
    ...(facts.fold !== null && { run_fold: String(facts.fold) }),
    run_checkpoint_sha256: checkpointSha256,
  };
}
