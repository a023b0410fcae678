/** @file What a recipe says of the models alone, at its defaults: for work that has no corpus. */

import { type Recipe, recipeSchema } from './schema.js';

/** The part of a recipe that decides the models. */
export type ModelSettings = Pick<Recipe, 'backbones' | 'inputs' | 'fusion' | 'seed' | 'former'>;

/** The defaults of every recipe. */
export function defaultModelSettings(): ModelSettings {
  return recipeSchema
    .pick({ backbones: true, inputs: true, fusion: true, seed: true, former: true })
    .parse({});
}
