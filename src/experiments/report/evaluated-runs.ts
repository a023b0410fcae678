/**
 * @file Reads what a report needs of trained and evaluated runs: their files, ablation results, and the recordings of
 * the worst mistakes, small enough for a page.
 */

import { dirname, join, relative, resolve } from 'node:path';
import { z } from 'zod';
import {
  defaultJobs,
  errorMessage,
  InputError,
  mapConcurrently,
  pathExists,
  readJson,
} from '../../base/index.js';
import { decodeAudio, encodeMp3 } from '../../data/audio/index.js';
import {
  type FoldMetrics,
  foldMetrics,
  hasReference,
  indicesByFold,
  type Missing,
  readPredictions,
  readResults,
  type ScoredPrediction,
  type StoredResults,
} from '../../evaluation/index.js';
import { classificationMetrics, type Metrics, ofPaperMetrics } from '../../evaluation/metrics/index.js';
import { finalPhaseIn } from '../../inference/index.js';
import { ablationOutlines } from '../../recipe/index.js';
import type { Mistake, ReportAblation, ReportUtterance } from '../../report/index.js';
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

/** An evaluated run, or the runs of a cross-validation evaluated together. */
export type EvaluatedRuns = Pick<SeedRuns, 'seed' | 'folder' | 'runs' | 'folds'>;

/** The same, with the contents of their files. */
export interface ReadRuns extends EvaluatedRuns {
  /** run.json of each run. */
  readonly metadata: readonly RunMetadata[];
  /** When each run was trained and how fast, if known. */
  readonly times: readonly (RunTimes | null)[];
  readonly recipe: Recipe;
  /** The first run's recipe.yaml. */
  readonly recipeText: string;
  /** All rows of predictions.csv, in the order of the embeddings. */
  readonly rows: readonly ScoredPrediction[];
  /** Indices into `rows`, by fold if there are folds, in fold order. */
  readonly parts: readonly { readonly fold: string | null; readonly indices: readonly number[] }[];
  readonly scores: Metrics | FoldMetrics;
  /** What results.json contains besides the scores. */
  readonly results: Results;
}

/** The keys used from results.json; a missing file, or one without them, reads as empty. */
const resultsSchema = z.object({
  versions: z.record(z.string(), z.string()).optional().catch(undefined),
  intervals: z
    .object({
      level: z.number().gt(0).lt(1),
      resamples: z.number().int().min(1),
      seed: z.number().int(),
      unit: z.enum(['utterance', 'speaker', 'dialogue']),
    })
    .nullable() // as written by --resamples 0
    .optional()
    .catch(undefined),
});
type Results = z.infer<typeof resultsSchema>;

