/** @file Which stages a recipe has, and which of them another needs: the one place that decides it. */

import type { Recipe } from '../recipe/index.js';
import { hasFormer } from '../systems/index.js';

/** What decides about the stages; a {@link Recipe} is one. */
export type StageKeys = Pick<Recipe, 'inputs' | 'fusion'> & {
  readonly stage2: Pick<Recipe['stage2'], 'from_stage1'>;
};

/** Whether there is a stage 1 to train and to score: it trains the Former, of text alone too. */
export function hasStage1({ fusion }: Pick<Recipe, 'fusion'>): boolean {
  return fusion === 'former';
}

/** Whether stage 2 starts from the Former of stage 1: where it has one, and the recipe wants it so. */
export function startsFromStage1(recipe: StageKeys): boolean {
  return hasFormer(recipe) && recipe.stage2.from_stage1;
}

/** The stages that lead to a recipe's final model, in their order. */
export function stagesOf(recipe: StageKeys): readonly (1 | 2)[] {
  return startsFromStage1(recipe) ? [1, 2] : [2];
}
