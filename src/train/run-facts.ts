/** @file What run.json says of a run when it begins. */

import type { Manifest, ValidationDraw } from '../data/corpora/index.js';
import { type Device, deviceName } from '../engine/runtime/index.js';
import { elementCount } from '../engine/tensor/index.js';
import type { ParameterShape } from '../nn/index.js';
import type { Recipe } from '../recipe/index.js';
import { type ExperimentCorpus, splitSeed } from './corpus.js';
import type { Experiment } from './experiment.js';
import type { BackboneIdentities, DrawnValidation, RunFacts, TrainedManifest } from './run/index.js';

/** What a run is made under, beside its experiment. */
export interface RunCircumstances {
  readonly fold: number | undefined;
  readonly device: Device;
  readonly threads: number | undefined;
  readonly versions: Readonly<Record<string, string>>;
  readonly totalSteps: number;
  readonly backbones: BackboneIdentities;
  /** SHA-256 of the stage-1 checkpoint that stage 2 starts from, where it does. */
  readonly stage1: string | undefined;
}

export function runFacts(
  { recipe, corpus, parameters, prompt, stage }: Experiment,
  { fold, device, threads, versions, totalSteps, backbones, stage1 }: RunCircumstances,
): RunFacts {
  return {
    format: 'emoq-run',
    stage: stage.number,
    fold: fold ?? null,
    name: recipe.name,
    labels: recipe.labels,
    status: 'training',
    seed: recipe.seed,
    manifest: trainedManifest(recipe.manifest, corpus.manifest),
    utterances: { train: corpus.train.length, dev: corpus.dev.length, test: corpus.test.length },
    cropped: 0, // known once the features are there
    cut_texts: 0, // known once the transcripts are tokenized
    stage1: stage1 ?? null,
    validation: drawnValidation(recipe, corpus, fold),
    backbones,
    checkpoint: null,
    checkpoints: {},
    prompt: prompt?.template ?? null,
    parameters: { trainable: countOf(parameters.trainable), frozen: countOf(parameters.frozen) },
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
export function recordedDraw({ validation }: Pick<RunFacts, 'validation'>): ValidationDraw {
  return validation === undefined ? 'without-fold' : (validation?.draw ?? 'by-fold');
}

/**
 * What is wrong with the validation set of a stage 2, in one line: that the stage 1 which it starts from was trained on
 * it; undefined where it was not.
 */
export function trainedOnBefore(stage1: RunFacts, { validation: now }: RunFacts): string | undefined {
  // Earlier versions did not record the draw, which was by the seed.
  const before = stage1.validation === undefined ? { ...now, seed: stage1.seed } : stage1.validation;
  if (!now || JSON.stringify(before) === JSON.stringify(now)) return undefined;
  const nameOf = (drawn: Partial<DrawnValidation> | null): string =>
    drawn === null ? 'nobody' : `${drawn.speakers?.join(', ') || 'utterances'} by seed ${drawn.seed}`;
  const was = stage1.validation === undefined ? `other utterances, by seed ${stage1.seed}` : nameOf(before);
  return `stage 1 was validated on ${was}, and this stage is on ${nameOf(now)}, whom stage 1 has trained on: its validation figures flatter; give both stages the same --split-seed and validation`;
}

/** What a run goes on with that it did not begin with, and that may change its last digits: "device was cpu, is cuda:0". */
export function changedCircumstances(before: RunFacts, now: RunFacts): string[] {
  const circumstances = ({ device, versions }: RunFacts): Record<string, unknown> => {
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