/** Progress and cancellation of long operations. */
export interface GatherControl {
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly onWarning?: ((text: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** @throws InputError when a file of the runs is missing or damaged, or predictions and runs do not match */
export async function readRuns(evaluated: EvaluatedRuns): Promise<ReadRuns> {
  const { folder, runs, folds } = evaluated;
  const byFold = folds !== undefined;
  const metadata = await Promise.all(
    runs.map(async (run) => {
      const found = await readMetadata(run);
      if (found === undefined) throw new InputError(`${run.dir} holds no run (no run.json)`);
      return found;
    }),
  );
  const { labels } = metadata[0]!;
  const { rows } = await readPredictions(folder.predictions, { labels, requireReference: true });
  const nameless = rows.findIndex((row) => row.id === undefined || !hasReference(row));
  if (nameless >= 0) {
    throw new InputError(
      `${folder.predictions}, utterance ${nameless + 1} has no id or no reference; score the run again with emoq eval`,
    );
  }
  const scored = rows as readonly ScoredPrediction[];
  const parts = byFold ? indicesByFold(scored) : [{ fold: null, indices: [...scored.keys()] }];
  const scores = byFold
    ? foldMetrics(
        parts.map(({ fold, indices }) => ({ fold: fold!, outcomes: indices.map((index) => scored[index]!) })),
        labels,
      )
    : classificationMetrics(scored, labels);
  return {
    ...evaluated,
    metadata,
    times: await Promise.all(runs.map(readTimes)),
    recipe: await runRecipe(runs[0]!),
    recipeText: await runRecipeText(runs[0]!),
    rows: scored,
    parts,
    scores,
    results: resultsSchema.catch({}).parse(await readJson(folder.results).catch(() => undefined)),
  };
}

/** A table with one row compares nothing. */
const LEAST_ROWS = 2;

/**
 * The tables of an experiment's dataset that have two rows or more in a folder.
 * @param experiment name of the recipe
 * @param dir the folder; if undefined, the one around the experiment's own `root`
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
    const files = [phaseFolder(row, phase, undefined).results, join(row, `${phase}-seeds.json`)]; // of one run or its folds, or of seeds
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
      tables.push({ title: `Table ${table}: ${title} (${dataset}; the paper's is on meld7)`, rows: found });
    }
  }
  if (dir !== undefined && tables.length === 0) {
    onWarning(`${dir} holds no results of ablations; emoq ablate --run ${dir} makes them`);
  }
  return tables;
}

/** Where recordings are, or why that is not known. */
export type Recordings =
  | {
      readonly kind: 'recordings';
      /** Folder of the manifest, used to shorten paths in messages. */
      readonly dir: string;
      readonly pathOf: (id: string) => string | undefined;
      readonly maxAudioSec: number;
    }
  | Missing;

/**
 * The `count` worst mistakes: the largest excess of the predicted class's probability over that of the reference. If
 * several seeds are wrong about an utterance, the worst one counts.
 */
export async function worstMistakes(
  utterances: readonly ReportUtterance[],
  count: number,
  recordings: Recordings,
  { onProgress, signal }: GatherControl,
): Promise<Mistake[]> {
  const worst = worstOf(utterances).slice(0, count);
  let done = 0;
  return mapConcurrently(
    worst,
    defaultJobs(),
    async (utterance) => {
      const audio = await audioOf(utterances[utterance]!.id, recordings, signal);
      done += 1;
      onProgress?.(done, worst.length);
      return { utterance, ...audio };
    },
    signal,
  );
}

/** Indices of wrong predictions, worst first, with each id once. */
function worstOf(utterances: readonly ReportUtterance[]): number[] {
  const excess = ({ predicted, reference, probabilities }: ReportUtterance): number =>
    predicted === null || predicted === reference
      ? Number.NEGATIVE_INFINITY
      : probabilities === null
        ? 0
        : probabilities[predicted]! - probabilities[reference]!;
  const ranked = utterances
    .map((utterance, index) => ({ index, id: utterance.id, by: excess(utterance) }))
    .filter(({ by }) => by > Number.NEGATIVE_INFINITY)
    .sort((a, b) => b.by - a.by || a.index - b.index);
  const seen = new Set<string>();
  return ranked.flatMap(({ index, id }) => (seen.size < seen.add(id).size ? [index] : []));
}

async function audioOf(
  id: string,
  recordings: Recordings,
  signal: AbortSignal | undefined,
): Promise<Pick<Mistake, 'audio' | 'audioMissing'>> {
  const missing = (audioMissing: string) => ({ audio: null, audioMissing });
  if (recordings.kind === 'missing') return missing(recordings.reason);
  const path = recordings.pathOf(id);
  if (path === undefined) return missing('the manifest does not list it');
  if (!(await pathExists(path))) return missing(`${relative(recordings.dir, path)} does not exist`);
  try {
    // The model's input, because a player may decode an unusual file differently.
    const { samples } = await decodeAudio(path, { maxDurationSec: recordings.maxAudioSec, signal });
    const mp3 = await encodeMp3(samples, signal);
    return { audio: `data:audio/mpeg;base64,${mp3.toString('base64')}`, audioMissing: null };
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    // The page may be shared, so it must not show folders of this machine.
    return missing(errorMessage(error).replaceAll(path, relative(recordings.dir, path)));
  }
}
