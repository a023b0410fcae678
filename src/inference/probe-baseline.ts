/**
 * @file What a linear probe makes of a run's test set: logistic regression on the mean of the frozen features over time,
 * fitted to the training utterances of the run. It shows what the model adds to its speech encoder.
 */

import type { Partition, Utterance } from '../data/corpora/index.js';
import { decodeHalf } from '../engine/tensor/index.js';
import {
  fitLogistic,
  type LabelledRows,
  type LogisticModel,
  logisticProbabilities,
  type Missing,
  type ScoredPrediction,
  standardizer,
} from '../evaluation/index.js';
import { argmax } from '../evaluation/metrics/index.js';
import type { Recipe } from '../systems/index.js';
import { type ComputeOptions, cachedFeatures } from '../training/index.js';

/** Means over time of features by utterance id, shared by folds and seeds. */
export type FeatureMeans = Map<string, Float32Array>;

/** Strengths of the penalty (scikit-learn's C) that are tried, weakest last. */
const STRENGTHS = [1e-3, 1e-2, 1e-1, 1];
/** Parts that the training set is cut into where there is no validation set to choose a strength on. */
const PARTS = 4;
/** Products of rows, channels and classes beyond which a fit takes minutes. */
const MOST_PRODUCTS = 2e8;

/** Whether a run reads frozen features of one layer, on which a probe stands beside it. */
export function hasProbe({ encoder, system }: Recipe): boolean {
  if (system === 'linear-probe' || encoder.train !== 'frozen') return false;
  if ('logits' in encoder && encoder.logits === true) return false;
  const { layers, mix } = encoder;
  return mix === 'mean' || layers === 'last' || (Array.isArray(layers) && layers.length === 1);
}

/**
 * Predictions of a linear probe on the test set of a corpus. Features are standardized over the training set, classes
 * weigh alike; the strength of the penalty is the best by unweighted accuracy on the validation set, or without one over
 * parts of the training set, cut by speakers where they are known. It has no draws.
 * @param means those known so far; new ones are added
 * @returns why there is none where the features of an utterance are not in the cache, a class has no training
 *   utterance, or the fit would take minutes
 */
export async function probePredictions(
  recipe: Recipe,
  { train, dev, test }: Partition,
  fold: number | null,
  compute: ComputeOptions,
  means: FeatureMeans,
): Promise<ScoredPrediction[] | Missing> {
  const { labels } = recipe;
  const missing = [...train, ...dev, ...test].filter(({ id }) => !means.has(id));
  if (missing.length > 0) {
    const features = await cachedFeatures(recipe, missing, compute);
    if (features === undefined) {
      return missingProbe('not all features of its corpus are in the cache (emoq features makes them)');
    }
    for (const { id } of missing) means.set(id, meanOverTime(await features.read({ id })));
  }
  const width = means.get(train[0]!.id)!.length;
  if (train.length * width * labels.length > MOST_PRODUCTS) {
    return missingProbe(`a fit to ${train.length.toLocaleString('en')} utterances would take minutes`);
  }
  const scale = standardizer(rowsOf(train, width));
  const data = (of: readonly Utterance[]): LabelledRows => ({
    rows: scale(rowsOf(of, width).rows),
    width,
    labels: of.map(({ label }) => labels.indexOf(label)),
    classes: labels.length,
  });
  const whole = data(train);
  const unseen = labels.find((_, label) => !whole.labels.includes(label));
  if (unseen !== undefined) return missingProbe(`no training utterance is ${unseen}`);
  const models = path(whole);
  const scores = dev.length > 0 ? accuracies(models, data(dev)) : partAccuracies(train, data);
  const probabilities = logisticProbabilities(models[argmax(scores)]!, data(test));
  return test.map(({ id, label, speaker }, row) => {
    const own = Float32Array.from(probabilities.subarray(row * labels.length, (row + 1) * labels.length));
    return {
      id,
      ...(fold !== null && { fold: String(fold) }),
      ...(speaker !== '' && { speaker }),
      reference: label,
      label: labels[argmax(own)]!,
      probabilities: own,
    };
  });

  function rowsOf(of: readonly Utterance[], columns: number): Pick<LabelledRows, 'rows' | 'width'> {
    const rows = new Float32Array(of.length * columns);
    of.forEach(({ id }, row) => {
      rows.set(means.get(id)!, row * columns);
    });
    return { rows, width: columns };
  }
}

function missingProbe(reason: string): Missing {
  return { kind: 'missing', reason: `no linear probe beside it, because ${reason}` };
}

/** A model for each strength, each begun at the one before. */
function path(data: LabelledRows): LogisticModel[] {
  const models: LogisticModel[] = [];
  for (const strength of STRENGTHS) models.push(fitLogistic(data, strength, models.at(-1)));
  return models;
}

/** Unweighted accuracy of each model. */
function accuracies(models: readonly LogisticModel[], data: LabelledRows): number[] {
  const { labels, classes } = data;
  return models.map((model) => {
    const probabilities = logisticProbabilities(model, data);
    const recalls = [...new Set(labels)].map((label) => {
      const own = [...labels.keys()].filter((row) => labels[row] === label);
      const right = own.filter(
        (row) => argmax(probabilities.subarray(row * classes, (row + 1) * classes)) === label,
      );
      return right.length / own.length;
    });
    return recalls.reduce((sum, recall) => sum + recall, 0) / recalls.length;
  });
}

/** The mean over parts of the training set, each judged by models of the others. */
function partAccuracies(
  train: readonly Utterance[],
  data: (of: readonly Utterance[]) => LabelledRows,
): number[] {
  const speakers = [...new Set(train.map(({ speaker }) => speaker))];
  const partOf = ({ speaker }: Utterance, row: number): number =>
    (speakers.length < PARTS ? row : speakers.indexOf(speaker)) % PARTS;
  const sums = STRENGTHS.map(() => 0);
  for (let part = 0; part < PARTS; part++) {
    const [held, rest] = [
      train.filter((utterance, row) => partOf(utterance, row) === part),
      train.filter((utterance, row) => partOf(utterance, row) !== part),
    ];
    const known = data(rest);
    const isWhole = [...Array(known.classes).keys()].every((label) => known.labels.includes(label));
    if (held.length === 0 || !isWhole) continue;
    accuracies(path(known), data(held)).forEach((accuracy, at) => {
      sums[at]! += accuracy;
    });
  }
  return sums;
}

/** [frames, width] in float16 -> [width]. */
function meanOverTime({
  words,
  frames,
  width,
}: {
  words: Uint16Array;
  frames: number;
  width: number;
}): Float32Array {
  const sums = new Float64Array(width);
  decodeHalf(words).forEach((value, at) => {
    sums[at % width]! += value;
  });
  return Float32Array.from(sums, (sum) => sum / frames);
}
