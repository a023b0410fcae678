/** @file What a run has seen: the utterances that it was trained on and validated with. */

import { InputError } from '../base/index.js';
import type { Utterance } from '../data/corpora/index.js';
import { mostFrequent } from '../evaluate/index.js';
import type { Recipe } from '../recipe/index.js';
import {
  labelCounts,
  loadCorpus,
  manifestChange,
  type RunFacts,
  recordedDraw,
  trainedManifest,
} from '../train/index.js';

export interface SeenUtterances {
  readonly train: readonly Utterance[];
  readonly dev: readonly Utterance[];
}

/** What of a run's facts decides which utterances it has seen. */
type SeenFacts = Pick<RunFacts, 'fold' | 'manifest' | 'validation'>;

/**
 * The training and validation utterances of a run.
 * @returns undefined where they are not known any more, because the manifest has changed since or is gone
 */
export async function seenUtterances(recipe: Recipe, facts: SeenFacts): Promise<SeenUtterances | undefined> {
  try {
    const corpus = await loadCorpus(recipe, facts.fold ?? undefined, [], recordedDraw(facts));
    const now = trainedManifest(recipe.manifest, corpus.manifest);
    return manifestChange(facts.manifest, now) === undefined ? corpus : undefined;
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

/** The most frequent class in a run's training set; undefined where that is not known any more. */
export async function trainingMajority(recipe: Recipe, facts: SeenFacts): Promise<string | undefined> {
  const seen = await seenUtterances(recipe, facts);
  return seen && mostFrequent(recipe.labels, labelCounts(seen.train, recipe.labels));
}
