/** @file The settings of a training phase that all systems share: optimizer, learning rates, batches, selection. */

import { z } from 'zod';
import { scheduleShapes, type WeightAverage } from '../engine/training/index.js';
import { selectKeys } from '../evaluation/metrics/index.js';
import { FORMER_PREFIX, isLoraStart, robertaKey } from '../nn/index.js';
import { atLeast, below1, fraction, ours, paper, whole } from './settings.js';

const startsWith =
  (...prefixes: readonly string[]) =>
  (key: string): boolean =>
    prefixes.some((prefix) => key.startsWith(prefix));
const isFormers = startsWith(FORMER_PREFIX);

/** Groups of parameters that can have a learning rate of their own. A key belongs to the first that has it. */
const RATE_GROUPS = {
  head: {
    title: 'the classifier, or the CTC head',
    has: startsWith('head.', 'probe.', 'speech_encoder.lm_head.'),
  },
  encoder: { title: "the encoder's trained layers", has: startsWith('speech_encoder.') },
  mix: { title: "the weights of a learned sum of the encoder's layers", has: startsWith('layer_mix.') },
  roberta: {
    title: "the Former's parameters that start from RoBERTa",
    has: (key: string): boolean =>
      isFormers(key) && robertaKey(key.slice(FORMER_PREFIX.length)) !== undefined,
  },
  former: { title: 'the Former', has: isFormers },
  projector: { title: 'the projector', has: startsWith('projector.') },
  fusion: { title: 'the modules that fuse the streams', has: startsWith('fusion.') },
  lora: {
    title: "LoRA's matrices",
    has: (key: string): boolean => /\.lora_[AB](?:_start)?\.weight$/.test(key),
  },
} as const;

export type RateGroup = keyof typeof RATE_GROUPS;

/** The group of a parameter by its key in checkpoints. @throws Error if it has none */
function rateGroupOf(key: string): RateGroup {
  const found = Object.entries(RATE_GROUPS).find(([, { has }]) => has(key));
  if (found === undefined) throw new Error(`parameter ${key} belongs to no group of learning rates`);
  return found[0] as RateGroup;
}

/** The group whose rate a group has without one of its own; others have that of the phase. */
const RATE_PARENTS: Readonly<Partial<Record<RateGroup, RateGroup>>> = { roberta: 'former' };

/** The peak learning rate of a parameter; 0 for what stays as it starts. */
export function rateOf(
  key: string,
  { learning_rate, learning_rates }: Pick<PhaseSettings, 'learning_rate' | 'learning_rates'>,
): number {
  if (isLoraStart(key)) return 0;
  const group = rateGroupOf(key);
  const parent = RATE_PARENTS[group];
  return learning_rates[group] ?? (parent && learning_rates[parent]) ?? learning_rate;
}

/** Rates of groups that the phase's own would hardly move, or destroy. */
const GROUP_DEFAULTS: Readonly<Partial<Record<RateGroup, number>>> = { encoder: 1e-5, mix: 1e-3 };

const rateKey = (group: RateGroup) =>
  ours(
    `peak learning rate of ${RATE_GROUPS[group].title}; null is ${RATE_PARENTS[group] ?? 'learning_rate'}`,
    z
      .number()
      .gt(0)
      .max(1)
      .nullable()
      .default(GROUP_DEFAULTS[group] ?? null),
  );

/** Peak learning rates by group; null: that of the phase. */
export type LearningRates = Readonly<Partial<Record<RateGroup, number | null>>>;

const learningRates = <G extends RateGroup>(groups: readonly G[]) =>
  z
    .strictObject(
      Object.fromEntries(groups.map((group) => [group, rateKey(group)])) as Record<
        G,
        ReturnType<typeof rateKey>
      >,
    )
    .prefault({} as never); // every key has a default, which the type of a generic record does not show

/** Defaults of the training settings that differ between phases. */
export interface PhaseDefaults<G extends RateGroup> {
  readonly epochs: number;
  /** The groups of its parameters, beside those of the encoder. */
  readonly groups: readonly G[];
  readonly batchSize?: number;
  readonly learningRate?: number;
  readonly warmupFraction?: number;
  readonly weightDecay?: number;
  readonly gradClip?: number;
  /** How batch size and learning rate are declared; from the paper by default. */
  readonly declare?: typeof paper;
}

/** The average of the weights that a phase keeps: `ema:0.999`, or `last:5` over the last five epochs. */
export type AverageSetting = 'none' | `ema:${number}` | `last:${number}`;

const AVERAGE = /^(?:none|last:[1-9]\d{0,3}|ema:0?\.\d{1,9})$/;

