/** @file The data of a report on a search, from the files in its folder. */

import { join } from 'node:path';
import { InputError } from '../../base/index.js';
import { readManifest } from '../../data/corpora/index.js';
import type { SearchReport } from '../../report/index.js';
import { titleOf } from '../../systems/index.js';
import { phaseFolder, readMetadata } from '../../training/runs/index.js';
import { readSearch, type SavedSearch, searchFiles } from '../search/index.js';
import { modelAbout, validationText } from './about.js';

/**
 * Everything a report shows of a search. Nothing is trained or scored, and the test set is not read.
 * @throws InputError, one line, if a file of the search is missing or damaged
 */
export async function gatherSearch(root: string): Promise<SearchReport> {
  const search = await readSearch(root);
  const { recipe, recipeText, phase, space } = search;
  return {
    bestRecipe: searchFiles(root).best,
    name: recipe.name,
    about: {
      ...modelAbout(recipe, phase),
      corpus: await corpusName(recipe.manifest),
      utterances: await utterancesOf(root, search),
      validation: validationText(recipe),
    },
    phase: { name: phase, title: titleOf(phase) },
    fold: search.fold,
    figure: search.figure,
    ...{ sampler: search.sampler, seed: search.seed, stopping: search.stopping, lag: search.lag },
    trainingSeed: recipe.seed,
    keys: [...space].map(([key, range]) => ({ key, range, own: recipeValue(recipe, key) })),
    trials: search.trials,
    best: search.best,
    unfinished: search.unfinished,
    planned: search.planned,
    recipe: recipeText,
  };
}

/** The value of a key with dots. */
function recipeValue(recipe: object, key: string): unknown {
  return key
    .split('.')
    .reduce<unknown>(
      (section, name) => (section as Readonly<Record<string, unknown>> | null)?.[name],
      recipe,
    );
}

/** Null if the manifest cannot be read now. */
async function corpusName(manifest: string): Promise<string | null> {
  try {
    return (await readManifest(manifest)).name;
  } catch (error) {
    if (error instanceof InputError) return null;
    throw error;
  }
}

/** How many there are, from the first trial that has a run; all have as many. */
async function utterancesOf(
  root: string,
  { trials, unfinished, phase, fold }: SavedSearch,
): Promise<SearchReport['about']['utterances']> {
  for (const number of [...trials.map((trial) => trial.number), ...unfinished]) {
    const folder = phaseFolder(join(root, `trial-${number}`), phase, fold ?? undefined);
    const metadata = await readMetadata(folder);
    if (metadata !== undefined) return { train: metadata.utterances.train, dev: metadata.utterances.dev };
  }
  return null;
}
