/** @file The utterances of an experiment: a recipe's view of a manifest, divided into train, dev and test. */

import { InputError } from '../base/index.js';
import {
  checkAudioFiles,
  type LabelCounts,
  type Manifest,
  type Partition,
  partitionUtterances,
  readManifest,
  selectUtterances,
  sessionsOf,
  type Utterance,
} from '../data/corpora/index.js';
import type { Recipe } from '../recipe/index.js';

export interface ExperimentCorpus extends Partition {
  readonly manifest: Manifest;
  /** Utterances whose label is outside the recipe's set, by label. */
  readonly dropped: LabelCounts;
}

/**
 * Reads the recipe's manifest and divides it.
 * @param fold which session to hold out, from 1, where the recipe has folds
 * @throws InputError for anything wrong with the manifest, missing audio, or a fold that the recipe does not have
 */
export async function loadCorpus(recipe: Recipe, fold: number | undefined): Promise<ExperimentCorpus> {
  const manifest = await readManifest(recipe.manifest);
  const { utterances, dropped } = selectUtterances(manifest, {
    labels: recipe.labels,
    labelMap: recipe.label_map,
  });
  checkFold(recipe, utterances, fold);
  const partition = partitionUtterances(utterances, {
    fold,
    validation:
      recipe.validation === 'share'
        ? 'stratified'
        : recipe.validation === 'split'
          ? 'none'
          : recipe.validation,
    validationShare: recipe.validation_share,
    seed: recipe.seed,
  });
  await checkAudioFiles(manifest, utterances);
  return { ...partition, manifest, dropped };
}

function checkFold(recipe: Recipe, utterances: readonly Utterance[], fold: number | undefined): void {
  if (recipe.folds === 'none' && fold !== undefined) {
    throw new InputError(`recipe ${recipe.name} has no folds; leave out --fold, or --set folds=session`);
  }
  if (recipe.folds === 'session' && fold === undefined) {
    const count = sessionsOf(utterances).length;
    throw new InputError(
      `recipe ${recipe.name} is cross-validated: say --fold N (1 to ${count}) or --folds ${count}`,
    );
  }
}

/** Utterances of each label, in label order. */
export function labelCounts(utterances: readonly Utterance[], labels: readonly string[]): number[] {
  return labels.map((label) => utterances.filter((utterance) => utterance.label === label).length);
}
