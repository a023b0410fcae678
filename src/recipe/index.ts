/** @file Recipes: YAML, overrides and schema to one checked object. */

export { type AblationRow, ablationOutlines, loadAblation } from './ablations.js';
export { nameOfManifest, shippedRecipeNames } from './datasets.js';
export { type ChangedKey, changedKeys, dumpRecipe, parseDumped, recipeDifferences } from './dump.js';
export { corpusViewOf, defaultModelSettings, loadRecipe, type ModelSettings } from './recipe.js';
export type { Recipe } from './schema.js';
export { didYouMean } from './suggestion.js';
