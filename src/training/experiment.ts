/** @file The utterances of an experiment, their features, and a phase of its recipe opened on them. */

import { InputError, lineError, pathExists } from '../base/index.js';
import { countByKind, decodeAudio, decodingKey } from '../data/audio/index.js';
import {
  checkAudioFiles,
  type HeldOutGroups,
  heldOutGroups,
  type LabelCounts,
  listedGroups,
  type Manifest,
  type Partition,
  partitionUtterances,
  readManifest,
  requireAudio,
  type SelectedUtterances,
  selectUtterances,
  type Utterance,
  type ValidationDraw,
} from '../data/corpora/index.js';
import {
  extractFeatures,
  type FeatureItem,
  findFeatures,
  openFeatureCache,
  readFeatures,
} from '../data/features/index.js';
import { corpusViewOf, foldingOf } from '../recipe/index.js';
import {
  type Example,
  encoderOf,
  type FeatureSource,
  type ModelUtterance,
  type Phase,
  type Prompt,
  type Recipe,
  requirePhase,
  statisticsSample,
  systemOf,
  type TextLimit,
  trainingStart,
} from '../systems/index.js';
import { openAugmentation, variantItems } from './augmentation.js';
import type { ComputeOptions } from './compute-options.js';
import { encoderPool } from './encoder-pool.js';

export interface ExperimentCorpus extends Partition {
  readonly manifest: Manifest;
  /** Utterances excluded because their label is not in the recipe's set, by label. */
  readonly dropped: LabelCounts;
  /** How the validation set was drawn, if it was. */
  readonly draw: ValidationDraw;
  /** Likely mistakes in the corpus, one line each. */
  readonly warnings: readonly string[];
}

/** The parts whose audio training reads. The audio of the test set may be missing. */
export const TRAINING_PARTS = ['train', 'dev'] as const;

/**
 * Reads the recipe's manifest and splits it.
 * @param fold which one of the recipe's folds to hold out, from 1, if it has any
 * @param audioParts the parts whose audio must be present
 * @param draw how a fold's validation set is drawn; a resumed run keeps its own
 * @throws InputError for anything wrong with the manifest, missing audio, a label that neither the recipe nor the
 *   prepared corpus knows, or a fold that the recipe does not have
 */
export async function loadCorpus(
  recipe: Recipe,
  fold: number | undefined,
  audioParts: readonly (keyof Partition)[],
  draw: ValidationDraw = 'by-fold',
): Promise<ExperimentCorpus> {
  const { manifest, utterances, dropped, warnings } = await selectedUtterances(recipe);
  if (systemOf(recipe).views(recipe).audio)
    requireAudio(manifest, utterances, 'set inputs to text, or prepare the corpus with audio');
  await checkFold(recipe, utterances, fold);
  const partition = partitionUtterances(utterances, {
    fold,
    folding: foldingOf(recipe),
    validation:
      recipe.validation === 'share'
        ? 'stratified'
        : recipe.validation === 'split'
          ? 'none'
          : recipe.validation,
    validationShare: recipe.validation_share,
    seed: splitSeed(recipe),
    draw,
  });
  await checkAudioFiles(
    manifest,
    audioParts.flatMap((part) => partition[part]),
  );
  return { ...partition, manifest, dropped, draw, warnings };
}

/**
 * Seed of the random splits: the validation draw, and train, dev and test if the corpus has neither splits nor
 * sessions.
 */
export function splitSeed({ split_seed, seed }: Pick<Recipe, 'split_seed' | 'seed'>): number {
  return split_seed ?? seed;
}

/** What the folds of a recipe hold out. @throws InputError if the corpus does not name the speakers to hold out */
function foldGroups(recipe: Recipe, utterances: readonly Utterance[]): HeldOutGroups {
  const { rule, seed } = foldingOf(recipe) ?? {};
  return heldOutGroups(utterances, rule, seed);
}

/** What folds are requested for: to train one or all of them, to train all folds of several recipes, or to evaluate. */
export type FoldUse = 'train' | 'train all' | 'score';

/**
 * @param use determines the advice in the message: a recipe can be changed before training but not afterwards
 * @throws InputError when a cross-validation of the recipe does not have `folds` folds
 */
