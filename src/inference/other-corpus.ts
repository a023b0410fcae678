/** @file Another corpus than the one a run was trained on, with the classes that both have. */

import { InputError } from '../base/index.js';
import {
  checkAudioFiles,
  dialogueOf,
  type HistoryTurn,
  hasDialogues,
  historiesOf,
  type LabelCounts,
  labelCounts,
  type Manifest,
  sharedAudio,
  type Utterance,
  withoutTags,
  withTextOf,
} from '../data/corpora/index.js';
import type { ScoredPrediction } from '../evaluation/index.js';
import { argmax } from '../evaluation/metrics/index.js';
import { type Recipe, systemOf, turnsOf } from '../systems/index.js';
import type { ComputeOptions } from '../training/index.js';
import type { RunFolder, RunMetadata } from '../training/runs/index.js';
import { seenUtterances, type TestSetPredictions } from './test-set.js';
import { type OpenedModel, openTrainedModel } from './trained-run.js';
import {
  type NoisyCorpus,
  type PredictedSource,
  type PredictionOptions,
  predictUtterances,
  sourceOf,
  type UtterancePredictions,
} from './utterance-predictions.js';

/** The part of another corpus that a run can be scored on. */
export interface OtherCorpus {
  readonly manifest: Manifest;
  /** The test split, or the whole corpus if it has no splits. */
  readonly part: 'test' | 'all';
  /** Classes of the run that the corpus has, in the run's order. */
  readonly classes: readonly string[];
  /** Classes of the run that the corpus does not have. */
  readonly absent: readonly string[];
  /** Label of the corpus -> class of the run, for labels that occur under a different name. */
  readonly labelMap: Readonly<Record<string, string>>;
  /** Utterances of that part with one of these classes; their labels are the run's. */
  readonly utterances: readonly Utterance[];
  /** Utterances of that part with other labels, by label. */
  readonly leftOut: LabelCounts;
}

/** Scoring needs at least two classes. */
const LEAST_CLASSES = 2;

/**
 * Selects the part of a corpus that a run of a phase of `recipe` can be scored on. The recipe's own label map applies
 * to labels not in `labelMap`, and its `strip_tags` applies too. Its `id_pattern` does not, because it is about ids of
 * its own corpus.
 * @throws InputError for a map that names no label of the corpus, or leads to no class of the run; fewer than two
 *   classes in common; nothing to score; missing audio, if the run reads audio
 */
export async function otherCorpus(
  recipe: Recipe,
  phase: string,
  manifest: Manifest,
  labelMap: Readonly<Record<string, string>> = {},
): Promise<OtherCorpus> {
  const own = new Set(manifest.utterances.map(({ label }) => label));
  for (const [from, to] of Object.entries(labelMap)) {
    if (!own.has(from)) {
      throw new InputError(
        `label map: ${manifest.csvPath} has no label "${from}"; a pair is CORPUS_LABEL=RUN_LABEL, and its labels are ${[...own].join(', ')}`,
      );
    }
    if (!recipe.labels.includes(to)) {
      throw new InputError(
        `label map: ${from} becomes "${to}", which is not a class of the run (${recipe.labels.join(', ')})`,
      );
    }
  }
  const map = new Map([...Object.entries(recipe.label_map), ...Object.entries(labelMap)]);
  const classOf = ({ label }: Utterance): string => map.get(label) ?? label;
  const occurring = new Set(manifest.utterances.map(classOf));
  const classes = recipe.labels.filter((label) => occurring.has(label));
  if (classes.length < LEAST_CLASSES) {
    throw new InputError(
      `${manifest.csvPath} and the run have ${classes.length === 0 ? 'no class' : `one class (${classes[0]})`} in common: its labels are ${[...own].join(', ')}, the run's ${recipe.labels.join(', ')}; say which is which with --label-map`,
    );
  }
  const hasSplits = manifest.utterances.some(({ split }) => split !== '');
  const read = withTextOf(manifest, recipe.text);
  const part = hasSplits ? read.filter(({ split }) => split === 'test') : read;
  const leftOut: LabelCounts = {};
  const utterances: Utterance[] = [];
  const histories = historiesOfOther(recipe, manifest, read);
  for (const utterance of part) {
    const label = classOf(utterance);
    const text = recipe.strip_tags ? withoutTags(utterance.text) : utterance.text; // as in training
    const history = histories && { history: histories.get(utterance.id)! };
    if (classes.includes(label)) utterances.push({ ...utterance, label, text, ...history });
    else leftOut[utterance.label] = (leftOut[utterance.label] ?? 0) + 1;
  }
  if (utterances.length === 0) {
    const where =
      part.length === 0 ? 'has splits but no utterance in "test"' : 'has no test utterance with one of them';
    throw new InputError(`${manifest.csvPath} ${where}; there is nothing to score`);
  }
  if (systemOf(recipe).needs(recipe, phase, 'checkpoint').audio) await checkAudioFiles(manifest, utterances);
  const renamed = [...map].filter(([from, to]) => own.has(from) && from !== to);
  return {
    manifest,
    part: hasSplits ? 'test' : 'all',
    classes,
    absent: recipe.labels.filter((label) => !classes.includes(label)),
    labelMap: Object.fromEntries(renamed),
    utterances,
    leftOut,
  };
}

