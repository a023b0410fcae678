/** @file A resolved recipe as YAML text: every key, in schema order, marked where the paper does not give it. */

import { Document, isCollection, isMap, isNode, type YAMLMap } from 'yaml';
import { type Recipe, recipeKeys } from './schema.js';

/** How recipes mark a key that is our own choice. */
export const notInPaperMark = 'not in the paper';

/** YAML text that `loadRecipe` reads back to the same recipe. The same recipe gives the same bytes. */
export function dumpRecipe(recipe: Recipe): string {
  const origins = new Map<string, string>(recipeKeys().map(({ path, origin }) => [path, origin]));
  const document = new Document(recipe);
  const visit = (section: YAMLMap, prefix: string): void => {
    for (const { key, value } of section.items) {
      const path = prefix + String(key);
      const origin = origins.get(path);
      if (origin === undefined) {
        if (isMap(value)) visit(value, `${path}.`);
        continue;
      }
      if (isCollection(value)) value.flow = true;
      if (origin === notInPaperMark && isNode(value)) value.comment = ` ${notInPaperMark}`;
    }
  };
  if (isMap(document.contents)) visit(document.contents as YAMLMap, '');
  return document.toString({ lineWidth: 0, flowCollectionPadding: false });
}
