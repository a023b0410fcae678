/** @file What training and evaluation left of the runs that a report is of, and the results of ablations around them. */

import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { errorMessage, InputError, pathExists, readJson } from '../../base/index.js';
import {
  type FoldMetrics,
  foldMetrics,
  hasReference,
  placesByFold,
  readPredictions,
  readResults,
  type ScoredPrediction,
  type StoredResults,
} from '../../evaluation/index.js';
import { classificationMetrics, type Metrics, ofPaperMetrics } from '../../evaluation/metrics/index.js';
import { finalPhaseIn } from '../../inference/index.js';
import { ablationOutlines } from '../../recipe/index.js';
import type { ReportAblation } from '../../report/index.js';
import type { Recipe } from '../../systems/index.js';
import {
  phaseFolder,
  type RunMetadata,
  type RunTimes,
  readMetadata,
  readTimes,
  runRecipe,
  runRecipeText,
} from '../../training/runs/index.js';
import type { SeedRuns } from '../run-selection.js';

/** A run that is evaluated, or the runs of a cross-validation that are evaluated together. */
export type EvaluatedRuns = Pick<SeedRuns, 'seed' | 'folder' | 'runs' | 'folds'>;

/** The same, read. */
export interface ReadRuns extends EvaluatedRuns {
  /** run.json of each run. */
  readonly facts: readonly RunMetadata[];
  /** When and how fast each was made, where that is known. */
  readonly times: readonly (RunTimes | null)[];
  readonly recipe: Recipe;
  /** The first run's recipe.yaml. */
  readonly recipeText: string;
  /** All rows of predictions.csv, which are those of the embeddings too. */
  readonly rows: readonly ScoredPrediction[];
  /** Places in `rows`, by fold where there are folds, in the folds' order. */
  readonly parts: readonly { readonly fold: string | null; readonly places: readonly number[] }[];
  readonly scores: Metrics | FoldMetrics;
  /** What results.json says beside the scores. */
  readonly results: Results;
}

/** What is taken over from results.json; a file that says nothing of it, or is not there, is an empty one. */
const resultsSchema = z.object({
  versions: z.record(z.string(), z.string()).optional().catch(undefined),
  intervals: z
    .object({
      level: z.number().gt(0).lt(1),
      resamples: z.number().int().min(1),
      seed: z.number().int(),
      unit: z.enum(['utterance', 'speaker', 'dialogue']),
    })
    .nullable() // as --resamples 0 leaves it
    .optional()
    .catch(undefined),
});
type Results = z.infer<typeof resultsSchema>;

/** What takes long tells how far it is, and stops when it is told to. */
export interface GatherControl {
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly onWarning?: ((text: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** @throws InputError when a file of the runs is missing or damaged, or predictions and runs do not belong together */
export async function readRuns(evaluated: EvaluatedRuns): Promise<ReadRuns> {
  const { folder, runs, folds } = evaluated;
  const byFold = folds !== undefined;
  const facts = await Promise.all(
    runs.map(async (run) => {
      const found = await readMetadata(run);
      if (found === undefined) throw new InputError(`${run.dir} holds no run (no run.json)`);
      return found;
    }),
  );
  const { labels } = facts[0]!;
  const { rows } = await readPredictions(folder.predictions, { labels, requireReference: true });
  const nameless = rows.findIndex((row) => row.id === undefined || !hasReference(row));
  if (nameless >= 0) {
    throw new InputError(
      `${folder.predictions}, utterance ${nameless + 1} has no id or no reference; score the run again with emoq eval`,
    );
  }
  const scored = rows as readonly ScoredPrediction[];
  const parts = byFold ? placesByFold(scored) : [{ fold: null, places: [...scored.keys()] }];
  const scores = byFold
    ? foldMetrics(
        parts.map(({ fold, places }) => ({ fold: fold!, outcomes: places.map((place) => scored[place]!) })),
        labels,
      )
    : classificationMetrics(scored, labels);
  return {
    ...evaluated,
    facts,
    times: await Promise.all(runs.map(readTimes)),
    recipe: await runRecipe(runs[0]!),
    recipeText: await runRecipeText(runs[0]!),
    rows: scored,
    parts,
    scores,
    results: resultsSchema.catch({}).parse(await readJson(folder.results).catch(() => undefined)),
  };
}

/** A table of one row compares nothing. */
const LEAST_ROWS = 2;

/**
 * The tables of an experiment's dataset that have two rows or more in a folder.
 * @param experiment name of the recipe
 * @param dir the folder; where it is undefined, the one around the experiment's own `root`
 */
export async function ablationResults(
  experiment: string,
  root: string,
  dir: string | undefined,
  onWarning: (text: string) => void,
): Promise<ReportAblation[]> {
  const around = dir ?? dirname(resolve(root));
  const rowOf = async (name: string): Promise<StoredResults | undefined> => {
    const row = join(around, name);
    const phase = await finalPhaseIn(row);
    const files = [phaseFolder(row, phase, undefined).results, join(row, `${phase}-seeds.json`)]; // of one run or its folds, of seeds
    for (const path of files) {
      if (!(await pathExists(path))) continue;
      try {
        return await readResults(path);
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        onWarning(`a row of an ablation is left out: ${errorMessage(error)}`);
        return undefined;
      }
    }
    return undefined;
  };
  const tables: ReportAblation[] = [];
  for (const { table, title, dataset, rows } of await ablationOutlines(experiment)) {
    const found: ReportAblation['rows'][number][] = [];
    for (const { label, name, paper } of rows) {
      const result = await rowOf(name);
      if (result === undefined) continue;
      const { n, intervals, missing = [] } = result;
      found.push({
        label: missing.length === 0 ? label : `${label} (without ${missing.length} of its folds)`,
        ...ofPaperMetrics((key) => result[key]),
        n,
        ...(intervals && { intervals }),
        paper: ofPaperMetrics((key) => paper[key]),
      });
    }
    if (found.length >= LEAST_ROWS) {
      tables.push({ title: `Table ${table}: ${title} (${dataset}; the paper's on meld7)`, rows: found });
    }
  }
  if (dir !== undefined && tables.length === 0) {
    onWarning(`${dir} holds no results of ablations; emoq ablate --run ${dir} makes them`);
  }
  return tables;
}
