/** @file Scores a bundle on a prepared corpus, over the classes that both have. Nothing is written. */

import { readLabelMap, readManifest } from '../data/corpora/index.js';
import { evaluationOf, evaluationResult, type ScoredPrediction } from '../evaluation/index.js';
import { classificationMetrics } from '../evaluation/metrics/index.js';
import { openBundleModel, otherCorpus, predictCorpus } from '../inference/index.js';
import { phaseKeys } from '../training/runs/index.js';
import { corpusName, type ExperimentContext, type NoiseChoice, scopeText } from './evaluation-target.js';
import { namedRecipe, type RecipeChoice } from './named-experiment.js';
import { checkNoiseTest, openNoiseTest } from './noise-test.js';
import type { RunScores } from './run-scores.js';

/** A bundle, and the corpus that it is scored on. */
export interface BundleChoice extends RecipeChoice, NoiseChoice {
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
  { withCompute, onNote, onWarning, onWork, resampling, versions }: ExperimentContext,
): Promise<RunScores> {
  const path = choice.manifest ?? (await namedRecipe(choice)).manifest;
  const manifest = await readManifest(path);
  const labelMap = map === undefined ? {} : await readLabelMap(map);
  return withCompute(async (compute) => {
    const model = await openBundleModel(bundle, compute);
    try {
      const { recipe, description } = model;
      checkNoiseTest([{ name: bundle, recipe, phase: description.phase }], choice);
      const corpus = await otherCorpus(recipe, description.phase, manifest, labelMap);
      const reading = { recipe, recogniser: manifest.info.recogniser };
      const noise = await openNoiseTest(choice, reading, compute, { onWork, onWarning });
      onNote(scopeText(path, corpus));
      const progress = onWork(`testing ${bundle}`, 'utterances');
      const { predictions, underNoise, wordErrors, cut } = await predictCorpus(model, corpus, compute, {
        ...{ source: bundle, fold: null, noise: noise && { ...noise, manifest } },
        onProgress: (done, total) => progress.update(done, total),
      }).finally(() => progress.finish());
      for (const text of cut) onNote(`${bundle}: ${text}`);
      const isOwn = manifest.sha256 === description.run.manifest_sha256;
      const source = {
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
      };
      const scored = (rows: readonly ScoredPrediction[]): RunScores => {
        const scores = classificationMetrics(rows, corpus.classes);
        const evaluation = evaluationOf(scores, [rows], resampling);
        const result = evaluationResult(evaluation, source);
        return {
          evaluation,
          result,
          predictions: rows,
          majority: undefined,
          paper: isOwn ? recipe.paper : null,
        };
      };
      const clean = scored(predictions);
      if (noise === undefined) return clean;
      const levels = noise.levels.map(({ snrDb }, level) => ({ snrDb, ...scored(underNoise[level]!) }));
      const checkpoints = [description.run.checkpoint_sha256 ?? null];
      return { ...clean, underNoise: { noise: noise.noise, checkpoints, levels, wordErrors } };
    } finally {
      await model.close();
    }
  });
}
