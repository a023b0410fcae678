/**
 * @file The folder of a run: recipe, facts, artifacts, checkpoint, training state and metrics, each a file that a
 * person can open. A finished run is never trained over; an unfinished one goes on only with the same recipe.
 */

import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  InputError,
  isTemporaryName,
  pathExists,
  readJson,
  writeFileAtomic,
  writeJsonAtomic,
} from '../../base/index.js';
import type { ValidationDraw } from '../../data/corpora/index.js';
import { dumpRecipe, type Recipe, recipeDifferences } from '../../recipe/index.js';
import { type BackboneIdentities, backboneDifferences } from './backbone-identities.js';
import { checkedMetadata } from './metadata-schema.js';
import { runRecipeText } from './recipe-file.js';

/** Paths inside a run folder. */
export interface RunFolder {
  readonly dir: string;
  readonly recipe: string;
  readonly facts: string;
  readonly checkpoint: string;
  readonly state: string;
  readonly metrics: string;
  readonly metricsTable: string;
  /** TensorBoard's event file. */
  readonly events: string;
  /** When the run was made, and how fast. */
  readonly timings: string;
  /** Folder of the last epochs' checkpoints. */
  readonly checkpoints: string;
  readonly predictions: string;
  readonly results: string;
  readonly trainingModel: string;
  readonly evaluationModel: string;
}

/** The corpus that a run was trained on. */
export interface TrainedManifest {
  readonly path: string;
  readonly sha256: string;
  /** Version of the ffmpeg that decoded clips, where the manifest says. */
  readonly ffmpeg?: string;
}

/** Why a corpus is not the one that a run was trained on, to follow its name; undefined where it is. */
export function manifestChange(before: TrainedManifest, now: TrainedManifest): string | undefined {
  if (before.sha256 !== now.sha256) return 'has changed';
  const [from, by] = [before.ffmpeg, now.ffmpeg];
  if (from === undefined || by === undefined || from === by) return undefined;
  return `has changed: its clips were decoded by ffmpeg ${from}, and are now by ffmpeg ${by}`;
}

/** What a run was made with and how far it is: run.json. */
export interface RunFacts {
  readonly format: 'emoq-run';
  readonly stage: 1 | 2;
  readonly fold: number | null;
  readonly name: string;
  readonly labels: readonly string[];
  readonly status: 'training' | 'finished';
  readonly seed: number;
  readonly manifest: TrainedManifest;
  readonly utterances: { readonly train: number; readonly dev: number; readonly test: number };
  /** Training and validation clips that were longer than max_audio_sec and are cut to it. */
  readonly cropped: number;
  /** Training and validation transcripts that the Former does not get whole. Runs of earlier versions lack it. */
  readonly cut_texts?: number;
  /** SHA-256 of the stage-1 checkpoint that stage 2 started from, where it did. */
  readonly stage1: string | null;
  /** null where none was drawn. Runs of earlier versions lack it, and drew without the fold. */
  readonly validation?: DrawnValidation | null;
  /**
   * SHA-256 of checkpoint.safetensors; null before there is one, absent in runs of an emoq that did not record it. While
   * it is being put in the place of another, or of none, `replaces` is that one's, or null.
   */
  readonly checkpoint?: { readonly sha256: string; readonly replaces?: string | null } | null;
  /** SHA-256 of the files in checkpoints/, by name. */
  readonly checkpoints?: Readonly<Record<string, string>>;
  /** What the backbones are; absent in runs of an emoq that did not record it. */
  readonly backbones?: BackboneIdentities;
  /** The exact prompt, slots unfilled. */
  readonly prompt: RunPrompt | null;
  readonly parameters: { readonly trainable: number; readonly frozen: number };
  readonly steps: number;
  /** Which step's weights the checkpoint holds, and the validation figure that chose it. */
  readonly selected: {
    readonly epoch: number;
    readonly metric: string | null;
    readonly value: number | null;
  } | null;
  /** How far it was trained, which early stopping may make less than `steps`; null until the run is finished. */
  readonly trained: { readonly epochs: number; readonly steps: number } | null;
  readonly device: string;
  /** Threads inside one operator; null: one for each physical core. */
  readonly threads: number | null;
  readonly versions: Readonly<Record<string, string>>;
}

/** The prompt of a run, as it was trained with it. */
export interface RunPrompt {
  readonly system: string;
  readonly user: string;
  readonly answer: string;
  /** In place of `user` where an utterance has no transcript; absent where `user` is for those too. */
  readonly user_without_text?: string;
  /** What {speaker} is filled with; absent without one, and in runs of earlier versions: there it is the name. */
  readonly speaker?: SpeakerMention;
}

export type SpeakerMention = 'name' | 'gender' | 'none';

