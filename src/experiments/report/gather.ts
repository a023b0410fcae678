/**
 * @file Finds and checks the runs of a report, scores them if needed, and gathers its data. Anything that cannot be
 * read is reported, and its section states why it is empty.
 */

import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { errorMessage, InputError, pathExists } from '../../base/index.js';
import { readManifest, selectUtterances, type Utterance } from '../../data/corpora/index.js';
import {
  evaluationOf,
  type Missing,
  type NoiseResults,
  type Resampling,
  readNoiseResults,
  type Scores,
  seedMetrics,
} from '../../evaluation/index.js';
import { trainingMajority } from '../../inference/index.js';
import { corpusViewOf } from '../../recipe/index.js';
import type { ReportData, ReportUtterance } from '../../report/index.js';
import { hasPrompt, type Recipe, titleOf } from '../../systems/index.js';
import { trainedManifest } from '../../training/index.js';
import { manifestChange, type RunFolder, readMetadata, runFiles } from '../../training/runs/index.js';
import type { ExperimentContext } from '../evaluation-target.js';
import { checkAgainstRuns, type ExperimentChoice, rootOf } from '../named-experiment.js';
import { checkpointsOf } from '../noise-test.js';
import { isScored, seedNoiseResults } from '../run-scores.js';
import { missingFoldsWarning, type SeedRuns, selectSeeds } from '../run-selection.js';
import { scoreRuns } from '../scoring.js';
import { isSearch } from '../search/index.js';
import { reportAbout } from './about.js';
import {
  ablationResults,
  type EvaluatedRuns,
  type ReadRuns,
  type Recordings,
  readRuns,
  worstMistakes,
} from './evaluated-runs.js';
import { layerWeights } from './layer-weights.js';
import { embeddingMap } from './map-layouts.js';
import { reportMetadata, trainingCurves } from './training-summary.js';

export interface GatherOptions {
  /** The experiment's folder; ablations may be next to it. */
  readonly root: string;
  /** Folder of ablations, if elsewhere. */
  readonly ablations?: string | undefined;
  /** The manifest the runs were trained on, if it is not where their recipes say. */
  readonly manifest?: string | undefined;
  /** How many of the worst mistakes to show. */
  readonly mistakes: number;
  /** Whether their recordings are read; true by default. */
  readonly withRecordings?: boolean;
  /** How intervals are computed if results.json does not say; null for none. */
  readonly resampling: Resampling | null;
  readonly signal?: AbortSignal | undefined;
  readonly onWarning: (text: string) => void;
  readonly onMap?: (done: number, total: number) => void;
  readonly onAudio?: (done: number, total: number) => void;
}

/**
 * Gathers the data of a report on one run, a cross-validation, or several seeds of either.
 * @param evaluated one, or one for each seed
 * @throws InputError when predictions, recipe or run.json are missing or damaged; the reason of `signal`
 */
export async function gatherReport(
  evaluated: readonly EvaluatedRuns[],
  options: GatherOptions,
): Promise<ReportData> {
  const { onWarning, signal } = options;
  const parts = await Promise.all(evaluated.map(readRuns));
  const first = parts[0]!;
  const { labels, system, phase, prompt } = first.metadata[0]!;
  const other = parts.find(({ metadata }) => metadata[0]!.labels.join() !== labels.join());
  if (other !== undefined) {
    throw new InputError(`${first.folder.dir} and ${other.folder.dir} have different labels`);
  }
  const unfinished = unfinishedOf(parts);
  for (const dir of unfinished) onWarning(`the run in ${dir} is not finished; using its best epoch so far`);
  const scores = scoresOf(parts);
  const scoredParts =
    scores.kind === 'seeds'
      ? parts.map(({ rows }) => rows)
      : first.parts.map(({ indices }) => indices.map((index) => first.rows[index]!));
  const { intervals, calibration, baselines } = evaluationOf(
    scores,
    scoredParts,
    first.results.intervals === undefined ? options.resampling : first.results.intervals,
    await majorities(parts, options.manifest),
  );
  signal?.throwIfAborted();

  const corpus = await corpusOf(first, options.manifest ?? first.recipe.manifest);
  if (corpus.kind === 'missing') onWarning(`no transcripts and recordings: ${corpus.reason}`);
  const utterances = parts.flatMap((part) => reportUtterances(part, corpus));
  return {
    name: first.recipe.name,
    phase: titleOf(phase),
    about: reportAbout(parts, corpus.kind === 'missing' ? null : corpus.name),
    isPrompted: hasPrompt(system, phase),
    labels,
    unfinished,
    missing: missingFolds(parts),
    scores,
    intervals,
    calibration,
    noise: await readNoise(parts, options.root, onWarning),
    baselines,
    paper: first.recipe.paper,
    utterances,
    map: await embeddingMap(parts, { onProgress: options.onMap, onWarning, signal }),
    curves: await trainingCurves(parts, onWarning),
    mistakes: await worstMistakes(
      utterances,
      options.mistakes,
      options.withRecordings === false
        ? { kind: 'missing', reason: 'not read' }
        : recordingsOf(corpus, first.recipe),
      { onProgress: options.onAudio, signal },
    ),
    ablations: await ablationResults(first.recipe.name, options.root, options.ablations, onWarning),
    layers: await layerWeights(parts),
    recipe: first.recipeText,
    prompt,
    versions: first.results.versions ?? first.metadata[0]!.versions,
    metadata: reportMetadata(parts),
  };
}

