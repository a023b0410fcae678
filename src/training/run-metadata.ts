/** @file Builds the run.json of a new run. */

import { InputError } from '../base/index.js';
import type { Manifest, RecogniserInfo, ValidationDraw } from '../data/corpora/index.js';
import { type Device, deviceName } from '../engine/runtime/index.js';
import { elementCount } from '../engine/tensor/index.js';
import type { ParameterShape } from '../engine/training/index.js';
import type { Precision } from '../nn/index.js';
import type { BackboneIdentities, Recipe } from '../systems/index.js';
import { hasPrompt, type Prompt, titleOf } from '../systems/index.js';
import type { Experiment } from './experiment.js';
import { type ExperimentCorpus, splitSeed } from './experiment.js';
import type {
  DrawnValidation,
  RunAugmentation,
  RunFolder,
  RunMetadata,
  TrainedManifest,
} from './runs/index.js';

/** Conditions of a run besides its experiment. */
export interface RunCircumstances {
  readonly fold: number | undefined;
  readonly device: Device;
  readonly precision: Precision;
  readonly threads: number | undefined;
  readonly versions: Readonly<Record<string, string>>;
  readonly totalSteps: number;
  readonly backbones: BackboneIdentities;
  /** SHA-256 of the earlier phase's checkpoint that this one starts from, if any. */
  readonly startedFrom: string | undefined;
  readonly augmentation: RunAugmentation | undefined;
}

export function runMetadata(
  { recipe, corpus, phase }: Experiment,
  circumstances: RunCircumstances,
): RunMetadata {
  const { fold, device, precision, threads, versions, totalSteps, backbones } = circumstances;
  const { startedFrom, augmentation } = circumstances;
  return {
    format: 'emoq-run',
    system: recipe.system,
    phase: phase.name,
    fold: fold ?? null,
    name: recipe.name,
    labels: recipe.labels,
    status: 'training',
    seed: recipe.seed,
    manifest: {
      ...trainedManifest(recipe.manifest, corpus.manifest),
      ...(recipe.text === 'recognised' && { recogniser: recogniserOf(corpus.manifest.info.recogniser) }),
    },
    utterances: { train: corpus.train.length, dev: corpus.dev.length, test: corpus.test.length },
    cropped: 0, // known once the features are available
    cut_texts: 0, // known once the transcripts are tokenized
    ...(augmentation && { augmentation }),
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
    precision,
    threads: threads ?? null,
    versions,
  };
}

/** What run.json records of the manifest. */
export function trainedManifest(path: string, { sha256, info }: Manifest): TrainedManifest {
  return { path, sha256, ...(info.ffmpeg !== undefined && { ffmpeg: info.ffmpeg }) };
}

/** Where recognised texts come from, as a manifest or run.json says. A manifest that was written by hand does not say. */
export function recogniserOf(recorded: RecogniserInfo | undefined): RecogniserInfo {
  return recorded ?? { name: 'the column "recognised" of the manifest' };
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

/** How the validation set of a run was drawn. Runs of earlier versions did not record it and drew without the fold. */
export function recordedDraw({ validation }: Pick<RunMetadata, 'validation'>): ValidationDraw {
  return validation === undefined ? 'without-fold' : (validation?.draw ?? 'by-fold');
}

/**
 * A warning if the phase that this one starts from was trained on part of this one's validation set; undefined
 * otherwise.
 */
export function trainedOnBefore(earlier: RunMetadata, { validation: now }: RunMetadata): string | undefined {
  // Earlier versions did not record the draw, which used the seed only.
  const before = earlier.validation === undefined ? { ...now, seed: earlier.seed } : earlier.validation;
  if (!now || JSON.stringify(before) === JSON.stringify(now)) return undefined;
  const nameOf = (drawn: Partial<DrawnValidation> | null): string =>
    drawn === null ? 'none' : `${drawn.speakers?.join(', ') || 'utterances'} by seed ${drawn.seed}`;
  const was = earlier.validation === undefined ? `other utterances, by seed ${earlier.seed}` : nameOf(before);
  const title = titleOf(earlier.phase);
  return `${title} was validated on ${was}, but this stage on ${nameOf(now)}, which ${title} was trained on, so validation figures of this stage are too optimistic; give both stages the same --split-seed and validation`;
}

/** The prompt that a run was trained with; undefined if its phase has none. @throws InputError if it is missing */
export function recordedPrompt(
  { metadata: path }: RunFolder,
  { system, phase, prompt }: RunMetadata,
): Prompt | undefined {
  if (prompt !== null) return prompt;
  if (!hasPrompt(system, phase)) return undefined;
  throw new InputError(`run ${path} has no prompt; restore a good copy, or train again`);
}

/** Changes in a resumed run's environment that may affect its last digits: "device was cpu, is cuda:0". */
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

/** Total number of elements in the parameters. */
export function countOf(parameters: readonly ParameterShape[]): number {
  return parameters.reduce((total, { shape }) => total + elementCount(shape), 0);
}
