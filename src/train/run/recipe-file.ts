/** @file The recipe that a run was made with, as its folder keeps it: read whole or not at all. */

import { errorMessage, InputError, readTextFile } from '../../base/index.js';
import { loadRecipe, parseDumped, type Recipe } from '../../recipe/index.js';
import type { RunFolder } from './folder.js';

type RecipeFile = Pick<RunFolder, 'recipe'>;

/** The text of recipe.yaml. @throws InputError when it is missing, damaged or cut off */
export async function runRecipeText({ recipe: path }: RecipeFile): Promise<string> {
  const text = await readTextFile(path, 'recipe');
  try {
    parseDumped(text);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new InputError(
      `recipe ${path} ${errorMessage(error)}; put a good copy in its place, or delete the run and train again`,
    );
  }
  return text;
}

/**
 * The recipe of a run. What is cut off at the end of a line is a good recipe with other settings: it is refused.
 * @param overrides as of `--set`
 * @throws InputError as {@link runRecipeText}, or when it is not a recipe of this emoq
 */
export async function runRecipe(folder: RecipeFile, overrides: readonly string[] = []): Promise<Recipe> {
  await runRecipeText(folder);
  return loadRecipe({ path: folder.recipe, overrides });
}