/** Results under noise of exactly these checkpoints. */
async function readNoise(
  parts: readonly ReadRuns[],
  root: string,
  onWarning: (text: string) => void,
): Promise<NoiseResults | null> {
  const [{ seed, folder, metadata }] = parts as [ReadRuns];
  const path = seed === null ? folder.noise : seedNoiseResults(root, metadata[0]!.phase);
  if (!(await pathExists(path))) return null;
  const results = await readNoiseResults(path);
  const now = checkpointsOf(parts.flatMap((part) => part.metadata));
  if (isDeepStrictEqual(results.checkpoints, now)) return results;
  onWarning(`${path} is of other checkpoints and left out; emoq eval --noise makes it anew`);
  return null;
}

function unfinishedOf(parts: readonly ReadRuns[]): string[] {
  return parts.flatMap(({ runs, metadata }) =>
    runs.filter((_, i) => metadata[i]!.status !== 'finished').map(({ dir }) => dir),
  );
}

function missingFolds(parts: readonly ReadRuns[]): string[] {
  return parts.flatMap(({ seed, folds }) =>
    (folds?.missing ?? []).map((fold) => `${seed === null ? '' : `seed ${seed}, `}fold ${fold}`),
  );
}

/** For each row, part after part, the most frequent class of its model's training set; undefined if not known. */
async function majorities(
  parts: readonly ReadRuns[],
  manifest: string | undefined,
): Promise<string[] | undefined> {
  const rows: (string | undefined)[] = [];
  for (const { recipe, metadata, parts: folds } of parts) {
    const placed = manifest === undefined ? recipe : { ...recipe, manifest };
    for (const { fold, indices } of folds) {
      const own = metadata.find((each) => fold === null || String(each.fold) === fold);
      const label = own && (await trainingMajority(placed, own));
      rows.push(...indices.map(() => label));
    }
  }
  return rows.every((label) => label !== undefined) ? rows : undefined;
}

function scoresOf(parts: readonly ReadRuns[]): Scores {
  const [{ seed, scores }] = parts as [ReadRuns];
  if (seed === null) return scores;
  return seedMetrics(parts.map((part) => ({ seed: part.seed!, scores: part.scores })));
}

/** The utterances by id, or why they are not known. */
type Corpus =
  | {
      readonly kind: 'corpus';
      readonly name: string;
      readonly dir: string;
      readonly utterances: ReadonlyMap<string, Utterance>;
    }
  | Missing;

/** A changed manifest may have different recordings under the same ids, so it is treated as missing. */
async function corpusOf({ recipe, metadata, folder }: ReadRuns, path: string): Promise<Corpus> {
  try {
    const manifest = await readManifest(path);
    const change = manifestChange(metadata[0]!.manifest, trainedManifest(path, manifest));
    if (change !== undefined) {
      return { kind: 'missing', reason: `${path} ${change} since ${folder.dir} was trained` };
    }
    const { utterances } = selectUtterances(manifest, corpusViewOf(recipe));
    const byId = new Map(utterances.map((utterance) => [utterance.id, utterance]));
    return { kind: 'corpus', name: manifest.name, dir: manifest.dir, utterances: byId };
  } catch (error) {
    if (error instanceof InputError) return { kind: 'missing', reason: errorMessage(error) };
    throw error;
  }
}

