/**
 * @file The utterances of an experiment: a recipe's view of a manifest, divided into train, dev and test; and their
 * features, from the cache, encoded now where it lacks them.
 */

import type { SpeechEncoder } from '../backbones/index.js';
import { InputError, lineError, pathExists } from '../base/index.js';
import { countByKind, decodeAudio, decodingKey } from '../data/audio/index.js';
import {
  checkAudioFiles,
  type LabelCounts,
  type Manifest,
  type Partition,
  partitionUtterances,
  readManifest,
  requireAudio,
  type SelectedUtterances,
  selectUtterances,
  sessionsOf,
  type Utterance,
  type ValidationDraw,
} from '../data/corpora/index.js';
import {
  extractFeatures,
  type FeatureProgress,
  openFeatureCache,
  readFeatures,
} from '../data/features/index.js';
import type { Device } from '../engine/runtime/index.js';
import { corpusViewOf } from '../recipe/index.js';
import {
  encoderOf,
  type FeatureSource,
  type ModelUtterance,
  type Recipe,
  systemOf,
} from '../systems/index.js';

export interface ExperimentCorpus extends Partition {
  readonly manifest: Manifest;
  /** Utterances whose label is outside the recipe's set, by label. */
  readonly dropped: LabelCounts;
  /** How its validation set was drawn, where it was. */
  readonly draw: ValidationDraw;
  /** What in the corpus is likely not what was meant, one line each. */
  readonly warnings: readonly string[];
}

/** What training listens to: the test set is left alone, whether its audio is there or not. */
export const TRAINING_PARTS = ['train', 'dev'] as const;

/**
 * Reads the recipe's manifest and divides it.
 * @param fold which session to hold out, from 1, where the recipe has folds
 * @param heard the parts whose audio must be there
 * @param draw how a fold's validation set is drawn: as the run was begun that goes on
 * @throws InputError for anything wrong with the manifest, missing audio, a label that neither the recipe nor the
 *   prepared corpus knows, or a fold that the recipe does not have
 */
