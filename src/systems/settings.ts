/**
 * @file What all systems' recipes share: how keys are declared, common groups of keys, and the settings of a training
 * phase.
 */

import { z } from 'zod';
import type { TrainedLayers } from '../backbones/index.js';
import { type FoldRule, isFoldRule } from '../data/corpora/index.js';
import { scheduleShapes } from '../engine/training/index.js';
import { type PaperKey, selectKeys } from '../evaluation/metrics/index.js';

/** Where a key's value comes from: the paper, our own choice, or plumbing that affects no result. */
export type Origin = 'paper' | 'not in the paper' | 'plumbing';

declare module 'zod' {
  interface GlobalMeta {
    origin?: Origin;
  }
}

/** A key with its default, or its values in the shipped recipes, taken from the paper. */
export const paper = <T extends z.ZodType>(description: string, schema: T): T =>
  schema.meta({ origin: 'paper', description });
/** A key that the paper does not specify. */
export const ours = <T extends z.ZodType>(description: string, schema: T): T =>
  schema.meta({ origin: 'not in the paper', description });
/** A key that does not affect results. */
export const plumbing = <T extends z.ZodType>(description: string, schema: T): T =>
  schema.meta({ origin: 'plumbing', description });

export const atLeast = (minimum: number) => z.number().min(minimum);
export const whole = (minimum: number) => z.int().min(minimum);
export const fraction = () => z.number().min(0).max(1);
export const below1 = () => z.number().min(0).lt(1);
export const text = () => z.string().min(1);
const seed = () => whole(0).max(4294967295);
const percentOrNull = () => z.number().min(0).max(100).nullable();

/** Groups of parameters that can have a learning rate of their own, and how their keys look. */
const RATE_GROUPS = {
  head: { title: 'the classifier, or the CTC head', key: /^(?:head|probe|speech_encoder\.lm_head)\./ },
  encoder: { title: "the encoder's trained layers", key: /^speech_encoder\./ },
  mix: { title: "the weights of a learned sum of the encoder's layers", key: /^layer_mix\./ },
  former: { title: 'the Former', key: /^former\./ },
  projector: { title: 'the projector', key: /^projector\./ },
  fusion: { title: 'the modules that fuse the streams', key: /^fusion\./ },
  lora: { title: "LoRA's matrices", key: /\.lora_[AB]\.weight$/ },
} as const;

export type RateGroup = keyof typeof RATE_GROUPS;

/** The group of a parameter by its key in checkpoints. @throws Error if it has none */
export function rateGroupOf(key: string): RateGroup {
  const found = Object.entries(RATE_GROUPS).find(([, group]) => group.key.test(key));
  if (found === undefined) throw new Error(`parameter ${key} belongs to no group of learning rates`);
  return found[0] as RateGroup;
}

/** Rates of groups that the phase's own would hardly move, or destroy. */
const GROUP_DEFAULTS: Readonly<Partial<Record<RateGroup, number>>> = { encoder: 1e-5, mix: 1e-3 };

const rateKey = (group: RateGroup) =>
  ours(
    `peak learning rate of ${RATE_GROUPS[group].title}; null is learning_rate`,
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
};

/** The largest number of utterances that pass through the models at once: the batch, or a micro-batch. */
export function microBatchSize({
  batch_size,
  accumulate,
}: Pick<PhaseSettings, 'batch_size' | 'accumulate'>): number {
  return Math.ceil(batch_size / accumulate);
}

/** The system of a recipe that does not name one. */
export const DEFAULT_SYSTEM = 'emoq';

/** Run name, utterances and classes. */
export const corpusKeys = {
  name: plumbing('names the run folder; default the file name', z.string().regex(/^[A-Za-z0-9][\w.-]*$/)),
  system: plumbing('what is trained', z.string().default(DEFAULT_SYSTEM)),
  manifest: plumbing(
    'prepared corpus, relative to the working directory; default data/<name>/manifest.csv',
    text(),
  ),
  labels: paper(
    'the classes, in the order of every output; default the labels of the manifest',
    z.array(text()).min(2),
  ),
  label_map: paper(
    'corpus label -> label, before other labels are dropped',
    z.record(text(), text()).default({}),
  ),
  id_pattern: ours(
    'regular expression: only utterances whose id matches; null takes all',
    z
      .string()
      .min(1)
      .refine(isRegularExpression, { error: 'is not a regular expression' })
      .nullable()
      .default(null),
  ),
  text: ours(
    'whose words the model reads, in training and in evaluation: those of the corpus, or of a recogniser (column recognised)',
    z.enum(['given', 'recognised']).default('given'),
  ),
  strip_tags: ours(
    'take [LAUGHTER] and all else in square brackets out of transcripts',
    z.boolean().default(false),
  ),
};