export async function checkFolds(recipe: Recipe, folds: number, use: FoldUse): Promise<void> {
  if (recipe.folds === 'none') throw new InputError(await noFolds(recipe, '--folds', use));
  const groups = foldGroups(recipe, (await selectedUtterances(recipe)).utterances);
  const { unit, names } = groups;
  if (names.length === folds) return;
  if (names.length < 2) {
    throw new InputError(
      `--folds ${folds}: ${recipe.manifest} has ${names.length === 0 ? `no ${unit}s` : `one ${unit}`}, but each fold holds out one of several; fill in its column "${unit}"`,
    );
  }
  const one = use === 'train all' ? '' : ', or --fold N for one of them';
  const instead = unit === 'group' && use !== 'score' ? `, or --set folds=speakers:${folds}` : '';
  const found =
    unit === 'group'
      ? `recipe ${recipe.name} makes ${names.length} groups of speakers`
      : `${recipe.manifest} has ${names.length} ${unit}s (${listedGroups(groups)})`;
  throw new InputError(
    `--folds ${folds}: ${found}, each of which is a fold; say --folds ${names.length}${one}${instead}`,
  );
}

/** Number of folds in a cross-validation of a recipe. */
export async function countFolds(recipe: Recipe): Promise<number> {
  return foldGroups(recipe, (await selectedUtterances(recipe)).utterances).names.length;
}

/** Suggests folds only if the recipe can still be changed and the corpus has sessions, or else speakers. */
async function noFolds(recipe: Recipe, option: string, use: FoldUse): Promise<string> {
  const what = `recipe ${recipe.name} has no folds; leave out ${option}`;
  if (use === 'score') return what;
  const utterances = await selectedUtterances(recipe).then(
    (selected) => selected.utterances,
    (error: unknown) => {
      if (error instanceof InputError) return [];
      throw error;
    },
  );
  if (heldOutGroups(utterances).names.length >= 2) return `${what}, or --set folds=session`;
  const isNamed = utterances.every(({ speaker }) => speaker !== '');
  return isNamed && heldOutGroups(utterances, 'speaker').names.length >= 2
    ? `${what}, or keep speakers apart with --set folds=speaker or --set folds=speakers:N`
    : what;
}

async function selectedUtterances(recipe: Recipe): Promise<SelectedUtterances & { manifest: Manifest }> {
  if (!(await pathExists(recipe.manifest))) {
    throw new InputError(
      `manifest ${recipe.manifest} does not exist; prepare the corpus first (emoq prepare-...), or name another with --manifest`,
    );
  }
  const manifest = await readManifest(recipe.manifest);
  const selected = selectUtterances(manifest, corpusViewOf(recipe));
  checkLabels(recipe, manifest);
  return { ...selected, manifest };
}

/** A label outside the recipe's set is dropped if the prepared corpus lists it, and is an error otherwise. */
function checkLabels(recipe: Recipe, { csvPath, info, lineOf, prepared, utterances }: Manifest): void {
  const isKnown = (label: string): boolean =>
    recipe.labels.includes(Object.hasOwn(recipe.label_map, label) ? recipe.label_map[label]! : label) ||
    (prepared && Object.hasOwn(info.counts.total, label));
  const stray = utterances.find(({ label }) => !isKnown(label));
  if (stray === undefined) return;
  throw lineError(
    csvPath,
    lineOf.get(stray.id),
    `label "${stray.label}" is not one of ${recipe.labels.join(', ')}; correct it, or add it to the labels or the label_map of the recipe`,
  );
}

async function checkFold(
  recipe: Recipe,
  utterances: readonly Utterance[],
  fold: number | undefined,
): Promise<void> {
  if (recipe.folds === 'none' && fold !== undefined) {
    throw new InputError(await noFolds(recipe, '--fold', 'train'));
  }
  if (recipe.folds !== 'none' && fold === undefined) {
    const count = foldGroups(recipe, utterances).names.length;
    throw new InputError(
      `recipe ${recipe.name} is cross-validated: say --fold N (1 to ${count}) or --folds ${count}`,
    );
  }
}

