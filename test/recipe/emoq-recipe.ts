/** @file Recipes of EmoQ, loaded with the keys that only they have. */

import { type LoadRecipeOptions, loadRecipe } from '../../src/recipe/recipe.js';
import { type EmoqRecipe, requireEmoq } from '../../src/systems/emoq/settings.js';

/** As `loadRecipe`. @throws InputError too where the recipe is of another system */
export async function loadEmoq(options: LoadRecipeOptions): Promise<EmoqRecipe> {
  return requireEmoq(await loadRecipe(options), 'the recipe');
}
