/** @file Implements `emoq ablate`: trains and scores what is missing, and prints the tables. */

import { join } from 'node:path';
import { InputError } from '../../base/index.js';
import { type AblationScores, ablationTables } from '../../evaluation/index.js';
import { ofPaperMetrics } from '../../evaluation/metrics/index.js';
import {
  ablationScores,
  type ExperimentContext,
  type NamedRun,
  plannedRuns,
  type ScoredRow,
  scoreRow,
} from '../../experiments/index.js';
import { type AblationRow, loadAblation } from '../../recipe/index.js';
import { systemOf } from '../../systems/index.js';
import { checkFolds, countFolds } from '../../training/index.js';
import { note, printJson } from '../terminal-output.js';
import { printTables, scoreObject } from './eval-action.js';
import type { AblateOptions } from './eval-options.js';
import { experimentContext } from './experiment-options.js';
import { checkJobs, foldsOf, refuseSeedTwice, trainAndShow } from './training.js';

export async function run(options: AblateOptions): Promise<void> {
  const { dataset, manifest, recipe: path, set, folds, seeds } = options;
  refuseSeedTwice(options);
  checkJobs(options);
  const { table, title, ...ablation } = await loadAblation(options.table, {
    dataset,
    manifest,
    path,
    overrides: set ?? [],
  });
  const full = ablation.rows.find(({ recipe }) => recipe.name === ablation.dataset)!;
  if (folds !== undefined) await checkFolds(full.recipe, folds, 'train all');
  else if (full.recipe.folds !== 'none') {
    throw new InputError(
      `recipe ${full.recipe.name} is cross-validated: say --folds ${await countFolds(full.recipe)}`,
    );
  }
  const { device, devices, precision, threads } = options;
  const context = await experimentContext({
    device,
    ...(devices !== undefined && { devices }),
    ...(precision !== undefined && { precision }),
    ...(threads !== undefined && { threads }),
  });
  const scored: ScoredRow[] = [];
  for (const [index, row] of ablation.rows.entries()) {
    note(`row ${index + 1} of ${ablation.rows.length}: ${row.label}`);
    scored.push(await trainedRow(row, options, context));
  }
  const rows = ablationScores(scored, scored[ablation.rows.indexOf(full)]!, context.resampling);
  if (options.json) {
    return printJson({ table, dataset: ablation.dataset, rows: rows.map(jsonRow) });
  }
  const pooled = folds === undefined ? '' : `, pooled over ${folds} folds`;
  const mean = seeds === undefined || seeds.length < 2 ? '' : `, mean ± sd of ${seeds.length} seeds`;
  const heading = `Table ${table}: ${title} (${ablation.dataset}${pooled}${mean}; the paper's is on meld7)`;
  printTables(ablationTables(heading, full.label, rows), 'text');
}

/** Trains and scores a row unless that is already done. */
async function trainedRow(
  row: AblationRow,
  options: AblateOptions,
  context: ExperimentContext,
): Promise<ScoredRow> {
  const { label, recipe } = row;
  const { folds, seeds, run: dir } = options;
  const root = join(dir ?? 'runs', recipe.name);
  const variants = (seeds ?? [undefined]).map((seed) => ({
    recipe: seed === undefined ? recipe : { ...recipe, seed },
    seed,
  }));
  for (const phase of systemOf(recipe).phases(recipe)) {
    const runs = plannedRuns({ phase, variants, folds: foldsOf({ folds }), root }).map(
      ({ title, ...run }): NamedRun => ({
        ...run,
        title: title === undefined ? label : `${label}, ${title}`,
      }),
    );
    await trainAndShow(runs as [NamedRun, ...NamedRun[]], options);
  }
  return scoreRow(row, root, { ...(folds !== undefined && { folds }), ...(seeds && { seeds }) }, context);
}

function jsonRow(row: AblationScores & { readonly run: string }) {
  return { row: row.label, ...scoreObject(row), paper: ofPaperMetrics((key) => fraction(row.paper[key])) };
}

/** Converts the paper's percentages to fractions, used throughout JSON. */
export function fraction(percentage: number | null): number | null {
  return percentage === null ? null : Number((percentage / 100).toFixed(4));
}