const averageKey = () =>
  z
    .custom<AverageSetting>((value) => AVERAGE.test(String(value)), {
      error: 'must be none, ema:D with D from 0 and below 1, such as ema:0.999, or last:N, such as last:5',
    })
    .default('none');

/** What a phase's training graph averages; undefined for none. @param steps of an epoch, and in all */
export function weightAverage(
  setting: AverageSetting,
  steps: { readonly stepsPerEpoch: number; readonly totalSteps: number },
): WeightAverage | undefined {
  const [kind, value] = setting.split(':');
  if (kind === 'ema') return { kind, decay: Number(value) };
  if (kind !== 'last') return undefined;
  return { kind: 'from', step: Math.max(steps.totalSteps - Number(value) * steps.stepsPerEpoch, 0) };
}

/** Keys of every phase trained by gradient descent. */
export const optimizerKeys = <G extends RateGroup>({
  epochs,
  groups,
  batchSize = 8,
  learningRate = 1e-5,
  warmupFraction = 0.1,
  weightDecay = 0.01,
  gradClip = 1,
  declare = paper,
}: PhaseDefaults<G>) => ({
  epochs: ours('passes over the training utterances', whole(1).default(epochs)),
  batch_size: declare('utterances in an optimizer step', whole(1).default(batchSize)),
  accumulate: ours(
    'micro-batches that a batch is cut into, gradients summed: less memory; the contrastive loss compares within each',
    whole(1).default(1),
  ),
  learning_rate: declare('peak learning rate of AdamW', z.number().gt(0).max(1).default(learningRate)),
  learning_rates: learningRates<'encoder' | 'mix' | G>(['encoder', 'mix', ...groups]),
  warmup_fraction: ours(
    'share of all steps over which the rate rises from 0',
    fraction().default(warmupFraction),
  ),
  schedule: ours(
    'how the rate goes on after that: falls linearly or as a cosine to 0, or stays constant',
    z.enum(scheduleShapes).default('linear'),
  ),
  average: ours(
    'weights that are validated and kept: none, those of the step; ema:D, an average in which earlier steps fade by D; last:N, the mean over the last N epochs',
    averageKey(),
  ),
  weight_decay: ours('decoupled weight decay', fraction().default(weightDecay)),
  grad_clip: ours('largest global gradient norm; 0 clips nothing', atLeast(0).default(gradClip)),
  adam_beta1: ours('decay of the first moment', below1().default(0.9)),
  adam_beta2: ours('decay of the second moment', below1().default(0.999)),
  adam_eps: ours('added to the root of the second moment', z.number().gt(0).max(1).default(1e-8)),
  activation_checkpointing: ours(
    "compute the inner values of the models' layers twice instead of keeping them: less memory, more time",
    z.boolean().default(false),
  ),
  batches: ours(
    'who shares a batch: shuffled; balanced, pairs of one class, all classes equally often; or length, of like length',
    z.enum(['shuffled', 'balanced', 'length']).default('shuffled'),
  ),
});

/** Keys that choose the epoch to keep and decide when a phase ends. */
export const selectionKeys = () => ({
  select: ours(
    'which epoch is kept: the best on the validation set by this metric, smoothed over epochs, or the last',
    z.enum(['last', ...selectKeys, 'smoothed']).default('wf1'),
  ),
  select_figure: ours(
    'figure that select: smoothed averages over an epoch and the ones before and after it',
    z.enum(selectKeys).default('wf1'),
  ),
  patience: ours(
    'epochs in a row without a better one by select that end the stage; 0 trains all epochs',
    whole(0).default(0),
  ),
});

const phaseSchema = z.object({ ...optimizerKeys({ epochs: 1, groups: [] }), ...selectionKeys() });

/** The part of a phase's recipe section that the trainer reads. */
export type PhaseSettings = Omit<z.output<typeof phaseSchema>, 'learning_rates'> & {
  readonly learning_rates: LearningRates;
  /** How often each utterance is in its batch; absent: once. */
  readonly views?: number;
};

/** Examples as they pass through the models: each as often as the phase says, the whole batch after itself. */
export function withViews<T>(batch: readonly T[], { views = 1 }: Pick<PhaseSettings, 'views'>): T[] {
  return Array.from({ length: views }, () => batch).flat();
}

/** The largest number of utterances that pass through the models at once: the batch, or a micro-batch. */
export function microBatchSize({
  batch_size,
  accumulate,
}: Pick<PhaseSettings, 'batch_size' | 'accumulate'>): number {
  return Math.ceil(batch_size / accumulate);
}