/** Stored features of all requested utterances. */
export interface ExtractedFeatures extends FeatureSource {
  /** Number of utterances cut to the recipe's `max_audio_sec`. */
  readonly cropped: number;
}

/** No features, for experiments without audio. */
const NO_FEATURES: ExtractedFeatures = {
  cropped: 0,
  frames: () => 0,
  read: async ({ id }) => {
    throw new Error(`no features were asked for, so ${id} has none`);
  },
};

/**
 * Ensures that the cache holds the features of all clips. Loads the encoder only if one is missing.
 * @throws InputError for audio that cannot be read, naming it
 */
export async function openFeatures(
  recipe: Recipe,
  clips: readonly FeatureItem[],
  compute: ComputeOptions,
): Promise<ExtractedFeatures> {
  if (clips.length === 0) return NO_FEATURES;
  const source = await encoderOf(recipe);
  const { onFeatures, stop } = compute;
  const encoder = encoderPool(source, compute);
  const cache = await openFeatureCache(compute.cacheDir, source.files, {
    precision: encoder.precision,
    selection: source.selection,
  });
  if (source.warning !== undefined) compute.onWarning?.(source.warning);
  try {
    const { entries, cropped, notes } = await extractFeatures({
      cache,
      items: clips,
      decode: (path, maxDurationSec) => decodeAudio(path, { maxDurationSec }),
      decodingKey,
      encode: encoder.encode,
      lanes: encoder.lanes,
      paddedSamples: encoder.paddedSamples,
      maxAudioSec: recipe.max_audio_sec,
      ...(onFeatures && { onProgress: onFeatures }),
      ...(stop && { signal: stop }),
    });
    const counts = countByKind(notes.map(({ id, kind }) => ({ kind, name: id })));
    const own = clips.filter(({ alter }) => alter === undefined).length;
    if (counts !== '') compute.onAudioNotes?.(`audio of ${own} clips: ${counts}`);
    return {
      cropped,
      frames: (id) => entries.get(id)!.frames,
      read: ({ id }) => readFeatures(entries.get(id)!.path),
    };
  } finally {
    await encoder.close();
  }
}

/**
 * Stored features of clips that are all in the cache; nothing is encoded.
 * @returns undefined if one is not there, or its recording cannot be read any more
 */
export async function cachedFeatures(
  recipe: Recipe,
  clips: readonly FeatureItem[],
  compute: ComputeOptions,
): Promise<FeatureSource | undefined> {
  const source = await encoderOf(recipe);
  const { stop, cacheDir } = compute;
  const encoder = encoderPool(source, compute);
  try {
    const { precision } = encoder;
    const cache = await openFeatureCache(cacheDir, source.files, { precision, selection: source.selection });
    const found = await findFeatures({
      ...{ cache, items: clips, decodingKey, maxAudioSec: recipe.max_audio_sec },
      ...(stop && { signal: stop }),
    });
    return (
      found && {
        frames: (id) => found.get(id)!.frames,
        read: ({ id }) => readFeatures(found.get(id)!.path),
      }
    );
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  } finally {
    await encoder.close();
  }
}

/**
 * Fills the feature cache with clips of a recipe's corpus, whatever their part.
 * @param isOwn which of them, by their place in the manifest; absent: all
 * @returns how many of how many clips, and how many variants of clips that a run may train on
 * @throws InputError for audio that is missing or cannot be read, naming it
 */
export async function encodeCorpus(
  recipe: Recipe,
  compute: ComputeOptions,
  isOwn: (index: number) => boolean = () => true,
): Promise<{ readonly clips: number; readonly total: number; readonly variants: number }> {
  const { manifest, utterances } = await selectedUtterances(recipe);
  const own = utterances.filter((_, index) => isOwn(index));
  await checkAudioFiles(manifest, own);
  const augmentation = await openAugmentation(recipe, compute.cacheDir, compute.stop);
  const trained = augmentation && (await trainedIds(recipe, utterances));
  const variants = variantItems(
    augmentation,
    own.filter(({ id }) => trained?.has(id)),
  );
  compute.onBegin?.();
  await openFeatures(recipe, [...own, ...variants], compute);
  return { clips: own.length, total: utterances.length, variants: variants.length };
}