/** How a validation set was drawn, and the speakers that it has whole. */
export interface DrawnValidation {
  readonly draw: ValidationDraw;
  readonly seed: number;
  readonly speakers: readonly string[];
}

export function runFolder(dir: string): RunFolder {
  return {
    dir,
    recipe: join(dir, 'recipe.yaml'),
    facts: join(dir, 'run.json'),
    checkpoint: join(dir, 'checkpoint.safetensors'),
    state: join(dir, 'training_state.safetensors'),
    metrics: join(dir, 'metrics.jsonl'),
    metricsTable: join(dir, 'metrics.csv'),
    events: join(dir, 'tensorboard', 'events.out.tfevents.0.emoq'),
    timings: join(dir, 'timings.jsonl'),
    checkpoints: join(dir, 'checkpoints'),
    predictions: join(dir, 'predictions.csv'),
    results: join(dir, 'results.json'),
    trainingModel: join(dir, 'artifacts', 'training_model.onnx'),
    evaluationModel: join(dir, 'artifacts', 'eval_model.onnx'),
  };
}

/** Every file that training and evaluation write into a run's folder, checkpoints of single epochs aside. */
export function runFiles(folder: RunFolder): string[] {
  const { dir: _dir, checkpoints: _checkpoints, ...files } = folder;
  return Object.values(files);
}

/** Folder of a stage, below the experiment's: `<root>/stage1[/fold-N]`. */
export function stageFolder(root: string, stage: 1 | 2, fold: number | undefined): RunFolder {
  return runFolder(join(root, `stage${stage}`, ...(fold === undefined ? [] : [`fold-${fold}`])));
}

/** What a run folder holds before training begins; `facts` are those that its run began with. */
export type FoundRun =
  | { readonly status: 'new' }
  | { readonly status: 'unfinished' | 'finished'; readonly facts: RunFacts };

/**
 * Looks at a run folder and changes nothing. A run that was killed before it had saved anything counts as new.
 * @throws InputError when the folder holds a run of another recipe, naming the keys that differ, or something else
 */
export async function inspectRun(folder: RunFolder, recipe: Recipe, facts: RunFacts): Promise<FoundRun> {
  const found = await begunRun(folder);
  if (found === undefined) return { status: 'new' };
  const change = manifestChange(found.manifest, facts.manifest);
  const differences = [
    ...recipeDifferences(await runRecipeText(folder), dumpRecipe(recipe)),
    ...(change === undefined ? [] : [`the manifest ${change}`]),
    ...backboneDifferences(found.backbones, facts.backbones),
    ...(found.stage1 === facts.stage1 ? [] : ['the stage-1 checkpoint has changed']),
    ...validationDifference(found, facts),
  ];
  if (differences.length > 0) {
    throw new InputError(
      `${folder.dir} holds a run of another recipe: ${differences.join('; ')}. Use another --run folder, or delete this one`,
    );
  }
  return { status: found.status === 'finished' ? 'finished' : 'unfinished', facts: found };
}

/** run.json of a run that has saved something; one that was killed before counts as none. */
export async function begunRun(folder: RunFolder): Promise<RunFacts | undefined> {
  const found = await readFacts(folder);
  return found?.status === 'training' && !(await pathExists(folder.state)) ? undefined : found;
}

function validationDifference({ validation: before }: RunFacts, { validation: now }: RunFacts): string[] {
  if (before === undefined || JSON.stringify(before) === JSON.stringify(now)) return [];
  const names = (drawn: RunFacts['validation']): string => drawn?.speakers.join(', ') || 'none whole';
  return [`its validation speakers were ${names(before)}, are ${names(now)}`];
}

/** Makes the folder of a new run: recipe and facts. */
export async function createRun(folder: RunFolder, recipe: Recipe, facts: RunFacts): Promise<void> {
  await mkdir(join(folder.dir, 'artifacts'), { recursive: true });
  // Of a run that was killed before its first state, or whose run.json was deleted.
  await Promise.all([folder.state, folder.checkpoint].map((path) => rm(path, { force: true })));
  await rm(folder.checkpoints, { recursive: true, force: true });
  await writeFileAtomic(folder.recipe, dumpRecipe(recipe));
  await writeJsonAtomic(folder.facts, facts);
}

/** Deletes the unfinished files that a killed process has left in a run folder. */
export async function removeTemporaries({ dir }: RunFolder): Promise<void> {
  const names = await readdir(dir, { recursive: true });
  const left = names.filter(isTemporaryName);
  await Promise.all(left.map((name) => rm(join(dir, name), { force: true })));
}

/** run.json of a folder; undefined where there is none. @throws InputError when it is not a run's, or damaged */
export async function readFacts(folder: RunFolder): Promise<RunFacts | undefined> {
  if (!(await pathExists(folder.facts))) return undefined;
  return checkedMetadata(await readJson(folder.facts, 'run'), folder.facts);
}