/**
 * What was said before the utterances of another corpus; undefined if the model reads none of it, or the corpus has no
 * dialogues, so that every utterance is judged alone.
 * @throws InputError for a corpus of dialogues whose manifest does not say which utterances are of one
 */
function historiesOfOther(
  recipe: Recipe,
  manifest: Manifest,
  utterances: readonly Utterance[],
): ReadonlyMap<string, readonly HistoryTurn[]> | undefined {
  const history = turnsOf(recipe);
  const isOfDialogues =
    hasDialogues(manifest) || manifest.utterances.some(({ id }) => dialogueOf(id) !== undefined);
  if (history === 0 || !isOfDialogues) return undefined;
  return historiesOf(manifest, utterances, { history, stripTags: recipe.strip_tags, text: recipe.text });
}

/**
 * Predicts the utterances of another corpus with a run.
 * @throws InterruptedError when `compute.stop` is aborted
 * @throws InputError when the run has other classes than those the corpus was opened for
 */
export async function predictOtherCorpus(
  folder: RunFolder,
  corpus: OtherCorpus,
  compute: ComputeOptions,
  options: PredictionOptions = {},
): Promise<TestSetPredictions> {
  const trained = await openTrainedModel(folder, compute);
  try {
    const { recipe, metadata } = trained;
    const predicted = await predictCorpus(trained, corpus, compute, {
      ...sourceOf(trained),
      ...options,
      noise: options.noise && { ...options.noise, manifest: corpus.manifest },
    });
    const own = await seenUtterances(recipe, metadata);
    return {
      ...{ labels: corpus.classes, metadata, recipe, ...predicted },
      trainingCounts: own && labelCounts(own.train, corpus.classes),
    };
  } finally {
    await trained.close();
  }
}

/**
 * Predicts the utterances of a corpus over the classes that it shares with a model.
 * @throws InputError when the model has other classes than those the corpus was opened for
 */
export async function predictCorpus(
  model: OpenedModel,
  { classes, utterances }: Pick<OtherCorpus, 'classes' | 'utterances'>,
  compute: ComputeOptions,
  options: PredictedSource & PredictionOptions<NoisyCorpus>,
): Promise<UtterancePredictions> {
  const { labels } = model.recipe;
  const indices = classes.map((label) => labels.indexOf(label));
  if (indices.includes(-1)) {
    throw new InputError(`${options.source} has other labels (${labels.join(', ')}) than the other runs`);
  }
  const predicted = await predictUtterances(model, utterances, compute, options);
  const { predictions, underNoise } = predicted;
  const shared = (rows: readonly ScoredPrediction[]) => rows.map((row) => restricted(row, classes, indices));
  return { ...predicted, predictions: shared(predictions), underNoise: underNoise.map(shared) };
}

/** A prediction restricted to some of the classes. If all of them have probability 0, there is no answer. */
function restricted(
  row: ScoredPrediction,
  classes: readonly string[],
  indices: readonly number[],
): ScoredPrediction {
  const kept = indices.map((index) => row.probabilities![index]!);
  const total = kept.reduce((sum, value) => sum + value, 0);
  if (!(total > 0)) return { ...row, label: undefined, probabilities: undefined };
  const probabilities = kept.map((value) => value / total);
  return { ...row, label: classes[argmax(probabilities)]!, probabilities };
}

/** What a corpus has in common with the training and validation utterances of a run. */
export interface TrainingOverlap {
  /** Ids of utterances that the run has seen with the same id and transcript: the same corpus, prepared twice. */
  readonly ids: readonly string[];
  /** Ids of utterances with audio that the run has seen, compared byte by byte. */
  readonly audio: readonly string[];
}

/**
 * Finds utterances that a run has seen in training or validation.
 * @returns undefined if the utterances it has seen are no longer known, because its manifest has changed or is missing
 */
export async function trainingOverlap(
  recipe: Recipe,
  metadata: RunMetadata,
  { utterances }: OtherCorpus,
): Promise<TrainingOverlap | undefined> {
  const own = await seenUtterances(recipe, metadata);
  if (own === undefined) return undefined;
  const seen = [...own.train, ...own.dev];
  // Numeric ids coincide between unrelated corpora.
  const nameOf = ({ id, text }: Utterance): string => `${id}\n${text.trim()}`;
  const names = new Set(seen.map(nameOf));
  const { contentOf } = await sharedAudio([...seen, ...utterances]);
  const contentOfUtterance = ({ path }: Utterance): string => contentOf.get(path) ?? path;
  const seenContent = new Set(seen.map(contentOfUtterance));
  const idsOf = (found: readonly Utterance[]): string[] => found.map(({ id }) => id);
  return {
    ids: idsOf(utterances.filter((utterance) => names.has(nameOf(utterance)))),
    audio: idsOf(utterances.filter((utterance) => seenContent.has(contentOfUtterance(utterance)))),
  };
}
