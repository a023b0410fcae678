/** @file `emoq ablate` at work: trains what is not trained, scores what is not scored, prints the tables. */

import { join } from 'node:path';
import { InputError, pathExists, writeJsonAtomic } from '../../base/index.js';
import {
  type AblationScores,
  ablationFigure,
  ablationTables,
  compareSeeds,
  comparisonResult,
  type EvaluationResult,
  ofPaperMetrics,
  pairSeeds,
  type SeedTable,
} from '../../evaluation/index.js';
import { type AblationRow, loadAblation, type Recipe } from '../../recipe/index.js';
import { checkFolds, countFolds, stagesOf } from '../../train/index.js';
import { note, printJson } from '../output.js';
import type { AblateOptions } from './ablate.js';
import { resamplingOf } from './eval-options.js';
import { type RunScores, scoreRuns, scoresBefore, seedResults, seedScores } from './eval-run.js';
import { selectSeeds } from './run-selection.js';
import { isScored } from './scored-before.js';
import { printTables } from './scores.js';
import { trainRecipe } from './stage-run.js';
import { refuseSeedTwice, seedFolder } from './stage-runs.js';

/** A row that is trained and scored. */
interface ScoredRow extends Omit<AblationScores, 'fromFull'> {
  readonly run: string;
  /** Its predictions, with each seed. */
  readonly tables: readonly SeedTable[];
}

export async function run(options: AblateOptions): Promise<void> {
  const { dataset, manifest, recipe: path, set, folds, seeds } = options;
  refuseSeedTwice(options);
  const { table, title, ...ablation } = await loadAblation(options.table, {
    dataset,
    manifest,
    path,
    overrides: set ?? [],
  });
  const full = ablation.rows.find(({ recipe }) => recipe.name === ablation.dataset)!;
  if (folds !== undefined) await checkFolds(full.recipe, folds, 'train all');
  else if (full.recipe.folds === 'session') {
    throw new InputError(
      `recipe ${full.recipe.name} is cross-validated: say --folds ${await countFolds(full.recipe)}`,
    );
  }
  const scored: ScoredRow[] = [];
  for (const [index, row] of ablation.rows.entries()) {
    note(`row ${index + 1} of ${ablation.rows.length}: ${row.label}`);
    scored.push(await scoredRow(row, options));
  }
  const reference = scored[ablation.rows.indexOf(full)]!;
  const rows = scored.map((row) => ({
    ...row,
    fromFull: row === reference ? null : differenceFrom(reference, row),
  }));
  if (options.json) {
    return printJson({ table, dataset: ablation.dataset, rows: rows.map(jsonRow) });
  }
  const pooled = folds === undefined ? '' : `, pooled over ${folds} folds`;
  const mean = seeds === undefined || seeds.length < 2 ? '' : `, mean ± sd of ${seeds.length} seeds`;
  const heading = `Table ${table}: ${title} (${ablation.dataset}${pooled}${mean}; the paper's on meld7)`;
  printTables(ablationTables(heading, full.label, rows), 'text');
}

/** Trains and scores one row where that is not done already. */
async function scoredRow({ label, recipe, paper }: AblationRow, options: AblateOptions): Promise<ScoredRow> {
  const { device, folds, threads, seeds } = options;
  const compute = { device, ...(threads !== undefined && { threads }) };
  const root = join(options.run ?? 'runs', recipe.name);
  for (const seed of seeds ?? [undefined]) {
    const setup = {
      ...compute,
      ...(folds !== undefined && { folds }),
      run: seed === undefined ? root : seedFolder(root, seed),
      title: seed === undefined ? label : `${label}, seed ${seed}`,
    };
    await trainStages(seed === undefined ? recipe : { ...recipe, seed }, setup);
  }
  const choice = { stage: 2 as const, ...(folds !== undefined && { folds }), ...(seeds && { seeds }) };
  const parts: (RunScores & { readonly seed: number | null })[] = [];
  let scoredNow = false;
  for (const each of await selectSeeds(root, choice)) {
    const known = (await isScored(each)) && (await pathExists(each.folder.results));
    scoredNow ||= !known;
    const scores = known ? await scoresBefore(each, {}) : await scoreRuns(each, compute);
    parts.push({ seed: each.seed, ...scores });
  }
  const result =
    seeds === undefined ? parts[0]!.result : await resultOfSeeds(root, parts, { isNew: scoredNow });
  const tables = parts.map(({ seed, predictions, result: { labels } }) => ({
    seed,
    table: { path: seed === null ? root : seedFolder(root, seed), labels, declared: true, rows: predictions },
  }));
  return { label, run: root, result, paper, tables };
}

async function trainStages(
  recipe: Recipe,
  setup: Parameters<typeof trainRecipe>[2] & { readonly run: string },
): Promise<void> {
  for (const stage of stagesOf(recipe)) await trainRecipe(stage, recipe, setup);
}

/** The results of several seeds together, written as `eval --seeds` does where they are new. */
async function resultOfSeeds(
  root: string,
  parts: readonly (RunScores & { readonly seed: number | null })[],
  { isNew }: { readonly isNew: boolean },
): Promise<EvaluationResult> {
  const { result } = seedScores(
    root,
    parts.map((part) => ({ ...part, seed: part.seed! })),
    {},
  );
  const path = seedResults(root, 2);
  if (isNew || !(await pathExists(path))) await writeJsonAtomic(path, result);
  return result;
}

/** A row less the full system, paired over utterances and seeds. */
function differenceFrom(full: ScoredRow, row: ScoredRow): NonNullable<AblationScores['fromFull']> {
  const comparison = compareSeeds(pairSeeds(full.tables, row.tables), resamplingOf({}));
  return comparisonResult(comparison, [full.label, row.label], { versions: {} });
}

function jsonRow(row: AblationScores & { readonly run: string }) {
  const { label, run, result, paper, fromFull } = row;
  return {
    row: label,
    run,
    ...ofPaperMetrics((key) => ablationFigure(row, key)),
    n: result.n,
    ...(result.seeds !== undefined && {
      seeds: result.seeds.map(({ seed }) => seed),
      sd: ofPaperMetrics((key) => result.sd?.[key] ?? null),
    }),
    intervals: result.intervals && ofPaperMetrics((key) => result.intervals![key]),
    difference: fromFull && ofPaperMetrics((key) => fromFull.differences[key]),
    paper: ofPaperMetrics((key) => fraction(paper[key])),
  };
}

/** A percentage of the paper as a fraction, like everything in JSON. */
function fraction(percentage: number | null): number | null {
  return percentage === null ? null : Number((percentage / 100).toFixed(4));
}
