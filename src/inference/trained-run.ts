/** @file What a trained run left behind: its facts, its recipe and its trained weights. */

import { InputError, pathExists } from '../base/index.js';
import { type Checkpoint, openWeightsFile } from '../checkpoints/index.js';
import type { Recipe } from '../recipe/index.js';
import { type RunFacts, type RunFolder, readFacts, runRecipe, verifyCheckpoint } from '../train/run/index.js';

export interface TrainedRun {
  readonly folder: RunFolder;
  readonly facts: RunFacts;
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
  const facts = await readFacts(folder);
  if (facts === undefined) throw new InputError(`${folder.dir} holds no run (no run.json)`);
  if (!(await pathExists(folder.checkpoint))) {
    throw new InputError(
      `the run in ${folder.dir} has no checkpoint yet; run stage${facts.stage} to its end`,
    );
  }
  const recipe = await runRecipe(folder);
  const { sha256, warning } = await verifyCheckpoint(folder, facts);
  if (warning !== undefined) onWarning?.(warning);
  const trained = await openWeightsFile(folder.checkpoint);
  return { folder, facts, recipe, trained, checkpointSha256: sha256 };
}

/** A warning where the weights are those of a run under way; undefined where it is finished. */
export function unfinishedWarning({ dir }: RunFolder, { status }: RunFacts): string | undefined {
  return status === 'finished'
    ? undefined
    : `the run in ${dir} is not finished; this is its best epoch so far`;
}
