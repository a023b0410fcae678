/** @file Door of the recipe room: load, check and dump the description of an experiment. */

export {
  type Ablation,
  type AblationOutline,
  type AblationRow,
  type AblationTable,
  ablationOutlines,
  loadAblation,
} from './ablations.js';
export { defaultManifest, nameOfManifest, shippedRecipeNames } from './datasets.js';
export { defaultModelSettings, type ModelSettings } from './default-settings.js';
export { type ChangedKey, changedKeys, recipeDifferences } from './differences.js';
export { dumpRecipe, notInPaperMark, parseDumped } from './dump.js';
export { type LoadRecipeOptions, loadRecipe } from './recipe.js';
export { type Origin, type Recipe, type RecipeKey, recipeKeys } from './schema.js';
export { didYouMean } from './suggestion.js';
export { corpusViewOf } from './view.js';
