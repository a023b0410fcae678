/** @file A resolved recipe as YAML text: every key, in schema order, marked where the paper does not give it. */

import { Document, isCollection, isMap, isNode, type YAMLMap } from 'yaml';
import { InputError, plainValueOf } from '../base/index.js';
import { type Recipe, recipeKeys } from './schema.js';
import { recipeDocument } from './yaml-text.js';

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

/** The last key of every dump, of this version and all before it. */
const LAST_KEY = 'paper';

/**
 * The values of a dumped recipe.
 * @throws InputError, one line without the file's name, when it is no recipe, or not all of one
 */
export function parseDumped(text: string): Record<string, unknown> {
  const parsed = plainValueOf(text, () => {
    const document = recipeDocument(text);
    if (document.errors.length > 0) throw document.errors[0];
    return document.toJS();
  });
  if ('problem' in parsed) throw new InputError(`is not valid YAML: ${parsed.problem}`);
  const { value } = parsed;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InputError(text.trim() === '' ? 'is empty' : 'holds no keys with values');
  }
  // A file that was cut at the end of a line still reads well, and keys that it lacks would get their defaults.
  const isBlock = !text.trimStart().startsWith('{');
  if (isBlock && !Object.hasOwn(value, LAST_KEY)) {
    throw new InputError(`is cut off: its last key "${LAST_KEY}" is missing`);
  }
  return value as Record<string, unknown>;
}
