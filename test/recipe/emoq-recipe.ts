/** @file Loads recipes of EmoQ, typed with their own keys. */

import { type LoadRecipeOptions, loadRecipe } from '../../src/recipe/recipe.js';
import { type EmoqRecipe, requireEmoq } from '../../src/systems/emoq/settings.js';

/** As `loadRecipe`. @throws InputError also if the recipe belongs to another system */
export async function loadEmoq(options: LoadRecipeOptions): Promise<EmoqRecipe> {
  return requireEmoq(await loadRecipe(options), 'the recipe');
}
