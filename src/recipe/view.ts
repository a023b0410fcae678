/** @file The part of a corpus that a recipe works on: its classes, its utterances, its transcripts. */

import type { CorpusView } from '../data/corpora/index.js';
import type { Recipe } from './schema.js';

/** The recipe's view of a prepared corpus, for `selectUtterances`. */
export function corpusViewOf(recipe: Recipe): CorpusView {
  return {
    labels: recipe.labels,
    labelMap: recipe.label_map,
    idPattern: recipe.id_pattern ?? undefined,
    stripTags: recipe.strip_tags,
  };
}
