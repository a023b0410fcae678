/** @file Estimates parameters, memory and steps of a phase from configs only, without weights. */

import { availableParallelism } from 'node:os';
import { errorMessage, InputError, peakMemoryBytes } from '../base/index.js';
import type { Utterance } from '../data/corpora/index.js';
import {
  estimateMemory,
  feedBytes,
  type MemoryEstimate,
  matrixFlops,
  stepNodes,
  type TrainingGraph,
} from '../engine/training/index.js';
import type { PrecisionChoice, Recipe } from '../systems/index.js';
import {
  isScored,
  type Phase,
  type PhaseSettings,
  requirePhase,
  systemOf,
  trainingStart,
} from '../systems/index.js';
import { recordingsIn, soundFolders } from './augmentation.js';
import { countSteps } from './batches.js';
import { automaticPrecision, phaseToSize, type SizedPhase } from './device-size.js';
import { type ExperimentCorpus, loadCorpus, TRAINING_PARTS } from './experiment.js';
import { countOf } from './run-metadata.js';
import { batchesThatFit, runLimits } from './run-sizing.js';
import {
  averageStep,
  buildTraining,
  corpusSteps,
  FRAMES_PER_SEC,
  largestSteps,
  type StepSize,
  type UtteranceLengths,
} from './step-sizes.js';

/** The estimated size of a phase. */
export interface PhaseSize {
  readonly trainable: number;
  readonly frozen: number;
  readonly memory: MemoryEstimate;
  /** Nodes of one training step. */
  readonly nodes: number;
  readonly buildSec: number;
  /** Absent if the corpus is not prepared; `corpusProblem` gives the reason. */
  readonly steps?: { readonly perEpoch: number; readonly total: number; readonly utterances: number };
  readonly corpusProblem?: string;
  /** If the corpus is prepared and the phase reads audio. */
  readonly features?: FeaturesSize;
  /** The step that the memory estimate is for. */
  readonly step: StepSize;
  /**
   * Number of epochs searched for the largest step; absent when the corpus is not prepared and an average step is used.
   */
  readonly epochs?: number;
  /** On a CUDA device, with a choice of precision. */
  readonly onDevice: (choice?: PrecisionChoice) => SizedPhase;
  /** Warnings: likely mistakes in the corpus, effects of gradient accumulation on results, notes on the encoder. */
  readonly warnings: readonly string[];
}

/** Clips of a corpus and the bytes of their features in the cache, with the variants of the training clips. */
export interface FeaturesSize {
  readonly clips: number;
  readonly bytes: number;
  /** How many variants these include. */
  readonly variants: number;
  /** Length of all clips and variants. */
  readonly seconds: number;
}

/** Epochs searched for the largest batch: the longest clip occurs in each, in different company. */
export const SIZED_EPOCHS = 5;

/**
 * Builds the full training graph of a phase and estimates its size. @throws InputError for a config that cannot be
 * built
 */
export async function sizePhase(recipe: Recipe, name: string, fold: number | undefined): Promise<PhaseSize> {
  const system = systemOf(recipe);
  requirePhase(recipe, name);
  const settings = system.settings(recipe, name);
  const start = trainingStart(recipe, name);
  const audioParts = system.needs(recipe, name, start).audio ? TRAINING_PARTS : [];
  const corpus = await loadCorpus(recipe, fold, audioParts).catch((error: unknown) => {
    if (error instanceof InputError) return errorMessage(error);
    throw error;
  });
  const known = typeof corpus === 'string' ? undefined : corpus;
  const ownWarning = system.settingsWarning(recipe, name);
  const passes = {
    epochs: settings.epochs,
    batchSize: settings.batch_size,
    warmupFraction: settings.warmup_fraction,
  };
  const plan = countSteps(known?.train.length ?? settings.batch_size, passes);
  const startedAt = performance.now();
  const phase = await system.open(recipe, name, { weights: 'shapes-only', start, corpus: known });
  const hasDev = known === undefined ? recipe.validation !== 'none' : known.dev.length > 0;
  const validates = hasDev && isScored(recipe, name);
  const training = buildTraining(phase, settings, plan, {
    device: { kind: 'cpu' },
    precision: 'float32',
    validates,
  });
  const buildSec = (performance.now() - startedAt) / 1000;
  const sized: SizedGraphs = {
    training,
    vocabulary: phase.vocabulary,
    stepsPerEpoch: plan.stepsPerEpoch,
  };
  const epochs = Math.min(settings.epochs, SIZED_EPOCHS);
  const hasSteps = known !== undefined && known.train.length > 0;
  const stepsWith = (own: PhaseSettings): StepSize[] =>
    hasSteps ? corpusSteps(recipe, own, phase, known, epochs) : [averageStep(recipe, own, phase)];
  return {
    trainable: countOf(phase.parameters.trainable),
    frozen: countOf(phase.parameters.frozen),
    ...largestEstimate(sized, stepsWith(settings)),
    nodes: stepNodes(training),
    buildSec,
    onDevice: (choice = 'auto') =>
      phaseToSize({
        ...{ phase, settings, validates, steps: stepsWith },
        plan: known === undefined ? { ...plan, stepsPerEpoch: Number.POSITIVE_INFINITY } : plan,
        precision: choice === 'auto' ? automaticPrecision(phase) : choice,
      }),
    warnings: [
      ...(known?.warnings ?? []),
      ...(ownWarning === undefined ? [] : [ownWarning]),
      ...phase.warnings,
      ...(phase.needs.audio ? await soundWarnings(recipe) : []),
    ],
    ...(known
      ? {
          ...(phase.needs.audio && { features: featuresOf(recipe, phase, known) }),
          ...(hasSteps && { epochs }),
          steps: { perEpoch: plan.stepsPerEpoch, total: plan.totalSteps, utterances: known.train.length },
        }
      : { corpusProblem: corpus as string }),
  };
}