/** How the corpus is split. */
export const divisionKeys = {
  folds: paper(
    'none, or what a fold holds out: a session, a speaker, or one of N groups of speakers (speakers:N)',
    z
      .custom<'none' | FoldRule>((value) => value === 'none' || isFoldRule(value), {
        error: 'must be none, session, speaker, or speakers:N with N from 2, such as speakers:5',
      })
      .default('none'),
  ),
  validation: ours(
    "the corpus's dev split, none, one of the training speakers, or a share of each training label",
    z.enum(['split', 'none', 'speaker', 'share']).default('split'),
  ),
  validation_share: ours('size of the validation set for share', z.number().gt(0).lt(1).default(0.1)),
};

/** The speech encoder that computes the features. @param encoder the default */
export const encoderKeys = (encoder = 'facebook/hubert-large-ll60k') => ({
  encoder: paper(
    'speech encoder: a Hugging Face name or a folder; null where encoder_onnx stands alone',
    text().nullable().default(encoder),
  ),
  encoder_onnx: plumbing(
    'an exported speech encoder (.onnx) to run in place of encoder; null runs that',
    text().nullable().default(null),
  ),
});

export const checkpointKeys = {
  keep_checkpoints: plumbing(
    "the last epochs' checkpoints kept in checkpoints/, beside the selected one; 0 keeps none",
    whole(0).default(1),
  ),
};

const TRAINED = /^(?:frozen|all|top:[1-9]\d{0,2})$/;

const namedLayers = ['last', 'all', 'lower', 'middle', 'upper'] as const;

/** Keys of the section `encoder`. @param layers the default of the layers that are read */
export const encoderLayerKeys = <L extends (typeof namedLayers)[number]>(layers: L, fewest = 1) => ({
  layers: ours(
    'hidden states of the encoder that are read: last, all, a third of the layers, or a list; 0 is the input of the first',
    z
      .union([z.enum(namedLayers), z.array(whole(0)).min(fewest)], {
        error: 'must be last, all, lower, middle, upper or a list of layers, such as [9, 12]',
      })
      .default(layers),
  ),
  mix: ours(
    'how several layers become one: a sum with learned weights, or their mean',
    z.enum(['learned', 'mean']).default('learned'),
  ),
  train: ours(
    'transformer layers of the encoder that are trained with the model: frozen (none), top:N (the last N), or all',
    z
      .custom<TrainedLayers>((value) => TRAINED.test(String(value)), {
        error: 'must be frozen, all, or top:N, such as top:4',
      })
      .default('frozen'),
  ),
  dropout: ours('dropout of hidden states and attention weights in trained layers', below1().default(0.1)),
  mask_frames: ours(
    'share of frames that take the mean of their clip in training, in spans (SpecAugment)',
    below1().default(0),
  ),
  mask_frames_length: ours('frames in a masked span; at 50 a second, 10 are 0.2 s', whole(1).default(10)),
  mask_channels: ours(
    'share of channels that take the mean of their clip in training, in spans',
    below1().default(0),
  ),
  mask_channels_length: ours('channels in a masked span', whole(1).default(64)),
});

/** A pair of numbers within bounds, the lower one first. */
export type NumberRange = readonly [low: number, high: number];

function isRange(value: unknown, [least, most]: NumberRange): value is NumberRange {
  if (!Array.isArray(value) || value.length !== 2) return false;
  const [low, high] = value;
  return typeof low === 'number' && typeof high === 'number' && least <= low && low <= high && high <= most;
}

const rangeText = ([least, most]: NumberRange): string =>
  `[low, high], low not above high, both from ${least} to ${most}`;

const range = (bounds: NumberRange) =>
  z.custom<NumberRange>((value) => isRange(value, bounds), { error: `must be ${rangeText(bounds)}` });

const rangeOrNull = (bounds: NumberRange) =>
  z.custom<NumberRange | null>((value) => value === null || isRange(value, bounds), {
    error: `must be ${rangeText(bounds)}, or null`,
  });

const SPEEDS: NumberRange = [0.5, 2];

