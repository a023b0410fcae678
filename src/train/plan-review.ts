/** @file What training would refuse of a recipe, beside what cannot be sized: told by a dry run, and before stage 1. */

import { InputError } from '../base/index.js';
import type { Recipe } from '../recipe/index.js';
import { type ExperimentCorpus, loadCorpus } from './corpus.js';
import { readFacts, stageFolder } from './run/index.js';
import { selectionRule } from './run-stage.js';
import { startsFromStage1 } from './stage-order.js';
import { checkStage1Recipe } from './stage1-recipe.js';
import { reviewStage2 } from './stage2-review.js';

/**
 * Looks a stage's plan over, and that of stage 2 behind stage 1, as far as corpus, language model and stage-1 run are here.
 * @param root folder of the experiment
 * @returns what is to know of the stage-1 run
 * @throws InputError for what training would refuse
 */
export async function reviewPlan(
  recipe: Recipe,
  stage: 1 | 2,
  fold: number | undefined,
  root: string,
): Promise<string | undefined> {
  const corpus = await corpusAtHand(recipe, fold);
  for (const number of stage === 1 ? ([1, 2] as const) : ([2] as const)) {
    // Without a corpus it is not known whether there will be a validation set.
    selectionRule({ recipe, stage: { number }, corpus: corpus ?? { dev: { length: 1 } } });
  }
  await reviewStage2(recipe, corpus);
  if (stage === 1 || !startsFromStage1(recipe)) return undefined;
  const stage1 = stageFolder(root, 1, fold);
  if ((await readFacts(stage1))?.status !== 'finished') return undefined;
  return checkStage1Recipe(recipe, stage1, corpus?.manifest.sha256);
}

async function corpusAtHand(recipe: Recipe, fold: number | undefined): Promise<ExperimentCorpus | undefined> {
  try {
    return await loadCorpus(recipe, fold, []);
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}
