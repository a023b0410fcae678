/** @file The utterances of an experiment, their features, and a phase of its recipe opened on them. */

import type { SpeechEncoder } from '../backbones/index.js';
import { createPool, InputError, lineError, OutOfMemoryError, pathExists } from '../base/index.js';
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
import { type Device, deviceName } from '../engine/runtime/index.js';
import { corpusViewOf } from '../recipe/index.js';
import {
  type Example,
  encoderOf,
  encoderPrecision,
  type FeatureSource,
  type ModelUtterance,
  type Phase,
  type PrecisionChoice,
  type Prompt,
  type Recipe,
  requirePhase,
  systemOf,
  type TextLimit,
  trainingStart,
} from '../systems/index.js';

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
 * @param fold which session to hold out, from 1, if the recipe has folds
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

/** What folds are requested for: to train one or all of them, to train all folds of several recipes, or to evaluate. */
export type FoldUse = 'train' | 'train all' | 'score';

/**
 * @param use determines the advice in the message: a recipe can be changed before training but not afterwards
 * @throws InputError when a cross-validation of the recipe does not have `folds` folds
 */
export async function checkFolds(recipe: Recipe, folds: number, use: FoldUse): Promise<void> {
  if (recipe.folds === 'none') throw new InputError(await noFolds(recipe, '--folds', use));
  const sessions = sessionsOf((await selectedUtterances(recipe)).utterances);
  if (sessions.length === folds) return;
  if (sessions.length < 2) {
    throw new InputError(
      `--folds ${folds}: ${recipe.manifest} has ${sessions.length === 0 ? 'no sessions' : 'one session'}, but each fold holds out one of several; fill in its column "session"`,
    );
  }
  const one = use === 'train all' ? '' : ', or --fold N for one of them';
  throw new InputError(
    `--folds ${folds}: ${recipe.manifest} has ${sessions.length} sessions (${sessions.join(', ')}), each of which is a fold; say --folds ${sessions.length}${one}`,
  );
}

/** Number of folds in a cross-validation of a recipe. */
export async function countFolds(recipe: Recipe): Promise<number> {
  return sessionsOf((await selectedUtterances(recipe)).utterances).length;
}

/** Suggests session folds only if the recipe can still be changed and the corpus has sessions. */
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
  if (recipe.folds === 'session' && fold === undefined) {
    const count = sessionsOf(utterances).length;
    throw new InputError(
      `recipe ${recipe.name} is cross-validated: say --fold N (1 to ${count}) or --folds ${count}`,
    );
  }
}

/** Device, threads and cache of a command that computes. */
export interface ComputeOptions {
  readonly device: Device;
  /**
   * Devices of several runs. Clips are encoded on all of them that compute in the precision of `device`, each clip on
   * one. Absent: `device` alone.
   */
  readonly devices?: readonly [Device, ...Device[]];
  /** Threads within one operator; absent: one per physical core. */
  readonly threads?: number;
  /** Of a language model's products. Default `auto`. */
  readonly precision?: PrecisionChoice;
  /** Memory of a CUDA device that training may take; absent: all of it. */
  readonly memoryBytes?: number;
  /** Root of the feature cache. */
  readonly cacheDir: string;
  /** Called when the input has been checked and computing begins; may be called again. */
  readonly onBegin?: () => void;
  readonly onFeatures?: (progress: FeatureProgress) => void;
  /** Receives a one-line note on the audio of the clips, if there is one. */
  readonly onAudioNotes?: (text: string) => void;
  /** Receives notes on a run or on opened backbones. */
  readonly onNote?: (text: string) => void;
  readonly onWarning?: (text: string) => void;
  readonly stop?: AbortSignal;
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
 * Ensures that the cache holds the features of all utterances. Loads the encoder only if one is missing.
 * @throws InputError for audio that cannot be read, naming it
 */
export async function openFeatures(
  recipe: Recipe,
  utterances: readonly (Pick<ModelUtterance, 'id' | 'path'> & { readonly durationSec?: number })[],
  compute: ComputeOptions,
): Promise<ExtractedFeatures> {
  if (utterances.length === 0) return NO_FEATURES;
  const source = await encoderOf(recipe);
  const { threads, onFeatures, stop } = compute;
  const precision = encoderPrecision(source, compute);
  const cache = await openFeatureCache(compute.cacheDir, source.files, precision);
  if (source.warning !== undefined) compute.onWarning?.(source.warning);
  const opened: Promise<SpeechEncoder>[] = [];
  const isAlike = (device: Device): boolean => encoderPrecision(source, { ...compute, device }) === precision;
  const lanes = encodingDevices(compute)
    .filter(isAlike)
    .map((device): (() => Promise<SpeechEncoder>) => {
      let encoder: Promise<SpeechEncoder> | undefined;
      return () => {
        if (encoder === undefined) {
          encoder = source.open({ device, threads, precision });
          opened.push(encoder);
        }
        return encoder;
      };
    });
  const pool = createPool(lanes as [() => Promise<SpeechEncoder>]);
  try {
    const { entries, cropped, notes } = await extractFeatures({
      cache,
      items: utterances,
      decode: (path, maxDurationSec) => decodeAudio(path, { maxDurationSec }),
      decodingKey,
      encode: (waveforms) =>
        pool.use(async (open) => (await open()).encode(waveforms)).catch(encodingShortage),
      lanes: lanes.length,
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
    for (const encoder of opened) await encoder.then((open) => open.close()).catch(() => undefined);
  }
}

/** Each device once: the CPU may be that of several runs, and computes with all cores. */
function encodingDevices({ device, devices = [device] }: ComputeOptions): readonly Device[] {
  return [...new Map(devices.map((each) => [deviceName(each), each])).values()];
}

/** Says what ran out of memory. Clips are encoded in batches of up to `max_audio_sec`. */
export function encodingShortage(error: unknown): never {
  if (!(error instanceof OutOfMemoryError)) throw error;
  throw new OutOfMemoryError(
    `${error.message} while encoding audio; lower max_audio_sec, or encode with --device cpu`,
  );
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

/** Stored features of some utterances, if the phase reads any; extracts those missing from the cache. */
export function phaseFeatures(
  recipe: Recipe,
  phase: Phase,
  utterances: readonly ModelUtterance[],
  compute: ComputeOptions,
): Promise<ExtractedFeatures> {
  return openFeatures(recipe, phase.needs.audio ? utterances : [], compute);
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
