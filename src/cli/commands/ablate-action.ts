/** @file `emoq ablate` at work: trains what is not trained, scores what is not scored, prints the table. */

import { join } from 'node:path';
import { readJson } from '../../base/index.js';
import { type AblationScores, ablationTable, type EvaluationResult } from '../../evaluate/index.js';
import { hasFormer } from '../../models/index.js';
import { type AblationRow, loadAblation, type Recipe } from '../../recipe/index.js';
import { checkFolds, type StageOutcome, stageFolder } from '../../train/index.js';
import { note, outColor, printJson, printResult } from '../output.js';
import type { AblateOptions } from './ablate.js';
import { scoreRuns } from './eval-run.js';
import { isScored } from './scored-before.js';
import { trainRecipe } from './stage-run.js';

export async function run(options: AblateOptions): Promise<void> {
  const { dataset, manifest, recipe: path, set } = options;
  const { table, title, ...ablation } = await loadAblation(options.table, {
    dataset,
    manifest,
    path,
    overrides: set ?? [],
  });
  const full = ablation.rows.find(({ recipe }) => recipe.name === ablation.dataset)!;
  if (options.folds !== undefined) await checkFolds(full.recipe, options.folds);
  const rows: (AblationScores & { readonly run: string })[] = [];
  for (const [index, row] of ablation.rows.entries()) {
    note(`row ${index + 1} of ${ablation.rows.length}: ${row.label}`);
    rows.push(await trainedRow(row, options));
  }
  if (options.json) {
    return printJson({ table, dataset: ablation.dataset, rows: rows.map(jsonRow) });
  }
  const pooled = options.folds === undefined ? '' : `, pooled over ${options.folds} folds`;
  const heading = `Table ${table}: ${title} (${ablation.dataset}${pooled}; the paper's on meld7)`;
  printResult(`${outColor.bold(heading)}\n${ablationTable(rows)}`);
}

/** Trains and scores one row where that is not done already. */
async function trainedRow({ label, recipe, paper }: AblationRow, options: AblateOptions) {
  const { device, folds, threads } = options;
  const compute = { device, ...(folds !== undefined && { folds }) };
  const root = join(options.run ?? 'runs', recipe.name);
  const trained: StageOutcome[] = [];
  for (const stage of stagesOf(recipe)) {
    const setup = { ...compute, run: root, title: label, ...(threads !== undefined && { threads }) };
    await trainRecipe(stage, recipe, setup, (outcome) => trained.push(outcome));
  }
  const scored = await scoredBefore(root, trained, folds);
  const result = scored ?? (await scoreRuns(root, { stage: 2, ...compute })).result;
  return { label, run: root, result, paper };
}

function stagesOf(recipe: Recipe): (1 | 2)[] {
  return hasFormer(recipe) && recipe.stage2.from_stage1 ? [1, 2] : [2];
}

/** The results of runs that were finished before, where they are younger than the checkpoints. */
async function scoredBefore(
  root: string,
  trained: readonly StageOutcome[],
  folds: number | undefined,
): Promise<EvaluationResult | undefined> {
  if (trained.some(({ status }) => status !== 'already')) return undefined;
  const path =
    folds === undefined ? stageFolder(root, 2, undefined).results : join(root, 'stage2', 'results.json');
  const isFresh = await isScored(
    path,
    trained.map(({ folder }) => folder),
  );
  return isFresh ? ((await readJson(path, 'results')) as EvaluationResult) : undefined;
}

function jsonRow({ label, run, result, paper }: AblationScores & { readonly run: string }) {
  const { wa, ua, wf1, n } = result;
  const printed = { wa: fraction(paper.wa), ua: fraction(paper.ua), wf1: fraction(paper.wf1) };
  return { row: label, run, wa, ua, wf1, n, paper: printed };
}

/** A percentage of the paper as a fraction, like everything in JSON. */
function fraction(percentage: number | null): number | null {
  return percentage === null ? null : Number((percentage / 100).toFixed(4));
}
