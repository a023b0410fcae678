/** @file What a trained run left behind: its metadata, its recipe and its trained weights. */

import { InputError, pathExists } from '../base/index.js';
import { type Checkpoint, openWeightsFile } from '../checkpoints/index.js';
import type { Recipe } from '../systems/index.js';
import {
  type RunFolder,
  type RunMetadata,
  readMetadata,
  runRecipe,
  verifyCheckpoint,
} from '../training/runs/index.js';

export interface TrainedRun {
  readonly folder: RunFolder;
  readonly metadata: RunMetadata;
  readonly recipe: Recipe;
  /** The trained weights by their own keys: `former.*`, `head.*` or `projector.*`, and LoRA's. */
  readonly trained: Checkpoint;
  /** Of the checkpoint's file. */
  readonly checkpointSha256: string;
}

/**
 * Opens a run's files.
 * @throws InputError when it is no run, has no checkpoint yet, or one that is damaged
 */
export async function openTrainedRun(
  folder: RunFolder,
  onWarning?: (text: string) => void,
): Promise<TrainedRun> {
  const metadata = await readMetadata(folder);
  if (metadata === undefined) throw new InputError(`${folder.dir} holds no run (no run.json)`);
  if (!(await pathExists(folder.checkpoint))) {
    throw new InputError(`the run in ${folder.dir} has no checkpoint yet; run ${metadata.phase} to its end`);
  }
  const recipe = await runRecipe(folder);
  const { sha256, warning } = await verifyCheckpoint(folder, metadata);
  if (warning !== undefined) onWarning?.(warning);
  const trained = await openWeightsFile(folder.checkpoint);
  return { folder, metadata, recipe, trained, checkpointSha256: sha256 };
}
