/** @file What a prepared corpus holds, as it is or as a recipe sees it, and what leaks into its held-out parts. */

import { spellingWarnings } from './label-spellings.js';
import { findLeakage, type LeakageReport } from './leakage.js';
import { type Manifest, readManifest, type Utterance } from './manifest.js';
import type { LabelCounts } from './manifest-info.js';
import { dialogueOf, type SeenInTraining, seenInTraining } from './seen-in-training.js';
import { type Division, divisionOf } from './statistics.js';
import { type CorpusView, selectUtterances } from './view.js';

/** How a recipe sees a corpus. */
export interface RecipeView {
  readonly name: string;
  readonly view: CorpusView & { readonly labels: readonly string[] };
  /** Whether its parts are sessions, rather than whatever the manifest has. */
  readonly bySession: boolean;
}

export interface CorpusReport {
  readonly name: string;
  readonly manifest: Manifest;
  /** Of the recipe; undefined is all that occur. */
  readonly labels: readonly string[] | undefined;
  readonly utterances: readonly Utterance[];
  readonly division: Division | undefined;
  /** Utterances that the recipe leaves out by their label, and how many by their id. */
  readonly leftOut: LabelCounts;
  readonly unmatched: number;
  readonly leakage: LeakageReport;
  readonly seen: readonly SeenInTraining[];
  /** Of the recipe's view of it, and of labels that look or mean the same. */
  readonly warnings: readonly string[];
}

/**
 * Counts and compares the parts of a corpus.
 * @param recipe of which the utterances and classes count; undefined for all
 * @throws InputError where the manifest is missing or damaged, or the recipe does not fit it
 */
export async function corpusReport(path: string, recipe: RecipeView | undefined): Promise<CorpusReport> {
  const manifest = await readManifest(path);
  const selected = recipe && selectUtterances(manifest, recipe.view);
  const utterances = selected?.utterances ?? manifest.utterances;
  const division = recipe?.bySession ? 'session' : divisionOf(utterances);
  const leakage = await findLeakage(utterances, division);
  const { episodes } = manifest.info;
  const seen = seenInTraining(utterances, division, {
    speakers: ({ speaker }) => speaker,
    sessions: ({ session }) => session,
    episodes: ({ id }) => episodes?.[dialogueOf(id) ?? ''] ?? '',
    dialogues: ({ id }) => dialogueOf(id) ?? '',
  });
  const remedy = 'prepare the corpus with --normalize-labels, or map them with label_map';
  return {
    name: recipe?.name ?? manifest.name,
    manifest,
    labels: recipe?.view.labels,
    utterances,
    division,
    leftOut: selected?.dropped ?? {},
    unmatched: selected?.unmatched ?? 0,
    leakage,
    seen,
    warnings: [...(selected?.warnings ?? []), ...spellingWarnings(utterances, remedy)],
  };
}
