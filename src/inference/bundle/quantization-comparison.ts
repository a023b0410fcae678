/** @file What integers change: a quantized bundle and the run that it was written from, on the same utterances. */

import { InputError } from '../../base/index.js';
import { type Manifest, readManifest, type Utterance } from '../../data/corpora/index.js';
import { argmax } from '../../evaluation/metrics/index.js';
import type { ComputeOptions } from '../../training/index.js';
import { otherCorpus, predictCorpus } from '../other-corpus.js';
import { type OpenedModel, openTrainedModel, type TrainedRun } from '../trained-run.js';
import type { QuantizationNotes } from './bundle-format.js';
import { openBundleModel } from './opened-bundle.js';

/** Utterances that are compared: enough for a share of labels to one percent. */
const COMPARED = 200;

/**
 * Judges utterances of a corpus with a run and with its bundle.
 * @param path of the manifest; absent: the run's own, if it is there
 * @returns null if there is no corpus
 * @throws InputError for a named manifest that is missing, or has nothing in common with the run
 */
export async function compareWithRun(
  run: TrainedRun,
  bundleDir: string,
  compute: ComputeOptions,
  path: string | undefined,
): Promise<QuantizationNotes['compared']> {
  const { recipe, metadata } = run;
  const corpus = await commonUtterances(run, path);
  if (corpus === undefined) return null;
  const { manifest, utterances } = corpus;
  const judge = async (opening: Promise<OpenedModel>): Promise<readonly Float32Array[]> => {
    const model = await opening;
    try {
      const of = { classes: recipe.labels, utterances };
      const source = { source: metadata.name, fold: null };
      const { predictions } = await predictCorpus(model, of, compute, source);
      return predictions.map(({ probabilities }) => Float32Array.from(probabilities ?? []));
    } finally {
      await model.close();
    }
  };
  const before = await judge(openTrainedModel(run.folder, compute));
  const after = await judge(openBundleModel(bundleDir, compute));
  const differences = before.flatMap((row, index) =>
    Array.from(row, (value, at) => Math.abs(value - after[index]![at]!)),
  );
  return {
    manifest_sha256: manifest.sha256,
    utterances: utterances.length,
    same_labels: before.filter((row, index) => argmax(row) === argmax(after[index]!)).length,
    largest_difference: Math.max(...differences),
    mean_difference: differences.reduce((sum, value) => sum + value, 0) / differences.length,
  };
}

/** Utterances of the test set, or of all of a corpus without one, spread over it. */
async function commonUtterances(
  { recipe, metadata }: TrainedRun,
  path: string | undefined,
): Promise<{ readonly manifest: Manifest; readonly utterances: readonly Utterance[] } | undefined> {
  try {
    const manifest = await readManifest(path ?? metadata.manifest.path);
    const { utterances } = await otherCorpus(recipe, metadata.phase, manifest);
    const step = Math.max(1, utterances.length / COMPARED);
    const chosen = utterances.filter(
      (_, index) => Math.floor(index / step) !== Math.floor((index - 1) / step),
    );
    return { manifest, utterances: chosen };
  } catch (error) {
    if (path === undefined && error instanceof InputError) return undefined;
    throw error;
  }
}
