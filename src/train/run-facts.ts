/** @file What run.json says of a run when it begins. */

import { type Device, deviceName } from '../engine/runtime/index.js';
import { elementCount } from '../engine/tensor/index.js';
import type { ParameterShape } from '../models/index.js';
import { type Experiment, promptTemplate } from './experiment.js';
import type { BackboneIdentities, RunFacts } from './run/index.js';

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
    manifest: { path: recipe.manifest, sha256: corpus.manifest.sha256 },
    utterances: { train: corpus.train.length, dev: corpus.dev.length, test: corpus.test.length },
    cropped: 0, // known once the features are there
    stage1: stage1 ?? null,
    backbones,
    checkpoint: null,
    checkpoints: {},
    prompt: prompt === undefined ? null : promptTemplate(recipe),
    parameters: { trainable: countOf(parameters.trainable), frozen: countOf(parameters.frozen) },
    steps: totalSteps,
    selected: null,
    trained: null,
    device: deviceName(device),
    threads: threads ?? null,
    versions,
  };
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
