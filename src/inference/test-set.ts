/**
 * @file The utterances that a run is evaluated on: its own test set, or another corpus with the classes that both
 * have.
 */

import { InputError, InterruptedError } from '../base/index.js';
import type { Alter } from '../data/audio/index.js';
import {
  checkAudioFiles,
  dialogueOf,
  type HistoryTurn,
  hasDialogues,
  historiesOf,
  type LabelCounts,
  labelCounts,
  type Manifest,
  type Partition,
  sharedAudio,
  type Utterance,
  withoutTags,
  withTextOf,
} from '../data/corpora/index.js';
import { mostFrequent, type ScoredPrediction } from '../evaluation/index.js';
import { argmax } from '../evaluation/metrics/index.js';
import { type Example, type Recipe, systemOf } from '../systems/index.js';
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
import {
  manifestChange,
  type RunFolder,
  type RunMetadata,
  readMetadata,
  runRecipe,
} from '../training/runs/index.js';
import { type FeatureMeans, hasProbe, probePredictions } from './probe-baseline.js';
import { type OpenedModel, openTrainedModel, type TrainedModel } from './trained-run.js';

export interface TestSetPredictions {
  readonly labels: readonly string[];
  readonly predictions: readonly ScoredPrediction[];
  /** The same utterances at each level of noise that was asked for. */
  readonly underNoise: readonly (readonly ScoredPrediction[])[];
  /** e'_q [d_h] of each utterance; undefined if the model has no Former. */
  readonly embeddings: readonly (Float32Array | undefined)[];
  readonly metadata: TrainedModel['metadata'];
  readonly recipe: TrainedModel['recipe'];
  /** Number of training utterances per label, in the order of `labels`; undefined if not known. */
  readonly trainingCounts: readonly number[] | undefined;
  /** What a linear probe of the same features makes of the test set; absent if none was asked for or possible. */
  readonly probe?: readonly ScoredPrediction[] | undefined;
  /** Why there is none, where its features are there. */
  readonly probeMissing?: string;
  /** Notes on cut inputs of the test set. */
  readonly cut: readonly string[];
}

/** A level of noise at which utterances are predicted in addition. */
export interface NoiseLevel {
  readonly snrDb: number;
  readonly alter: Alter;
}

/** What is predicted besides the utterances as they are. */
interface PredictionOptions {
  readonly noise?: readonly NoiseLevel[] | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
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
      ...ofRun(trained),
      ...options,
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

/** What messages call a model, and the fold that its predictions belong to. */
interface PredictionSource {
  readonly source: string;
  readonly fold: number | null;
}

const ofRun = ({ folder, metadata }: TrainedModel): PredictionSource => ({
  source: folder.dir,
  fold: metadata.fold,
});

/** What a model says about utterances. */
type Predicted = Pick<TestSetPredictions, 'predictions' | 'underNoise' | 'embeddings' | 'cut'>;

/**
 * Predicts labelled utterances, in order, and the same utterances under noise.
 * @throws InterruptedError when `compute.stop` is aborted
 * @throws ComputationError when the model's output for an utterance is not a distribution over the labels
 */
export async function predictUtterances(
  { recipe, phase, infer }: OpenedModel,
  utterances: readonly Utterance[],
  compute: ComputeOptions,
  { source, fold, noise = [], onProgress }: PredictionSource & PredictionOptions,
): Promise<Predicted> {
  const examples = encodeAll(phase, utterances);
  const noisyId = (id: string, snrDb: number): string => `${id}\u00a0(SNR ${snrDb} dB)`;
  const noisy = noise.flatMap(({ snrDb, alter }) =>
    utterances.map((utterance) => ({ ...utterance, id: noisyId(utterance.id, snrDb), alter })),
  );
  const features = await phaseFeatures(recipe, phase, [...utterances, ...noisy], compute);
  const all = examples.length * (1 + noise.length);
  onProgress?.(0, all);
  const { stop } = compute;
  const inferred = async (asRead: readonly Example[], before: number) => {
    const onDone = onProgress && ((done: number) => onProgress(before + done, all));
    const inferences = await infer(asRead, features, { onProgress: onDone, stop }).catch((error: unknown) => {
      throw stop?.aborted
        ? new InterruptedError('interrupted before the end; no results were written')
        : error;
    });
    return requireInferences(
      examples,
      inferences,
      `the weights of ${source}, or of its backbones, are damaged`,
    );
  };
  const scored = ({ id, label }: Example, index: number, probabilities: Float32Array): ScoredPrediction => {
    const { speaker, dialogue = dialogueOf(id) ?? '' } = utterances[index]!;
    return {
      id,
      ...(fold !== null && { fold: String(fold) }),
      ...(speaker !== '' && { speaker }),
      ...(dialogue !== '' && { dialogue }),
      reference: recipe.labels[label]!,
      label: recipe.labels[argmax(probabilities)]!,
      probabilities,
    };
  };
  const whole = await inferred(examples, 0);
  const underNoise: ScoredPrediction[][] = [];
  for (const [level, { snrDb }] of noise.entries()) {
    const asRead = examples.map((example) => ({ ...example, id: noisyId(example.id, snrDb) }));
    const heard = await inferred(asRead, examples.length * (1 + level));
    underNoise.push(examples.map((example, index) => scored(example, index, heard[index]!.probabilities)));
  }
  const lengths = { clips: features.cropped, texts: countCutTexts(examples), total: examples.length };
  return {
    predictions: examples.map((example, index) => scored(example, index, whole[index]!.probabilities)),
    underNoise,
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
  const history = systemOf(recipe).history?.(recipe) ?? 0;
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
  { classes, utterances }: OtherCorpus,
  compute: ComputeOptions,
  options: PredictionOptions = {},
): Promise<TestSetPredictions> {
  const trained = await openTrainedModel(folder, compute);
  try {
    const { recipe, metadata } = trained;
    const predicted = await predictCorpus(trained, { classes, utterances }, compute, {
      ...ofRun(trained),
      ...options,
    });
    const own = await seenUtterances(recipe, metadata);
    return {
      ...{ labels: classes, metadata, recipe, ...predicted },
      trainingCounts: own && labelCounts(own.train, classes),
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
  options: PredictionSource & PredictionOptions,
): Promise<Predicted> {
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
