/** @file A run on its own test set: predictions with references, never seen in training. */

import { InputError, InterruptedError } from '../base/index.js';
import { argmax, type Prediction } from '../evaluate/index.js';
import type { RunFolder } from '../train/index.js';
import { type ComputeOptions, experimentFeatures, loadCorpus } from '../train/index.js';
import { openTrainedModel, type TrainedModel } from './trained-model.js';

export interface TestSetPredictions {
  readonly labels: readonly string[];
  readonly predictions: readonly Prediction[];
  readonly facts: TrainedModel['facts'];
  readonly recipe: TrainedModel['recipe'];
}

/**
 * Predicts the test utterances of a run. `onProgress` is told from 0 on, once their features are there.
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
    const corpus = await loadCorpus(recipe, facts.fold ?? undefined, ['train', 'dev', 'test']);
    if (corpus.manifest.sha256 !== facts.manifest.sha256) {
      throw new InputError(
        `${recipe.manifest} has changed since ${folder.dir} was trained; its test set may hold training utterances. Train again, or restore the manifest`,
      );
    }
    const features = await experimentFeatures(model, corpus.test, compute);
    const examples = model.examples(corpus.test);
    onProgress?.(0, examples.length);
    const { stop } = compute;
    const inferences = await trained
      .infer(examples, features, { onProgress, stop })
      .catch((error: unknown) => {
        throw stop?.aborted
          ? new InterruptedError('interrupted before the end; no results were written')
          : error;
      });
    const predictions = examples.map(({ id, label }, index): Prediction => {
      const { probabilities } = inferences[index]!;
      return {
        id,
        ...(facts.fold !== null && { fold: String(facts.fold) }),
        reference: recipe.labels[label]!,
        label: recipe.labels[argmax(probabilities)]!,
        probabilities,
      };
    });
    return { labels: recipe.labels, predictions, facts, recipe };
  } finally {
    await trained.close();
  }
}
