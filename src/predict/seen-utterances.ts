/** @file What a run has seen: the utterances that it was trained on and validated with. */

import { InputError } from '../base/index.js';
import type { Utterance } from '../data/corpora/index.js';
import { mostFrequent } from '../evaluate/index.js';
import type { Recipe } from '../recipe/index.js';
import { labelCounts, loadCorpus, type RunFacts } from '../train/index.js';

export interface SeenUtterances {
  readonly train: readonly Utterance[];
  readonly dev: readonly Utterance[];
}

/**
 * The training and validation utterances of a run.
 * @returns undefined where they are not known any more, because the manifest has changed since or is gone
 */
export async function seenUtterances(
  recipe: Recipe,
  { fold, manifest }: Pick<RunFacts, 'fold' | 'manifest'>,
): Promise<SeenUtterances | undefined> {
  try {
    const corpus = await loadCorpus(recipe, fold ?? undefined, []);
    return corpus.manifest.sha256 === manifest.sha256 ? corpus : undefined;
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

/** The most frequent class in a run's training set; undefined where that is not known any more. */
export async function trainingMajority(
  recipe: Recipe,
  facts: Pick<RunFacts, 'fold' | 'manifest'>,
): Promise<string | undefined> {
  const seen = await seenUtterances(recipe, facts);
  return seen && mostFrequent(recipe.labels, labelCounts(seen.train, recipe.labels));
}
