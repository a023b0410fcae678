/** @file Scores a bundle on a prepared corpus, over the classes that both have. Nothing is written. */

import { readLabelMap, readManifest } from '../data/corpora/index.js';
import { evaluationOf, evaluationResult } from '../evaluation/index.js';
import { classificationMetrics } from '../evaluation/metrics/index.js';
import { openBundleModel, otherCorpus, predictCorpus } from '../inference/index.js';
import { phaseKeys } from '../training/runs/index.js';
import { corpusName, type ExperimentContext, scopeText } from './evaluation-target.js';
import { namedRecipe, type RecipeChoice } from './named-experiment.js';
import type { RunScores } from './run-scores.js';

/** A bundle, and the corpus that it is scored on. */
export interface BundleChoice extends RecipeChoice {
  readonly bundle: string;
  /** Pairs, or a file that contains them. */
  readonly labelMap?: string;
}

/**
 * Scores a bundle on the test split of a corpus, or on all of a corpus without splits.
 * @throws InputError when the bundle is damaged, or the corpus has too little in common with it
 */
export async function scoreBundle(
  { bundle, labelMap: map, ...choice }: BundleChoice,
  { withCompute, onNote, onPrediction, resampling, versions }: ExperimentContext,
): Promise<Omit<RunScores, 'majority'>> {
  const path = choice.manifest ?? (await namedRecipe(choice)).manifest;
  const manifest = await readManifest(path);
  const labelMap = map === undefined ? {} : await readLabelMap(map);
  return withCompute(async (compute) => {
    const model = await openBundleModel(bundle, compute);
    try {
      const { recipe, description } = model;
      const corpus = await otherCorpus(recipe, description.phase, manifest, labelMap);
      onNote(scopeText(path, corpus));
      const progress = onPrediction(bundle);
      const { predictions, cut } = await predictCorpus(model, corpus, compute, {
        ...{ source: bundle, fold: null },
        onProgress: (done, total) => progress.update(done, total),
      }).finally(() => progress.finish());
      for (const text of cut) onNote(`${bundle}: ${text}`);
      const scores = classificationMetrics(predictions, corpus.classes);
      const evaluation = evaluationOf(scores, [predictions], resampling);
      const isOwn = manifest.sha256 === description.run.manifest_sha256;
      const result = evaluationResult(evaluation, {
        name: isOwn ? recipe.name : `${recipe.name} on ${corpusName(manifest)}`,
        versions,
        metadata: {
          ...phaseKeys(description),
          seed: description.run.seed,
          split: corpus.part,
          manifest_sha256: manifest.sha256,
          bundle,
          checkpoint_sha256: description.run.checkpoint_sha256,
        },
      });
      return { evaluation, result, predictions, paper: isOwn ? recipe.paper : null };
    } finally {
      await model.close();
    }
  });
}
