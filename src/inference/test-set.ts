/** @file The test set of a run, predicted; and the utterances that a run has seen. */

import { InputError } from '../base/index.js';
import { labelCounts, type Partition, type Utterance } from '../data/corpora/index.js';
import { mostFrequent, type ScoredPrediction } from '../evaluation/index.js';
import type { Recipe } from '../systems/index.js';
import { type ComputeOptions, loadCorpus, recordedDraw, trainedManifest } from '../training/index.js';
import {
  manifestChange,
  type RunFolder,
  type RunMetadata,
  readMetadata,
  runRecipe,
} from '../training/runs/index.js';
import { type FeatureMeans, hasProbe, probePredictions } from './probe-baseline.js';
import { openTrainedModel, type TrainedModel } from './trained-run.js';
import {
  type PredictionOptions,
  predictUtterances,
  sourceOf,
  type UtterancePredictions,
} from './utterance-predictions.js';

export interface TestSetPredictions extends UtterancePredictions {
  readonly labels: readonly string[];
  readonly metadata: TrainedModel['metadata'];
  readonly recipe: TrainedModel['recipe'];
  /** Number of training utterances per label, in the order of `labels`; undefined if not known. */
  readonly trainingCounts: readonly number[] | undefined;
  /** What a linear probe of the same features makes of the test set; absent if none was asked for or possible. */
  readonly probe?: readonly ScoredPrediction[] | undefined;
  /** Why there is none, where there could be one. */
  readonly probeMissing?: string;
}

/** The test set, if it is not at the location in the run's recipe. */
export interface TestSetOptions extends PredictionOptions {
  /** The manifest the run was trained on, at another path than in its recipe. */
  readonly manifest?: string | undefined;
  /** Asks for a linear probe beside the model, where its features are in the cache. */
  readonly probe?: FeatureMeans | undefined;
}

/**
 * Predicts the test utterances of a run; the audio of other utterances may be missing. `onProgress` is called from 0
 * on, once the features are available.
 * @throws InterruptedError when `compute.stop` is aborted
 * @throws InputError when the manifest is not the one that the run was trained on
 * @throws ComputationError when the model's output for an utterance is not a distribution over the labels
 */
export async function predictTestSet(
  folder: RunFolder,
  compute: ComputeOptions,
  { manifest, probe: means, ...options }: TestSetOptions = {},
): Promise<TestSetPredictions> {
  const trained = await openTrainedModel(folder, compute);
  try {
    const { recipe, metadata, phase } = trained;
    const placed = manifest === undefined ? recipe : { ...recipe, manifest };
    const audioParts = phase.needs.audio ? (['test'] as const) : [];
    const corpus = await loadCorpus(placed, metadata.fold ?? undefined, audioParts, recordedDraw(metadata));
    const change = manifestChange(metadata.manifest, trainedManifest(placed.manifest, corpus.manifest));
    if (change !== undefined) {
      throw new InputError(
        `${placed.manifest} ${change} since ${folder.dir} was trained; its test set may contain training utterances. Train again, or restore the manifest`,
      );
    }
    const predicted = await predictUtterances(trained, corpus.test, compute, {
      ...sourceOf(trained),
      ...options,
      noise: options.noise && { ...options.noise, manifest: corpus.manifest },
    });
    const probe =
      means !== undefined && phase.needs.audio && hasProbe(recipe)
        ? await probePredictions(recipe, corpus, metadata.fold, compute, means)
        : undefined;
    return {
      ...(probe && ('kind' in probe ? { probeMissing: probe.reason } : { probe })),
      ...{
        labels: recipe.labels,
        metadata,
        recipe,
        trainingCounts: labelCounts(corpus.train, recipe.labels),
      },
      ...predicted,
    };
  } finally {
    await trained.close();
  }
}

/** The test utterances of a run, with the classes that it gives them, before anything is computed. */
export async function testUtterances(folder: RunFolder, manifest?: string): Promise<readonly Utterance[]> {
  const metadata = (await readMetadata(folder))!;
  const recipe = await runRecipe(folder);
  const placed = manifest === undefined ? recipe : { ...recipe, manifest };
  return (await loadCorpus(placed, metadata.fold ?? undefined, [], recordedDraw(metadata))).test;
}

export type SeenUtterances = Pick<Partition, 'train' | 'dev'>;

/** The part of a run's metadata that determines which utterances it has seen. */
type SeenMetadata = Pick<RunMetadata, 'fold' | 'manifest' | 'validation'>;

/**
 * The training and validation utterances of a run.
 * @returns undefined if they are no longer known, because the manifest has changed or is missing
 */
export async function seenUtterances(
  recipe: Recipe,
  metadata: SeenMetadata,
): Promise<SeenUtterances | undefined> {
  try {
    const corpus = await loadCorpus(recipe, metadata.fold ?? undefined, [], recordedDraw(metadata));
    const now = trainedManifest(recipe.manifest, corpus.manifest);
    return manifestChange(metadata.manifest, now) === undefined ? corpus : undefined;
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

/** The most frequent class in a run's training set; undefined if it is no longer known. */
export async function trainingMajority(recipe: Recipe, metadata: SeenMetadata): Promise<string | undefined> {
  const seen = await seenUtterances(recipe, metadata);
  return seen && mostFrequent(recipe.labels, labelCounts(seen.train, recipe.labels));
}