/** Ids of the utterances that some run of a recipe trains on: in a cross-validation, all of them. */
async function trainedIds(recipe: Recipe, utterances: readonly Utterance[]): Promise<ReadonlySet<string>> {
  const trained = recipe.folds === 'none' ? (await loadCorpus(recipe, undefined, [])).train : utterances;
  return new Set(trained.map(({ id }) => id));
}

/** A phase on its corpus. */
export interface Experiment {
  readonly recipe: Recipe;
  readonly phase: Phase;
  readonly corpus: ExperimentCorpus;
}

/**
 * Loads the recipe's corpus and opens the phase for it. `draw` and `prompt` are those of a resumed run.
 * @throws InputError for anything wrong with recipe, corpus or backbones
 */
export async function openExperiment(
  recipe: Recipe,
  name: string,
  fold: number | undefined,
  draw?: ValidationDraw,
  prompt?: Prompt,
): Promise<Experiment> {
  const system = systemOf(recipe);
  requirePhase(recipe, name);
  const start = trainingStart(recipe, name);
  const audioParts = system.needs(recipe, name, start).audio ? TRAINING_PARTS : [];
  const corpus = await loadCorpus(recipe, fold, audioParts, draw);
  const phase = await system.open(recipe, name, { weights: 'present', start, corpus, prompt });
  return { recipe, phase, corpus };
}

/** Encodes the utterances as examples. @throws InputError for one that the model cannot read, naming it */
export function encodeAll(phase: Phase, utterances: readonly ModelUtterance[]): Example[] {
  return utterances.map((utterance) => {
    const encoded = phase.encode!(utterance);
    if (encoded.kind === 'example') return encoded.example;
    throw new InputError(`utterance ${utterance.id}: ${encoded.problem}`);
  });
}

/** Stored features of some clips, if the phase reads any; extracts those missing from the cache. */
export function phaseFeatures(
  recipe: Recipe,
  phase: Phase,
  clips: readonly FeatureItem[],
  compute: ComputeOptions,
): Promise<ExtractedFeatures> {
  return openFeatures(recipe, phase.needs.audio ? clips : [], compute);
}

/**
 * Features as the encoder gives them before any of its layers is trained, for initial values that depend on them. Those
 * of trained layers are extracted when the first is read, for the utterances that initial values are computed from.
 * @param extracted those that the phase reads
 */
export function untrainedFeatures(
  recipe: Recipe,
  phase: Phase,
  utterances: readonly ModelUtterance[],
  extracted: FeatureSource,
  compute: ComputeOptions,
): FeatureSource {
  if (recipe.encoder.train === 'frozen') return extracted;
  const untrained: Recipe = { ...recipe, encoder: { ...recipe.encoder, train: 'frozen' } };
  const sample = statisticsSample(utterances, recipe.seed);
  let opened: Promise<FeatureSource> | undefined;
  return {
    frames: extracted.frames,
    async read(utterance) {
      opened ??= phaseFeatures(untrained, phase, sample, compute);
      return (await opened).read(utterance);
    },
  };
}

/** Whether part of the transcript is cut. */
export function isCutText({ cutTokens = 0 }: Example): boolean {
  return cutTokens > 0;
}

export function countCutTexts(examples: readonly Example[]): number {
  return examples.filter(isCutText).length;
}

/** Notes on cut inputs: a line for clips and one for transcripts, if any are cut. */
export function cutNotes(
  { max_audio_sec }: Pick<Recipe, 'max_audio_sec'>,
  { textLimit }: Pick<Phase, 'textLimit'>,
  { clips, texts, total }: { readonly clips: number; readonly texts: number; readonly total: number },
): string[] {
  return [
    ...(clips > 0 ? [`cut to ${max_audio_sec} s (max_audio_sec): ${clips} of ${total} clips`] : []),
    ...(texts > 0 && textLimit
      ? [`${cutTo(textLimit)} (${textLimit.cause}): ${texts} of ${total} transcripts`]
      : []),
  ];
}

/** "cut to 128 tokens for the Former" */
export function cutTo({ tokens, reader }: TextLimit): string {
  return `cut to ${tokens} tokens for ${reader}`;
}