/** Folders of recordings that training would refuse; they are listed, not read. */
async function soundWarnings(recipe: Recipe): Promise<string[]> {
  const warnings: string[] = [];
  for (const [key, folder] of soundFolders(recipe)) {
    await recordingsIn(folder).catch((error: unknown) => {
      if (!(error instanceof InputError)) throw error;
      warnings.push(`${key}: ${errorMessage(error)}`);
    });
  }
  return warnings;
}

const FLOAT16_BYTES = 2;

function featuresOf(recipe: Recipe, { inputs }: Phase, { train, dev, test }: ExperimentCorpus): FeaturesSize {
  const { max_audio_sec: mostSec, augment } = recipe;
  const clips = [...train, ...dev, ...test];
  const width = inputs.find(({ name }) => name === 'audio_features')?.shape.at(-1);
  const lengthSec = (utterances: readonly Utterance[], speed = 1): number =>
    utterances.reduce((sum, { durationSec }) => sum + Math.min(durationSec / speed, mostSec), 0);
  const { copies, speed } = augment;
  const meanSpeed = speed === null || speed === 1 ? 1 : (speed[0] + speed[1]) / 2;
  const seconds = lengthSec(clips) + copies * lengthSec(train, meanSpeed);
  const variants = copies * train.length;
  const bytes = FLOAT16_BYTES * FRAMES_PER_SEC * seconds * Number(width);
  return { clips: clips.length + variants, bytes, variants, seconds };
}

/** What a training process holds in memory. */
export interface SizedGraphs {
  readonly training: TrainingGraph;
  /** Total number of tokenizer entries. */
  readonly vocabulary: number;
  readonly stepsPerEpoch: number;
}

/** A multiply-add counts as two; measured for whole steps on server cores with AVX2. */
const FLOPS_PER_CORE = 60e9;
/** Approximate overhead of a node besides its matrix products; it dominates in small models. */
const NODE_SEC = 8e-6;

/** The estimate for the trainer's runs of the graph, with as many steps as fit the target time of a run. */
function trainingMemory(
  { training, vocabulary, stepsPerEpoch }: SizedGraphs,
  step: StepSize,
): MemoryEstimate {
  const { microBatches } = step;
  const batch = { ...step.batch };
  const stepSec =
    matrixFlops(training, batch, microBatches) / (FLOPS_PER_CORE * availableParallelism()) +
    NODE_SEC * stepNodes(training) * microBatches;
  const size = { seconds: stepSec, feedBytes: feedBytes(training, batch, microBatches) };
  const stepsPerRun = Math.min(batchesThatFit(size, runLimits({ kind: 'cpu' })), stepsPerEpoch);
  return estimateMemory(training, batch, { stepsPerRun, microBatches, vocabulary });
}

function largestEstimate(
  graphs: SizedGraphs,
  steps: readonly StepSize[],
): { readonly step: StepSize; readonly memory: MemoryEstimate } {
  const sized = steps.map((step) => ({ step, memory: trainingMemory(graphs, step) }));
  return sized.reduce((most, one) => (one.memory.totalBytes > most.memory.totalBytes ? one : most));
}

/** The steps that a process has run. */
export interface StepsMade {
  /** Indices of each step's training utterances. */
  readonly batches: readonly (readonly number[])[];
  /** Lengths of every training utterance. */
  readonly lengths: readonly UtteranceLengths[];
}

/** One line: peak memory of this process so far (all threads), and the estimate for the largest step it ran. */
export function peakMemory(
  graphs: SizedGraphs,
  phase: Phase,
  settings: PhaseSettings,
  { batches, lengths }: StepsMade,
): string {
  const mib = (bytes: number): string => `${Math.round(bytes / 2 ** 20).toLocaleString('en')} MiB`;
  const peak = `peak memory of this process: ${mib(peakMemoryBytes())}`;
  if (batches.length === 0) return peak;
  const { step, memory } = largestEstimate(
    graphs,
    largestSteps(phase, settings, batches, (index) => lengths[index]!),
  );
  return `${peak} (estimated: ${mib(memory.totalBytes)} for its largest step: ${stepText(step)})`;
}

/** Display names of axes; others are shown by their symbol. */
const AXES: Readonly<Record<string, (size: number) => string>> = {
  frames: (size) => `${size} frames`,
  text: (size) => `${size} text tokens`,
  prompt: (size) => `prompt ${size}`,
};

/** "batch 8, 250 frames, 32 text tokens, prompt 128"; leaves out what a phase does not read. */
export function stepText({ batch: sizes, microBatches }: StepSize): string {
  const { batch, ...axes } = sizes;
  const rows = microBatches === 1 ? `batch ${batch}` : `${microBatches} micro-batches of ${batch}`;
  const others = Object.entries(axes).filter(([axis, size]) => size > 0 && Object.hasOwn(AXES, axis));
  return [rows, ...others.map(([axis, size]) => AXES[axis]!(size))].join(', ');
}
