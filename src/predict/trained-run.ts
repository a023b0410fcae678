/** @file What a trained run left behind: its facts, its recipe and its trained weights. */

import { InputError, pathExists } from '../base/index.js';
import { type Checkpoint, openWeightsFile } from '../models/index.js';
import { loadRecipe, type Recipe } from '../recipe/index.js';
import { type RunFacts, type RunFolder, readFacts } from '../train/index.js';

export interface TrainedRun {
  readonly folder: RunFolder;
  readonly facts: RunFacts;
  readonly recipe: Recipe;
  /** The trained weights by their own keys: `former.*`, `head.*` or `projector.*`, and LoRA's. */
  readonly trained: Checkpoint;
}

/** Opens a run's files. @throws InputError when it is no run, or has no checkpoint yet */
export async function openTrainedRun(folder: RunFolder): Promise<TrainedRun> {
  const facts = await readFacts(folder);
  if (facts === undefined) throw new InputError(`${folder.dir} holds no run (no run.json)`);
  if (!(await pathExists(folder.checkpoint))) {
    throw new InputError(
      `the run in ${folder.dir} has no checkpoint yet; run stage${facts.stage} to its end`,
    );
  }
  const recipe = await loadRecipe({ path: folder.recipe });
  return { folder, facts, recipe, trained: await openWeightsFile(folder.checkpoint) };
}
