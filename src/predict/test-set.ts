/** @file A run on its own test set: predictions with references, never seen in training. */

import { InputError, InterruptedError } from '../base/index.js';
import { argmax, dialogueOf, type ScoredPrediction } from '../evaluate/index.js';
import type { RunFolder } from '../train/index.js';
import {
  type ComputeOptions,
  experimentFeatures,
  fittingExamples,
  loadCorpus,
  manifestChange,
  trainedManifest,
} from '../train/index.js';
import { openTrainedModel, type TrainedModel } from './trained-model.js';

export interface TestSetPredictions {
  readonly labels: readonly string[];
  readonly predictions: readonly ScoredPrediction[];
  /** e'_q [d_h] of each utterance; undefined where the model has no Former. */
  readonly embeddings: readonly (Float32Array | undefined)[];
  readonly facts: TrainedModel['facts'];
  readonly recipe: TrainedModel['recipe'];
}

/**
 * Predicts the test utterances of a run; the audio of the others need not be there. `onProgress` is told from 0 on, once
 * their features are there.
 * @throws InterruptedError when `compute.stop` is aborted
 * @throws InputError when the manifest is not the one that the run was trained on
 */
export async function predictTestSet(
  folder: RunFolder,
  compute: ComputeOptions,
  onProgress?: (done: number, total: number) => void,
): Promise<TestSetPredictions> {
  const trained = await openTrainedModel(folder, compute);
  try {
    const { recipe, facts, model } = trained;
    const corpus = await loadCorpus(recipe, facts.fold ?? undefined, ['test']);
    const change = manifestChange(facts.manifest, trainedManifest(recipe.manifest, corpus.manifest));
    if (change !== undefined) {
      throw new InputError(
        `${recipe.manifest} ${change} since ${folder.dir} was trained; its test set may hold training utterances. Train again, or restore the manifest`,
      );
    }
    const examples = fittingExamples(model, corpus.test);
    const features = await experimentFeatures(model, corpus.test, compute);
    onProgress?.(0, examples.length);
    const { stop } = compute;
    const inferences = await trained
      .infer(examples, features, { onProgress, stop })
      .catch((error: unknown) => {
        throw stop?.aborted
          ? new InterruptedError('interrupted before the end; no results were written')
          : error;
      });
    const predictions = examples.map(({ id, label }, index): ScoredPrediction => {
      const { probabilities } = inferences[index]!;
      const { speaker } = corpus.test[index]!;
      const dialogue = dialogueOf(id);
      return {
        id,
        ...(facts.fold !== null && { fold: String(facts.fold) }),
        ...(speaker !== '' && { speaker }),
        ...(dialogue !== undefined && { dialogue }),
        reference: recipe.labels[label]!,
        label: recipe.labels[argmax(probabilities)]!,
        probabilities,
      };
    });
    const embeddings = inferences.map(({ embedding }) => embedding);
    return { labels: recipe.labels, predictions, embeddings, facts, recipe };
  } finally {
    await trained.close();
  }
}
