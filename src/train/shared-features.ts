/** @file Several runs of one corpus, looked at before they begin: their input is checked and encoded once for all. */

import type { Utterance } from '../data/corpora/index.js';
import type { Recipe } from '../recipe/index.js';
import { loadCorpus, TRAINING_PARTS } from './corpus.js';
import { experimentFeatures, openExperiment } from './experiment.js';
import type { ComputeOptions } from './features.js';
import { readFacts, stageFolder } from './run/index.js';
import { reviewStage2 } from './stage2-review.js';

/** One of several runs whose recipes differ in the seed alone. */
export interface PlannedRun {
  readonly recipe: Recipe;
  readonly fold: number | undefined;
  /** Folder of its experiment, where it may have begun already. */
  readonly root?: string;
}

/**
 * Opens the backbones and divides the corpus as each run will. With `compute`, every clip that one of them trains or
 * validates on is in the feature cache afterwards, so that runs side by side do not each encode it.
 * @throws InputError for what any of the runs would refuse of its recipe, corpus or backbones
 */
export async function prepareRuns(
  stage: 1 | 2,
  [first, ...others]: readonly [PlannedRun, ...PlannedRun[]],
  compute?: ComputeOptions,
): Promise<void> {
  const experiment = await openExperiment(first.recipe, stage, first.fold);
  if (stage === 1 && (await isSomeNew([first, ...others]))) {
    await reviewStage2(first.recipe, experiment.corpus);
  }
  const utterances = new Map<string, Utterance>();
  const add = ({ train, dev }: { readonly train: Utterance[]; readonly dev: Utterance[] }): void => {
    for (const utterance of [...train, ...dev]) utterances.set(utterance.id, utterance);
  };
  add(experiment.corpus);
  const heard = experiment.needsAudio ? TRAINING_PARTS : [];
  for (const { recipe, fold } of others) add(await loadCorpus(recipe, fold, heard));
  if (compute === undefined) return;
  compute.onBegin?.();
  await experimentFeatures(experiment, [...utterances.values()], compute);
}

/** Whether one of the stage-1 runs has not begun: what stage 2 refuses stops no run that has. */
async function isSomeNew(runs: readonly PlannedRun[]): Promise<boolean> {
  for (const { root, fold } of runs) {
    if (root === undefined || (await readFacts(stageFolder(root, 1, fold))) === undefined) return true;
  }
  return false;
}
