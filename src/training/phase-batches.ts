/** @file How the utterances of a phase become batches and steps, as its recipe wants it. */

import type { Utterance } from '../data/corpora/index.js';
import type { TrainingGraph } from '../engine/training/index.js';
import type { Recipe } from '../systems/index.js';
import {
  type ExampleLengths,
  microBatchSize,
  type Phase,
  type PhaseSettings,
  phaseTrainingGraph,
  type Sizes,
} from '../systems/index.js';
import {
  type BatchSplit,
  balancedBatches,
  type EpochBatches,
  evenSplit,
  lengthBatches,
  pairedSplit,
  type StepPlan,
  shuffledBatches,
} from './batches.js';

/** A text token costs the Former about as much as this many frames: 12 layers of 12 d^2 against 6 of 2 d^2 and 1.3 d^2. */
export const FRAMES_PER_TOKEN = 10;
/** Of the speech encoder. */
export const FRAMES_PER_SEC = 50;

/** What decides about batches beside the examples' lengths. */
export interface BatchSetting {
  readonly recipe: Pick<Recipe, 'labels' | 'seed' | 'max_audio_sec'>;
  readonly settings: Pick<PhaseSettings, 'batches' | 'batch_size'>;
  readonly train: readonly Pick<Utterance, 'label' | 'durationSec'>[];
  /** Whether clips count for the length of an utterance. */
  readonly readsAudio: boolean;
}

/** Which training utterances share a batch in each epoch. */
export function trainingBatches(
  { recipe, settings, train, readsAudio }: BatchSetting,
  lengths: readonly ExampleLengths[],
): EpochBatches {
  const { batches, batch_size } = settings;
  if (batches === 'shuffled') return shuffledBatches(train.length, batch_size, recipe.seed);
  if (batches === 'balanced') {
    return balancedBatches(
      train.map(({ label }) => recipe.labels.indexOf(label)),
      batch_size,
      recipe.seed,
    );
  }
  const costs = lengths.map(({ inputs, targets }, index) => {
    const audioSec = readsAudio ? Math.min(train[index]!.durationSec, recipe.max_audio_sec) : 0;
    const tokens = sumOf(inputs) + sumOf(targets);
    return tokens + (audioSec * FRAMES_PER_SEC) / FRAMES_PER_TOKEN;
  });
  return lengthBatches(costs, batch_size, recipe.seed);
}

/** All sizes together. */
export function sumOf(sizes: Sizes): number {
  return Object.values(sizes).reduce((total, size) => total + size, 0);
}

/** How a step's batch is cut into micro-batches; undefined where it goes through the models whole. */
export function batchSplit(
  settings: Pick<PhaseSettings, 'batch_size' | 'accumulate' | 'batches'>,
): BatchSplit | undefined {
  const size = microBatchSize(settings);
  if (size === settings.batch_size) return undefined;
  return settings.batches === 'balanced' ? pairedSplit(size) : evenSplit(size);
}

/** The training graph of a phase under its recipe's optimizer settings. */
export function buildTraining(
  phase: Phase,
  settings: PhaseSettings,
  plan: Pick<StepPlan, 'warmupSteps' | 'totalSteps'>,
): TrainingGraph {
  const optimizer = {
    beta1: settings.adam_beta1,
    beta2: settings.adam_beta2,
    epsilon: settings.adam_eps,
    weightDecay: settings.weight_decay,
    clipNorm: settings.grad_clip,
  };
  return phaseTrainingGraph(phase, phase.parameters, optimizer, plan, {
    recompute: settings.activation_checkpointing,
    accumulate: batchSplit(settings) !== undefined,
  });
}