const augmentKeys = {
  copies: ours(
    'altered variants of each training clip, in addition to the clip; an epoch reads one of them; 0: none',
    whole(0).max(100).default(0),
  ),
  speed: ours(
    'range of the speed, with which pitch and tempo change together; null or 1 leaves it',
    z
      .custom<NumberRange | 1 | null>((value) => value === null || value === 1 || isRange(value, SPEEDS), {
        error: `must be ${rangeText(SPEEDS)}, or null`,
      })
      .default([0.9, 1.1]),
  ),
  noise: ours(
    'what is added: coloured (white, pink or brown), recordings in a folder, or null for none',
    text().nullable().default('coloured'),
  ),
  noise_probability: ours('share of the variants with noise', fraction().default(0.5)),
  snr: ours('range of the signal-to-noise ratio, dB over the whole clip', range([-30, 100]).default([5, 20])),
  reverb: ours('folder of impulse responses of rooms; null for none', text().nullable().default(null)),
  reverb_probability: ours('share of the variants with reverberation', fraction().default(0.5)),
  gain: ours('range of the change of level, dB; null for none', rangeOrNull([-60, 60]).default([-6, 6])),
  seed: ours('of what is drawn for the variants; null is seed', seed().nullable().default(null)),
};

/** What is done with clips before they are encoded. */
export const clipKeys = {
  max_audio_sec: ours('longer clips are cut to this', z.number().gt(0).max(3600).default(30)),
  augment: z.strictObject(augmentKeys).prefault({}),
};

export const audioKeys = {
  ...clipKeys,
  encoder: z.strictObject(encoderLayerKeys('last')).prefault({}),
};

export const seedKeys = {
  seed: ours('of initial weights, order, dropout and validation choice', seed().default(1)),
  split_seed: ours(
    'of the validation choice and of ties in folds: speakers:N; null is seed, and 0 for the folds',
    seed().nullable().default(null),
  ),
};

const figures = {
  wa: paper('weighted accuracy, percent', percentOrNull()),
  ua: paper('unweighted accuracy, percent', percentOrNull()),
  wf1: paper('weighted F1, percent', percentOrNull()),
} satisfies Record<PaperKey, unknown>;

/** Results printed in a publication for the recipe; the last key of every recipe. */
export const paperKeys = {
  paper: z
    .strictObject({
      table: paper('number of the table in the paper', whole(1)),
      ...figures,
      best_earlier: z
        .strictObject({ ...figures })
        .nullable()
        .default(null),
    })
    .nullable()
    .default(null),
};

const commonSchema = z.object({
  ...corpusKeys,
  ...divisionKeys,
  backbones: z.object(encoderKeys()),
  ...checkpointKeys,
  ...audioKeys,
  ...seedKeys,
  ...paperKeys,
});

/** The resolved keys that every recipe has. */
export type Recipe = z.output<typeof commonSchema>;

/** A problem in a recipe: the key, and what is wrong with it. */
export interface RecipeProblem {
  readonly path: readonly PropertyKey[];
  readonly what: string;
}

/**
 * Audio needs an encoder, and training one its checkpoint: finds recipes without.
 * @param instead an alternative, appended to the message
 */
export function encoderProblems(
  { backbones, encoder: settings }: Readonly<Record<string, unknown>>,
  instead = '',
): RecipeProblem[] {
  const { encoder, encoder_onnx: onnx } = (backbones ?? {}) as Readonly<Record<string, unknown>>;
  if (trainsEncoder(settings) && typeof onnx === 'string') {
    const what = 'trains layers of the encoder, but encoder_onnx is an exported one, which cannot be trained';
    return [{ path: ['encoder', 'train'], what }];
  }
  if (encoder !== null || typeof onnx === 'string') return [];
  const what = `is null, and so is encoder_onnx; name a speech encoder or an exported one${instead}`;
  return [{ path: ['backbones', 'encoder'], what }];
}

/** Whether the section `encoder` of a recipe that has not been checked trains layers. */
export function trainsEncoder(settings: unknown): boolean {
  return isSection(settings) && settings.train !== undefined && settings.train !== 'frozen';
}

/** Whether it is valid syntax with the `u` flag. */
function isRegularExpression(pattern: string): boolean {
  try {
    return Boolean(new RegExp(pattern, 'u'));
  } catch {
    return false;
  }
}

// Values of a recipe that has not been checked yet.

export function isSection(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function stringList(value: unknown): string[] | undefined {
  return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : undefined;
}

export function stringEntries(value: unknown): [string, string][] {
  if (!isSection(value)) return [];
  return Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
}
