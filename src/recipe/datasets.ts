/** @file Finds the recipe of a dataset name: shipped with emoq, in the working directory, or made from a corpus. */

import { readdir } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { InputError, pathExists } from '../base/index.js';
import { didYouMean } from './suggestion.js';

/** Where a recipe starts: from a YAML file, or from a prepared corpus alone. */
export type RecipeOrigin = { readonly file: string } | { readonly name: string; readonly manifest: string };

/** Folder of the recipes that come with emoq. */
export const shippedRecipes = fileURLToPath(new URL('../../recipes/', import.meta.url));

/** Where the preparation commands put a corpus by default. */
export function defaultManifest(name: string): string {
  return `data/${name}/manifest.csv`;
}

/**
 * Looks a dataset name up: the recipe NAME.yaml that comes with emoq, then ./NAME.yaml, then the prepared corpus
 * data/NAME/manifest.csv, for which a recipe of defaults will do.
 * @throws InputError when there is none, with the names that there are.
 */
export async function findDataset(name: string): Promise<RecipeOrigin> {
  if (/[/\\]|\.ya?ml$/.test(name)) {
    throw new InputError(`--dataset ${name}: is a file name; give it with --recipe ${name}`);
  }
  for (const file of [join(shippedRecipes, `${name}.yaml`), `${name}.yaml`]) {
    if (await pathExists(file)) return { file };
  }
  const manifest = defaultManifest(name);
  if (await pathExists(manifest)) return { name, manifest };
  const known = (await readdir(shippedRecipes))
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => file.slice(0, -5));
  throw new InputError(
    `--dataset ${name}: there is no recipe of this name (${known.join(', ')} come with emoq), no ${name}.yaml here ` +
      `and no ${manifest}${didYouMean(name, known)}`,
  );
}

/** The name of a corpus without a recipe: the folder that its manifest is in. */
export function nameOfManifest(manifest: string): string {
  return basename(dirname(resolve(manifest))).replace(/[^\w.-]+/g, '-') || 'corpus';
}
