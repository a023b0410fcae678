/**
 * @file Plans a phase's batches and steps from its recipe, and determines their padded sizes from the corpus, or from
 * average clips without one.
 */

import type { Utterance } from '../data/corpora/index.js';
import { checkCudaKernels } from '../engine/onnx/index.js';
import type { Device } from '../engine/runtime/index.js';
import type { TrainingGraph } from '../engine/training/index.js';
import type { Precision } from '../nn/index.js';
import {
  type ExampleLengths,
  microBatchSize,
  type Phase,
  type PhaseSettings,
  phaseTrainingGraph,
  type Recipe,
  rateOf,
  type Sizes,
  weightAverage,
  withViews,
} from '../systems/index.js';
import { longestVariantSec, variedBatches } from './augmentation.js';
import {
  type BatchSplit,
  balancedBatches,
  type EpochBatches,
  evenSplit,
  lengthBatches,
  pairedSplit,
  type StepCounts,
  shuffledBatches,
} from './batches.js';
import type { ExperimentCorpus } from './experiment.js';

/** The size of a step as it passes through the models. */
export interface StepSize {
  /** Padded size of the whole batch, or of its largest micro-batch, by symbol; `batch` is the number of utterances. */
  readonly batch: Sizes & { readonly batch: number };
  /** Number of micro-batches per batch; 1 if it is not cut. */
  readonly microBatches: number;
}

/** Tokens and audio frames read from one utterance. */
export interface UtteranceLengths {
  readonly lengths: ExampleLengths;
  readonly frames: number;
}

/** How a phase lays out its batches. */
type BatchLayout = Pick<Phase, 'sizesOf' | 'summedSizes'>;

const AVERAGE_SEC = 5;

/** The padded size of a batch of these utterances. */
export function batchSize(
  { sizesOf, summedSizes }: BatchLayout,
  utterances: readonly UtteranceLengths[],
): StepSize['batch'] {
  const sizes: Record<string, number> = {};
  for (const { lengths, frames } of utterances) {
    for (const [symbol, size] of Object.entries(sizesOf(lengths, frames))) {
      const before = sizes[symbol] ?? 0;
      sizes[symbol] = summedSizes.includes(symbol) ? before + size : Math.max(before, size);
    }
  }
  return { batch: utterances.length, ...sizes };
}

/**
 * The largest batches: the top `keep` for each axis and for the sum over all axes. Which of them needs the most memory
 * depends on the model. `members` are all utterances of a step, even if it is cut.
 * @param batches indices of training utterances
 */
export function largestSteps(
  layout: BatchLayout,
  settings: PhaseSettings,
  batches: Iterable<readonly number[]>,
  lengthsOf: (index: number) => UtteranceLengths,
  keep = 1,
): (StepSize & { readonly members: readonly number[] })[] {
  const split = batchSplit(settings);
  const steps = [...batches].flatMap((members) => {
    const parts = split?.(members) ?? [members];
    return parts.map((part) => ({
      members,
      batch: batchSize(layout, withViews(part, settings).map(lengthsOf)),
      microBatches: parts.length,
    }));
  });
  const padded = (size: StepSize['batch']): Sizes => {
    const { batch: _batch, ...axes } = size;
    return Object.fromEntries(Object.entries(axes).filter(([axis]) => !layout.summedSizes.includes(axis)));
  };
  const axes = Object.keys(steps[0] === undefined ? {} : padded(steps[0].batch));
  const measures: ((size: StepSize['batch']) => number)[] = [
    ...axes.map((axis) => (size: StepSize['batch']) => size.batch * size[axis]!),
    (size) => {
      const { frames = 0, ...tokens } = padded(size);
      return size.batch * (frames / FRAMES_PER_TOKEN + sumOf(tokens));
    },
  ];
  const leaders = measures.flatMap((measure) =>
    steps.toSorted((a, b) => measure(b.batch) - measure(a.batch)).slice(0, keep),
  );
  return [...new Set(leaders)];
}

/** How many of the largest batches by characters are tokenized. */
const TOKENIZED_BATCHES = 3;

/**
 * The largest steps of the first epochs, with the batches the trainer will use. Frames are computed from durations,
 * those of variants as if all were played at the lowest speed.
 * Tokens are estimated from characters, then counted in the largest batches if the tokenizers are present.
 */
