/** @file What run.json says of a run when it begins. */

import { InputError } from '../base/index.js';
import type { Manifest, ValidationDraw } from '../data/corpora/index.js';
import { type Device, deviceName } from '../engine/runtime/index.js';
import { elementCount } from '../engine/tensor/index.js';
import type { ParameterShape } from '../engine/training/index.js';
import type { BackboneIdentities, Recipe } from '../systems/index.js';
import { hasPrompt, type Prompt, titleOf } from '../systems/index.js';
import { type ExperimentCorpus, splitSeed } from './corpus.js';
import type { Experiment } from './experiment.js';
import type { DrawnValidation, RunFolder, RunMetadata, TrainedManifest } from './runs/index.js';

/** What a run is made under, beside its experiment. */
export interface RunCircumstances {
  readonly fold: number | undefined;
  readonly device: Device;
  readonly threads: number | undefined;
  readonly versions: Readonly<Record<string, string>>;
  readonly totalSteps: number;
  readonly backbones: BackboneIdentities;
  /** SHA-256 of the checkpoint of the earlier phase that this one starts from, where it does. */
  readonly startedFrom: string | undefined;
}

export function runMetadata(
  { recipe, corpus, phase }: Experiment,
  { fold, device, threads, versions, totalSteps, backbones, startedFrom }: RunCircumstances,
): RunMetadata {
  return {
    format: 'emoq-run',
    system: recipe.system,
    phase: phase.name,
    fold: fold ?? null,
    name: recipe.name,
    labels: recipe.labels,
    status: 'training',
    seed: recipe.seed,
    manifest: trainedManifest(recipe.manifest, corpus.manifest),
    utterances: { train: corpus.train.length, dev: corpus.dev.length, test: corpus.test.length },
    cropped: 0, // known once the features are there
    cut_texts: 0, // known once the transcripts are tokenized
    startedFrom: startedFrom ?? null,
    validation: drawnValidation(recipe, corpus, fold),
    backbones,
    checkpoint: null,
    checkpoints: {},
    prompt: phase.prompt ?? null,
    parameters: { trainable: countOf(phase.parameters.trainable), frozen: countOf(phase.parameters.frozen) },
    steps: totalSteps,
    selected: null,
    trained: null,
    device: deviceName(device),
    threads: threads ?? null,
    versions,
  };
}

/** What a run keeps of its manifest. */
export function trainedManifest(path: string, { sha256, info }: Manifest): TrainedManifest {
  return { path, sha256, ...(info.ffmpeg !== undefined && { ffmpeg: info.ffmpeg }) };
}

function drawnValidation(
  recipe: Recipe,
  { dev, train, draw, manifest }: ExperimentCorpus,
  fold: number | undefined,
): DrawnValidation | null {
  const hasOwn = fold === undefined && manifest.utterances.some(({ split }) => split === 'dev');
  if (dev.length === 0 || (hasOwn && dev.every(({ split }) => split === 'dev'))) return null;
  const trained = new Set(train.map(({ speaker }) => speaker));
  const own = new Set(dev.map(({ speaker }) => speaker).filter((name) => name !== '' && !trained.has(name)));
  return { draw, seed: splitSeed(recipe), speakers: [...own].sort() };
}

/** How the validation set of a run was drawn: runs of earlier versions, which do not record it, drew without the fold. */
export function recordedDraw({ validation }: Pick<RunMetadata, 'validation'>): ValidationDraw {
  return validation === undefined ? 'without-fold' : (validation?.draw ?? 'by-fold');
}

/**
 * What is wrong with the validation set of a phase, in one line: that the phase which it starts from was trained on it;
 * undefined where it was not.
 */
export function trainedOnBefore(earlier: RunMetadata, { validation: now }: RunMetadata): string | undefined {
  // Earlier versions did not record the draw, which was by the seed.
  const before = earlier.validation === undefined ? { ...now, seed: earlier.seed } : earlier.validation;
  if (!now || JSON.stringify(before) === JSON.stringify(now)) return undefined;
  const nameOf = (drawn: Partial<DrawnValidation> | null): string =>
    drawn === null ? 'nobody' : `${drawn.speakers?.join(', ') || 'utterances'} by seed ${drawn.seed}`;
  const was = earlier.validation === undefined ? `other utterances, by seed ${earlier.seed}` : nameOf(before);
  const title = titleOf(earlier.phase);
  return `${title} was validated on ${was}, and this stage is on ${nameOf(now)}, whom ${title} has trained on: its validation figures flatter; give both stages the same --split-seed and validation`;
}

/** The prompt that a run was trained with; undefined where its phase has none. @throws InputError where it is missing */
export function recordedPrompt(
  { metadata: path }: RunFolder,
  { system, phase, prompt }: RunMetadata,
): Prompt | undefined {
  if (prompt !== null) return prompt;
  if (!hasPrompt(system, phase)) return undefined;
  throw new InputError(`run ${path} has no prompt; put a good copy in its place, or train again`);
}

/** What a run goes on with that it did not begin with, and that may change its last digits: "device was cpu, is cuda:0". */
export function changedCircumstances(before: RunMetadata, now: RunMetadata): string[] {
  const circumstances = ({ device, versions }: RunMetadata): Record<string, unknown> => {
    const { emoq, onnxruntime, platform } = versions;
    return { device, emoq, onnxruntime, platform };
  };
  const [old, current] = [circumstances(before), circumstances(now)];
  return Object.keys(old)
    .filter((name) => old[name] !== current[name])
    .map((name) => `${name} was ${old[name]}, is ${current[name]}`);
}

/** Numbers in all the parameters together. */
export function countOf(parameters: readonly ParameterShape[]): number {
  return parameters.reduce((total, { shape }) => total + elementCount(shape), 0);
}