export async function loadCorpus(
  recipe: Recipe,
  fold: number | undefined,
  heard: readonly (keyof Partition)[],
  draw: ValidationDraw = 'by-fold',
): Promise<ExperimentCorpus> {
  const { manifest, utterances, dropped, warnings } = await selectedUtterances(recipe);
  if (systemOf(recipe).views(recipe).audio)
    requireAudio(manifest, utterances, 'set inputs to text, or prepare the corpus with audio');
  await checkFold(recipe, utterances, fold);
  const partition = partitionUtterances(utterances, {
    fold,
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
    heard.flatMap((part) => partition[part]),
  );
  return { ...partition, manifest, dropped, draw, warnings };
}

/** Seed of what divides a corpus: the validation draw, and splits where the corpus has neither splits nor sessions. */
export function splitSeed({ split_seed, seed }: Pick<Recipe, 'split_seed' | 'seed'>): number {
  return split_seed ?? seed;
}

/** What folds are asked for: to train one or all of them, to train all of each of several recipes, or to score. */
export type FoldUse = 'train' | 'train all' | 'score';

/**
 * @param use decides what the message advises: a recipe can be changed before it is trained, and not after
 * @throws InputError when a cross-validation of the recipe is not one of `folds` folds
 */
export async function checkFolds(recipe: Recipe, folds: number, use: FoldUse): Promise<void> {
  if (recipe.folds === 'none') throw new InputError(await noFolds(recipe, '--folds', use));
  const sessions = sessionsOf((await selectedUtterances(recipe)).utterances);
  if (sessions.length === folds) return;
  if (sessions.length < 2) {
    throw new InputError(
      `--folds ${folds}: ${recipe.manifest} has ${sessions.length === 0 ? 'no sessions' : 'one session'}, and each fold holds out one of several; fill its column "session"`,
    );
  }
  const one = use === 'train all' ? '' : ', or --fold N for one of them';
  throw new InputError(
    `--folds ${folds}: ${recipe.manifest} has ${sessions.length} sessions (${sessions.join(', ')}), each of which is a fold; say --folds ${sessions.length}${one}`,
  );
}

/** How many folds a cross-validation of a recipe has. */
export async function countFolds(recipe: Recipe): Promise<number> {
  return sessionsOf((await selectedUtterances(recipe)).utterances).length;
}

/** Advises to make folds of sessions only where the recipe can still be changed and the corpus has them. */
async function noFolds(recipe: Recipe, option: string, use: FoldUse): Promise<string> {
  const what = `recipe ${recipe.name} has no folds; leave out ${option}`;
  if (use === 'score') return what;
  const sessions = await selectedUtterances(recipe).then(
    ({ utterances }) => sessionsOf(utterances),
    (error: unknown) => {
      if (error instanceof InputError) return [];
      throw error;
    },
  );
  return sessions.length < 2 ? what : `${what}, or --set folds=session`;
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

/** A label outside the recipe's set is left out where preparation counted it, and a mistake where it did not. */
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
  if (recipe.folds === 'session' && fold === undefined) {
    const count = sessionsOf(utterances).length;
    throw new InputError(
      `recipe ${recipe.name} is cross-validated: say --fold N (1 to ${count}) or --folds ${count}`,
    );
  }
}

/** Where and with what a command computes. */
export interface ComputeOptions {
  readonly device: Device;
  /** Threads inside one operator; absent: one for each physical core. */
  readonly threads?: number;
  /** Root of the feature cache. */
  readonly cacheDir: string;
  /** Told when the input has passed its checks and computing begins; may be told again. */
  readonly onBegin?: () => void;
  readonly onFeatures?: (progress: FeatureProgress) => void;
  /** Told what is to be known of the sound of the clips, in one line, where there is something. */
  readonly onAudioNotes?: (text: string) => void;
  /** Told what the user should know of a run, or of backbones that are opened. */
  readonly onNote?: (text: string) => void;
  readonly onWarning?: (text: string) => void;
  readonly stop?: AbortSignal;
}

/** StoredFeatures of all the utterances that were asked for. */
export interface ExtractedFeatures extends FeatureSource {
  /** How many of the utterances are longer than the recipe's `max_audio_sec`, and cut to it. */
  readonly cropped: number;
}

/** No features at all, for experiments without audio. */
const NO_FEATURES: ExtractedFeatures = {
  cropped: 0,
  frames: () => 0,
  read: async ({ id }) => {
    throw new Error(`no features were asked for, so ${id} has none`);
  },
};

/**
 * Makes sure that the cache holds the features of all utterances. The encoder is loaded only when one is missing.
 * @throws InputError for audio that cannot be read, naming it
 */
export async function openFeatures(
  recipe: Recipe,
  utterances: readonly (Pick<ModelUtterance, 'id' | 'path'> & { readonly durationSec?: number })[],
  compute: ComputeOptions,
): Promise<ExtractedFeatures> {
  if (utterances.length === 0) return NO_FEATURES;
  const source = await encoderOf(recipe);
  const cache = await openFeatureCache(compute.cacheDir, source.files);
  const { device, threads, onFeatures, stop } = compute;
  if (source.warning !== undefined) compute.onWarning?.(source.warning);
  let encoder: Promise<SpeechEncoder> | undefined;
  try {
    const { entries, cropped, notes } = await extractFeatures({
      cache,
      items: utterances,
      decode: (path, maxDurationSec) => decodeAudio(path, { maxDurationSec }),
      decodingKey,
      encode: async (waveforms) => {
        encoder ??= source.open({ device, threads });
        return (await encoder).encode(waveforms);
      },
      paddedSamples: source.paddedSamples,
      maxAudioSec: recipe.max_audio_sec,
      ...(onFeatures && { onProgress: onFeatures }),
      ...(stop && { signal: stop }),
    });
    const counts = countByKind(notes.map(({ id, kind }) => ({ kind, name: id })));
    if (counts !== '') compute.onAudioNotes?.(`audio of ${entries.size} clips: ${counts}`);
    return {
      cropped,
      frames: (id) => entries.get(id)!.frames,
      read: ({ id }) => readFeatures(entries.get(id)!.path),
    };
  } finally {
    await encoder?.then((open) => open.close()).catch(() => undefined);
  }
}