function recordingsOf(corpus: Corpus, { max_audio_sec: maxAudioSec }: Recipe): Recordings {
  if (corpus.kind === 'missing') return corpus;
  return {
    kind: 'recordings',
    dir: corpus.dir,
    pathOf: (id) => corpus.utterances.get(id)?.path,
    maxAudioSec,
  };
}

function reportUtterances({ rows, seed, metadata }: ReadRuns, corpus: Corpus): ReportUtterance[] {
  const { labels } = metadata[0]!;
  return rows.map(({ id, fold, speaker, reference, label, probabilities }): ReportUtterance => {
    const utterance = corpus.kind === 'missing' ? undefined : corpus.utterances.get(id!);
    return {
      id: id!,
      fold: fold ?? null,
      seed,
      speaker: (speaker ?? utterance?.speaker) || null,
      text: utterance?.text ?? '',
      reference: labels.indexOf(reference),
      predicted: label === undefined ? null : labels.indexOf(label),
      probabilities: probabilities === undefined ? null : Array.from(probabilities),
    };
  });
}

export interface ReportPlan {
  /** The experiment's folder. */
  readonly root: string;
  readonly seeds: readonly SeedRuns[];
  /** Default file of the report, next to the results. @param extension without a dot */
  defaultFile(extension: string): string;
  /** The files it is made from. */
  readonly sources: readonly string[];
}

/**
 * Finds the named runs without computing anything.
 * @throws InputError if they are missing, not what was asked for, or were trained on another manifest
 */
export async function planReport(
  choice: ExperimentChoice,
  { onNote, onWarning }: ExperimentContext,
): Promise<ReportPlan> {
  const root = await rootOf(choice, onNote);
  const seeds = await selectSeeds(root, choice).catch(async (error: unknown) => {
    // What was meant may be the search over the recipe.
    const search = `${root}-search`;
    const isOnlySearch = choice.run === undefined && !(await pathExists(root)) && (await isSearch(search));
    if (!isOnlySearch || !(error instanceof InputError)) throw error;
    throw new InputError(`${error.message}; ${search} holds a search, which --run ${search} reports on`);
  });
  const runs = seeds.flatMap((each) => each.runs);
  const changed = await checkAgainstRuns(choice, runs);
  if (changed !== undefined) onWarning(changed);
  if (choice.manifest !== undefined) await checkManifest(choice.manifest, runs);
  const folders = seeds.flatMap(({ folder, runs: own }) => [folder, ...own]);
  const metadata = await Promise.all(folders.map(readMetadata));
  return {
    root,
    seeds,
    // NAME-seeds.json are the results.
    defaultFile: (extension) =>
      choice.seeds === undefined
        ? join(seeds[0]!.folder.dir, `report.${extension}`)
        : join(root, `${seeds[0]!.phase}-seeds${extension === 'json' ? '.report' : ''}.${extension}`),
    sources: [...folders.flatMap(runFiles), ...metadata.flatMap((run) => (run ? [run.manifest.path] : []))],
  };
}

/**
 * Scores the runs that have not been scored since they were trained.
 * @param manifest their manifest, if it is not where their recipes say
 */
export async function scorePlanned(
  { seeds }: ReportPlan,
  manifest: string | undefined,
  context: ExperimentContext,
): Promise<void> {
  for (const each of seeds) {
    if (await isScored(each)) {
      const missing = missingFoldsWarning(each);
      if (missing !== undefined) context.onWarning(missing);
    } else await scoreRuns(each, context, { ...(manifest !== undefined && { manifest }) });
  }
}

/** @throws InputError if the named manifest is not the one the runs were trained on */
async function checkManifest(path: string, runs: readonly RunFolder[]): Promise<void> {
  const named = trainedManifest(path, await readManifest(path));
  for (const run of runs) {
    if (manifestChange((await readMetadata(run))!.manifest, named) === undefined) continue;
    throw new InputError(
      `${path} is not the manifest that ${run.dir} was trained on, and a report covers the run's own test set; score it on another corpus with emoq eval --run ${run.dir} --manifest ${path}`,
    );
  }
}
