/** @file Loads recipes: YAML, overrides and schema combined into one validated object. */

export { type AblationRow, ablationOutlines, loadAblation } from './ablations.js';
export {
  type ChangedKey,
  changedKeys,
  dumpRecipe,
  parseDumped,
  recipeDifferences,
  valueText,
} from './dump.js';
export { corpusViewOf, foldingOf, loadRecipe } from './recipe.js';
export { recipeKeys } from './schema.js';
export { nameOfManifest, shippedRecipeNames } from './source.js';
