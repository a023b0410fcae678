/** @file Finds the recipe of a dataset name: shipped with emoq, in the working directory, or made from a corpus. */

import { readdir } from 'node:fs/promises';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { didYouMean, InputError, pathExists } from '../base/index.js';

/** Where a recipe starts: from a YAML file, or from a prepared corpus alone. */
export type RecipeOrigin =
  | { readonly kind: 'file'; readonly file: string }
  | { readonly kind: 'manifest'; readonly name: string; readonly manifest: string };

/** Folder of the recipes that come with emoq, and of those among them that change one thing of another. */
export const shippedRecipes = fileURLToPath(new URL('../../recipes/', import.meta.url));
export const shippedAblations = join(shippedRecipes, 'ablations');

/** Where the preparation commands put a corpus by default. */
export function defaultManifest(name: string): string {
  return `data/${name}/manifest.csv`;
}

/**
 * Looks a dataset name up: the recipe NAME.yaml (or ablations/NAME.yaml) that comes with emoq, then ./NAME.yaml, then
 * the prepared corpus data/NAME/manifest.csv, for which a recipe of defaults will do.
 * @throws InputError when there is none, with the names that there are.
 */
export async function findDataset(name: string): Promise<RecipeOrigin> {
  if (isFileName(name)) {
    throw new InputError(`--dataset ${name}: is a file name; give it with --recipe ${name}`);
  }
  const file = await findRecipeFile(name, '.');
  if (file !== undefined) return { kind: 'file', file };
  const manifest = defaultManifest(name);
  if (await pathExists(manifest)) return { kind: 'manifest', name, manifest };
  const known = await shippedRecipeNames();
  throw new InputError(
    `--dataset ${name}: there is no recipe of this name (${known.join(', ')} come with emoq), no ${name}.yaml here ` +
      `and no ${manifest}${didYouMean(name, [...known, ...(await namesIn(shippedAblations))])}`,
  );
}

/**
 * The recipe that another builds on, by its name (as `findDataset` knows it, or beside the other) or by its file; what
 * is wrong where there is none.
 * @param from the file of the other one, from whose folder file names start
 */
export async function findBaseFile(base: string, from: string): Promise<string | { problem: string }> {
  if (isFileName(base)) {
    const file = resolve(dirname(from), base);
    return (await pathExists(file)) ? file : { problem: `there is no file ${base} beside this one` };
  }
  const file = await findRecipeFile(base, dirname(from));
  const hint = didYouMean(base, await namesIn(shippedRecipes));
  return file ?? { problem: `there is no recipe ${base} beside this one or among those of emoq${hint}` };
}

/** The file of a recipe by name: among those that come with emoq, then in `folder`. */
async function findRecipeFile(name: string, folder: string): Promise<string | undefined> {
  for (const place of [shippedRecipes, shippedAblations, folder]) {
    const file = join(place, `${name}.yaml`);
    if (await pathExists(file)) return file;
  }
  return undefined;
}

/** Names of the recipes that come with emoq. */
export function shippedRecipeNames(): Promise<string[]> {
  return namesIn(shippedRecipes);
}

async function namesIn(folder: string): Promise<string[]> {
  const files = await readdir(folder);
  return files.filter((file) => file.endsWith('.yaml')).map(recipeNameOf);
}

function isFileName(text: string): boolean {
  return /[/\\]|\.ya?ml$/.test(text);
}

/** What a recipe is called that does not say so: as its file is. */
export function recipeNameOf(file: string): string {
  return basename(file, extname(file));
}

/** The name of a corpus without a recipe: the folder that its manifest is in. */
export function nameOfManifest(manifest: string): string {
  return basename(dirname(resolve(manifest))).replace(/[^\w.-]+/g, '-') || 'corpus';
}
