/** @file Predicts the test set of a run, which it has not seen in training, with references. */

import { InputError, InterruptedError } from '../base/index.js';
import type { Utterance } from '../data/corpora/index.js';
import { dialogueOf, labelCounts, type Partition } from '../data/corpora/index.js';
import { mostFrequent, type ScoredPrediction } from '../evaluation/index.js';
import { argmax } from '../evaluation/metrics/index.js';
import type { Recipe } from '../systems/index.js';

import {
  type ComputeOptions,
  countCutTexts,
  cutNotes,
  encodeAll,
  loadCorpus,
  phaseFeatures,
  recordedDraw,
  requireInferences,
  trainedManifest,
} from '../training/index.js';
import { manifestChange, type RunFolder, type RunMetadata } from '../training/runs/index.js';
import { openTrainedModel, type TrainedModel } from './trained-run.js';

export interface TestSetPredictions {
  readonly labels: readonly string[];
  readonly predictions: readonly ScoredPrediction[];
  /** e'_q [d_h] of each utterance; undefined if the model has no Former. */
  readonly embeddings: readonly (Float32Array | undefined)[];
  readonly metadata: TrainedModel['metadata'];
  readonly recipe: TrainedModel['recipe'];
  /** Number of training utterances per label, in the order of `labels`; undefined if not known. */
  readonly trainingCounts: readonly number[] | undefined;
  /** Notes on cut inputs of the test set. */
  readonly cut: readonly string[];
}

/** The test set, if it is not at the location in the run's recipe. */
export interface TestSetOptions {
  /** The manifest the run was trained on, at another path than in its recipe. */
  readonly manifest?: string | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
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
  { manifest, onProgress }: TestSetOptions = {},
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
    const predicted = await predictUtterances(trained, corpus.test, compute, onProgress);
    return {
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

/**
 * Predicts labelled utterances, in order.
 * @throws InterruptedError when `compute.stop` is aborted
 * @throws ComputationError when the model's output for an utterance is not a distribution over the labels
 */
export async function predictUtterances(
  { folder, recipe, metadata, phase, infer }: TrainedModel,
  utterances: readonly Utterance[],
  compute: ComputeOptions,
  onProgress?: (done: number, total: number) => void,
): Promise<Pick<TestSetPredictions, 'predictions' | 'embeddings' | 'cut'>> {
  const examples = encodeAll(phase, utterances);
  const features = await phaseFeatures(recipe, phase, utterances, compute);
  onProgress?.(0, examples.length);
  const { stop } = compute;
  const inferences = await infer(examples, features, { onProgress, stop }).catch((error: unknown) => {
    throw stop?.aborted ? new InterruptedError('interrupted before the end; no results were written') : error;
  });
  const whole = requireInferences(
    examples,
    inferences,
    `the weights of ${folder.dir}, or of its backbones, are damaged`,
  );
  const predictions = examples.map(({ id, label }, index): ScoredPrediction => {
    const { probabilities } = whole[index]!;
    const { speaker } = utterances[index]!;
    const dialogue = dialogueOf(id);
    return {
      id,
      ...(metadata.fold !== null && { fold: String(metadata.fold) }),
      ...(speaker !== '' && { speaker }),
      ...(dialogue !== undefined && { dialogue }),
      reference: recipe.labels[label]!,
      label: recipe.labels[argmax(probabilities)]!,
      probabilities,
    };
  });
  const lengths = { clips: features.cropped, texts: countCutTexts(examples), total: examples.length };
  return {
    predictions,
    embeddings: whole.map(({ embedding }) => embedding),
    cut: cutNotes(recipe, phase, lengths),
  };
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
