/**
 * @file What all systems' recipes share: how keys are declared, and common groups of keys. Those of a training phase are
 * in phase-settings.ts.
 */

import { z } from 'zod';
import type { TrainedLayers } from '../backbones/index.js';
import { type FoldRule, isFoldRule } from '../data/corpora/index.js';
import type { PaperKey } from '../evaluation/metrics/index.js';

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
