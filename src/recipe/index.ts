/** @file Recipes: YAML, overrides and schema to one checked object. */

export { type AblationRow, ablationOutlines, loadAblation } from './ablations.js';
export { type ChangedKey, changedKeys, dumpRecipe, parseDumped, recipeDifferences } from './dump.js';
export { corpusViewOf, loadRecipe } from './recipe.js';
export { nameOfManifest, shippedRecipeNames } from './source.js';
