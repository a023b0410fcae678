/** @file What the trained rows of an ablation score, and by how much they differ from the full system. */

import { pathExists, writeJsonAtomic } from '../base/index.js';
import {
  type AblationScores,
  compareSeeds,
  comparisonResult,
  type EvaluationResult,
  pairSeeds,
  type Resampling,
  type SeedTable,
} from '../evaluation/index.js';
import { finalPhaseIn, seedFolder } from '../inference/index.js';
import type { AblationRow } from '../recipe/index.js';
import type { ExperimentContext } from './context.js';
import {
  isScored,
  type RunScores,
  type SeedScores,
  scoresBefore,
  seedResults,
  seedScores,
} from './run-scores.js';
import { type RunChoice, selectSeeds } from './run-selection.js';
import { scoreRuns } from './scoring.js';

/** A row that is trained and scored. */
export interface ScoredRow extends Omit<AblationScores, 'fromFull'> {
  /** Its experiment's folder. */
  readonly run: string;
  /** Its predictions, with each seed. */
  readonly tables: readonly SeedTable[];
}

/**
 * Scores a trained row where that is not done already.
 * @param root its experiment's folder
 */
export async function scoreRow(
  { label, paper }: Pick<AblationRow, 'label' | 'paper'>,
  root: string,
  { folds, seeds }: Pick<RunChoice, 'folds' | 'seeds'>,
  context: ExperimentContext,
): Promise<ScoredRow> {
  const choice = {
    stage: await finalPhaseIn(root),
    ...(folds !== undefined && { folds }),
    ...(seeds && { seeds }),
  };
  const parts: (RunScores & { readonly seed: number | null })[] = [];
  let isNew = false;
  for (const each of await selectSeeds(root, choice)) {
    const known = (await isScored(each)) && (await pathExists(each.folder.results));
    isNew ||= !known;
    const scores = known ? await scoresBefore(each, context.resampling) : await scoreRuns(each, context);
    parts.push({ seed: each.seed, ...scores });
  }
  const result =
    seeds === undefined
      ? parts[0]!.result
      : await resultOfSeeds(root, parts as SeedScores[], isNew, context.resampling);
  const tables = parts.map(({ seed, predictions, result: { labels } }) => ({
    seed,
    table: { path: seed === null ? root : seedFolder(root, seed), labels, declared: true, rows: predictions },
  }));
  return { label, run: root, result, paper, tables };
}

/** The rows, each with its difference from the full system, paired over utterances and seeds. @param full one of them */
export function ablationScores(
  rows: readonly ScoredRow[],
  full: ScoredRow,
  resampling: Resampling | null,
): (ScoredRow & AblationScores)[] {
  return rows.map((row) => {
    if (row === full) return { ...row, fromFull: null };
    const comparison = compareSeeds(pairSeeds(full.tables, row.tables), resampling);
    return { ...row, fromFull: comparisonResult(comparison, [full.label, row.label], { versions: {} }) };
  });
}

/** The results of several seeds together, written as scoring an experiment does where they are new. */
async function resultOfSeeds(
  root: string,
  parts: readonly SeedScores[],
  isNew: boolean,
  resampling: Resampling | null,
): Promise<EvaluationResult> {
  const { result } = seedScores(root, parts, resampling);
  const path = seedResults(root, await finalPhaseIn(root));
  if (isNew || !(await pathExists(path))) await writeJsonAtomic(path, result);
  return result;
}
