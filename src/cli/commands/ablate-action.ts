/** @file `emoq ablate` at work: trains what is not trained, scores what is not scored, prints the tables. */

import { join } from 'node:path';
import { InputError, pathExists, writeJsonAtomic } from '../../base/index.js';
import {
  type AblationScores,
  ablationFigure,
  ablationMetrics,
  ablationTables,
  compareSeeds,
  comparisonResult,
  type EvaluationResult,
  pairSeeds,
  type SeedTable,
} from '../../evaluation/index.js';
import { type NamedRun, seedFolder } from '../../experiments/index.js';
import { finalPhaseIn } from '../../inference/index.js';
import { type AblationRow, loadAblation } from '../../recipe/index.js';
import { systemOf } from '../../systems/index.js';
import { checkFolds, countFolds } from '../../training/index.js';

import { note, printJson } from '../terminal-output.js';
import type { AblateOptions } from './eval-options.js';
import { resamplingOf } from './eval-options.js';
import { type RunScores, scoreRuns, scoresBefore, seedResults, seedScores } from './eval-run.js';
import { selectSeeds } from './run-selection.js';
import { isScored } from './scored-before.js';
import { printTables } from './scores.js';
import { foldsOf, refuseSeedTwice, trainAndShow } from './training.js';

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
  const phases = systemOf(recipe).phases(recipe);
  for (const seed of seeds ?? [undefined]) {
    const own = {
      recipe: seed === undefined ? recipe : { ...recipe, seed },
      root: seed === undefined ? root : seedFolder(root, seed),
      title: seed === undefined ? label : `${label}, seed ${seed}`,
    };
    for (const phase of phases) {
      const runs = foldsOf({ folds }).map((fold) => ({ ...own, phase, fold }));
      await trainAndShow(runs as [NamedRun, ...NamedRun[]], compute);
    }
  }
  const choice = { stage: phases.at(-1)!, ...(folds !== undefined && { folds }), ...(seeds && { seeds }) };
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
  const path = seedResults(root, await finalPhaseIn(root));
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
  const printed = { wa: fraction(paper.wa), ua: fraction(paper.ua), wf1: fraction(paper.wf1) };
  const ofMetrics = <T>(of: (metric: (typeof ablationMetrics)[number]) => T) =>
    Object.fromEntries(ablationMetrics.map((metric) => [metric, of(metric)]));
  return {
    row: label,
    run,
    ...ofMetrics((metric) => ablationFigure(row, metric)),
    n: result.n,
    ...(result.seeds !== undefined && {
      seeds: result.seeds.map(({ seed }) => seed),
      sd: ofMetrics((metric) => result.sd?.[metric] ?? null),
    }),
    intervals: result.intervals && ofMetrics((metric) => result.intervals![metric]),
    difference: fromFull && ofMetrics((metric) => fromFull.differences[metric]),
    paper: printed,
  };
}

/** A percentage of the paper as a fraction, like everything in JSON. */
function fraction(percentage: number | null): number | null {
  return percentage === null ? null : Number((percentage / 100).toFixed(4));
}