export function corpusSteps(
  recipe: Recipe,
  settings: PhaseSettings,
  phase: Phase,
  { train }: Pick<ExperimentCorpus, 'train'>,
  epochs: number,
): StepSize[] {
  const readsAudio = phase.needs.audio;
  const { max_audio_sec: mostSec } = recipe;
  const copies = readsAudio ? recipe.augment.copies : 0;
  const sized = (secondsOf: (utterance: Utterance) => number): UtteranceLengths[] =>
    train.map((utterance) => ({
      lengths: phase.estimate(utterance),
      frames: readsAudio ? Math.floor(FRAMES_PER_SEC * secondsOf(utterance)) : 0,
    }));
  const own = sized(({ durationSec }) => Math.min(durationSec, mostSec));
  const slowest =
    copies === 0 ? [] : sized(({ durationSec }) => longestVariantSec(recipe, durationSec, mostSec));
  const estimated = [...own, ...Array.from({ length: copies }, () => slowest).flat()];
  const batchesOf = variedBatches(
    trainingBatches(
      { recipe, settings, train, readsAudio },
      own.map(({ lengths }) => lengths),
    ),
    train.map(({ id }) => id),
    copies,
    recipe.seed,
  );
  const batches = [...Array(epochs).keys()].flatMap((epoch) => batchesOf(epoch));
  const leading = largestSteps(phase, settings, batches, (index) => estimated[index]!, TOKENIZED_BATCHES);
  const { encode } = phase;
  if (encode === undefined) return leading;
  const indices = [...new Set(leading.flatMap(({ members }) => members))];
  const tokenized = new Map(
    indices.map((index) => {
      const encoded = encode(train[index % train.length]!);
      const { frames, lengths } = estimated[index]!;
      return [index, { frames, lengths: encoded.kind === 'example' ? encoded.example.lengths : lengths }];
    }),
  );
  return largestSteps(
    phase,
    settings,
    leading.map(({ members }) => members),
    (index) => tokenized.get(index)!,
  );
}

/** A step of average utterances. */
export function averageStep(recipe: Recipe, settings: PhaseSettings, phase: Phase): StepSize {
  const utterances = [...Array(settings.batch_size).keys()];
  return {
    batch: averageBatch(recipe, phase, (settings.views ?? 1) * microBatchSize(settings)),
    microBatches: batchSplit(settings)?.(utterances).length ?? 1,
  };
}

/** A batch of average utterances: 5 s of audio and the tokens of 30 words, with the recipe's prompt around them. */
export function averageBatch(
  recipe: Pick<Recipe, 'max_audio_sec'>,
  phase: Phase,
  rows: number,
): StepSize['batch'] {
  const seconds = phase.needs.audio ? Math.min(AVERAGE_SEC, recipe.max_audio_sec) : 0;
  const average = { frames: Math.round(seconds * FRAMES_PER_SEC), lengths: phase.estimate() };
  return batchSize(phase, Array<UtteranceLengths>(rows).fill(average));
}

/**
 * A text token costs the Former about as much as this many frames: 12 layers of 12 d^2 compared with 6 of 2 d^2 and 1.3
 * d^2.
 */
export const FRAMES_PER_TOKEN = 10;
/** Frame rate of the speech encoder. */
export const FRAMES_PER_SEC = 50;

/** What determines batches besides the examples' lengths. */
export interface BatchSetting {
  readonly recipe: Pick<Recipe, 'labels' | 'seed' | 'max_audio_sec'>;
  readonly settings: Pick<PhaseSettings, 'batches' | 'batch_size'>;
  readonly train: readonly Pick<Utterance, 'label' | 'durationSec'>[];
  /** Whether clips count towards an utterance's length. */
  readonly readsAudio: boolean;
}

/** Assigns training utterances to the batches of each epoch. */
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

/** Sum over all sizes. */
export function sumOf(sizes: Sizes): number {
  return Object.values(sizes).reduce((total, size) => total + size, 0);
}

/** How a step's batch is cut into micro-batches; undefined if it is not cut. */
export function batchSplit(
  settings: Pick<PhaseSettings, 'batch_size' | 'accumulate' | 'batches'>,
): BatchSplit | undefined {
  const size = microBatchSize(settings);
  if (size === settings.batch_size) return undefined;
  return settings.batches === 'balanced' ? pairedSplit(size) : evenSplit(size);
}

/** On the CPU, parameters with fewer elements share a vector; larger ones stay in its caches only on their own. */
const SHARED_BELOW_ON_CPU = 1 << 16;

/** What a training graph is built for. */
export interface GraphUse {
  readonly device: Device;
  readonly precision: Precision;
  /** Whether epochs are validated. */
  readonly validates: boolean;
}

/**
 * The training graph of a phase with its recipe's optimizer settings.
 */
export function buildTraining(
  phase: Phase,
  settings: PhaseSettings,
  plan: StepCounts,
  { device, precision, validates }: GraphUse,
): TrainingGraph {
  const optimizer = {
    beta1: settings.adam_beta1,
    beta2: settings.adam_beta2,
    epsilon: settings.adam_eps,
    weightDecay: settings.weight_decay,
    clipNorm: settings.grad_clip,
  };
  const { warmupSteps, totalSteps } = plan;
  const schedule = { warmupSteps, totalSteps, shape: settings.schedule };
  const trainable = phase.parameters.trainable.map((parameter) => {
    const own = rateOf(parameter.key, settings);
    return own === settings.learning_rate
      ? parameter
      : { ...parameter, rateFactor: own / settings.learning_rate };
  });
  const average = weightAverage(settings.average, plan);
  const training = phaseTrainingGraph(phase, { ...phase.parameters, trainable }, optimizer, schedule, {
    recompute: settings.activation_checkpointing,
    accumulate: batchSplit(settings) !== undefined,
    sharedBelow: device.kind === 'cpu' ? SHARED_BELOW_ON_CPU : Number.POSITIVE_INFINITY,
    evaluates: validates,
    precision,
    ...(average && { average }),
  });
  if (device.kind === 'cuda') checkCudaKernels(training.graph);
  return training;
}
