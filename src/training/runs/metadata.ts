/** @file Reads and writes run.json, the metadata and status of a run. */

import { z } from 'zod';
import { InputError, oneLine, pathExists, readJson, writeJsonAtomic } from '../../base/index.js';
import { identityDifferences } from '../../checkpoints/index.js';
import type { RecogniserInfo, ValidationDraw } from '../../data/corpora/index.js';
import type { Precision } from '../../nn/index.js';
import { type BackboneIdentities, DEFAULT_SYSTEM, type Prompt, systemNamed } from '../../systems/index.js';
import type { RunFolder } from './folder.js';

/** The corpus that a run was trained on. */
export interface TrainedManifest {
  readonly path: string;
  readonly sha256: string;
  /** Version of the ffmpeg that decoded the clips, if the manifest records it. */
  readonly ffmpeg?: string;
  /** Where the texts come from, if a recogniser has heard them. */
  readonly recogniser?: RecogniserInfo;
}

/** Why a corpus is not the one a run was trained on, worded to follow its name; undefined if it is. */
export function manifestChange(before: TrainedManifest, now: TrainedManifest): string | undefined {
  if (before.sha256 !== now.sha256) return 'has changed';
  const [from, by] = [before.ffmpeg, now.ffmpeg];
  if (from === undefined || by === undefined || from === by) return undefined;
  return `has changed: its clips were decoded with ffmpeg ${from}, and are now decoded with ffmpeg ${by}`;
}

/** run.json: the metadata and status of a run. */
export interface RunMetadata {
  readonly format: 'emoq-run';
  /** Kind of the system; not recorded in runs of EmoQ. */
  readonly system: string;
  /** The number `stage` in runs of EmoQ. */
  readonly phase: string;
  readonly fold: number | null;
  readonly name: string;
  readonly labels: readonly string[];
  readonly status: 'training' | 'finished';
  readonly seed: number;
  readonly manifest: TrainedManifest;
  readonly utterances: { readonly train: number; readonly dev: number; readonly test: number };
  /** Number of training and validation clips cut to max_audio_sec. */
  readonly cropped: number;
  /**
   * Number of training and validation transcripts that the Former reads only in part. Absent in runs of earlier
   * versions.
   */
  readonly cut_texts?: number;
  /** The variants of training clips, if there are any. */
  readonly augmentation?: RunAugmentation;
  /** SHA-256 of the earlier phase's checkpoint that this run started from, if any; called `stage1` in runs of EmoQ. */
  readonly startedFrom: string | null;
  /** null if none was drawn. Absent in runs of earlier versions, which drew without the fold. */
  readonly validation?: DrawnValidation | null;
  /**
   * SHA-256 of checkpoint.safetensors; null before there is one, absent in runs of versions that did not record it.
   * While a checkpoint is being replaced, `replaces` is the SHA-256 of the old one, or null if there was none.
   */
  readonly checkpoint?: { readonly sha256: string; readonly replaces?: string | null } | null | undefined;
  /** SHA-256 of the files in checkpoints/, by name. */
  readonly checkpoints?: Readonly<Record<string, string>>;
  /** Identities of the backbones; absent in runs of versions that did not record them. */
  readonly backbones?: BackboneIdentities;
  /** The exact prompt template, with unfilled slots. */
  readonly prompt: Prompt | null;
  readonly parameters: { readonly trainable: number; readonly frozen: number };
  readonly steps: number;
  /** The step whose weights the checkpoint holds, and the validation figure that selected it. */
  readonly selected: {
    readonly epoch: number;
    readonly metric: string | null;
    readonly value: number | null;
  } | null;
  /** How far it was trained, which may be less than `steps` with early stopping; null until the run is finished. */
  readonly trained: { readonly epochs: number; readonly steps: number } | null;
  readonly device: string;
  /** Of the language model's products; absent in runs of earlier versions, which were float32. */
  readonly precision?: Precision;
  /** Threads within one operator; null: one per physical core. */
  readonly threads: number | null;
  readonly versions: Readonly<Record<string, string>>;
}

/** The variants of a run's training clips; the recipe says what is drawn for them. */
export interface RunAugmentation {
  readonly copies: number;
  readonly seed: number;
  /** The recordings of noise, and the impulse responses: how many, and a checksum over their contents. */
  readonly noise?: SoundIdentity;
  readonly reverb?: SoundIdentity;
}

interface SoundIdentity {
  readonly recordings: number;
  readonly sha256: string;
}

/** How a validation set was drawn, and the speakers that are entirely in it. */
export interface DrawnValidation {
  readonly draw: ValidationDraw;
  readonly seed: number;
  readonly speakers: readonly string[];
}

const count = z.int().min(0);
const sha256 = z.string();
/** The metric that selected an epoch: `wf1`, `smoothed wf1`. */
export const metricName = z.string().regex(/^[a-z]\w*(?: \w+)?$/, { error: 'is no metric' });
const sizes = z.record(z.string(), count);

const sounds = z.looseObject({ recordings: count, sha256 });

/** `bytes` and `weights` are absent if only a model's config is read. */
const identity = z.looseObject({
  commit: z.string().optional(),
  files: sizes,
  config: z.record(z.string(), z.unknown()).optional(),
  tokenizer: sha256.optional(),
  bytes: count.optional(),
  weights: sha256.optional(),
});

const prompt = z.looseObject({
  system: z.string(),
  user: z.string(),
  answer: z.string(),
  user_without_text: z.string().optional(),
  speaker: z.enum(['name', 'gender', 'none']).optional(),
});

const metadataKeys = {
  format: z.literal('emoq-run'),
  fold: z.int().min(1).nullable(),
  name: z.string().regex(/^[A-Za-z0-9][\w.-]*$/, { error: 'is not the name of a recipe' }),
  labels: z.array(z.string()).min(2),
  status: z.enum(['training', 'finished']),
  seed: count,
  manifest: z.looseObject({ path: z.string(), sha256, ffmpeg: z.string().optional() }),
  utterances: z.looseObject({ train: count, dev: count, test: count }),
  cropped: count.optional(),
  cut_texts: count.optional(),
  augmentation: z
    .looseObject({ copies: count, seed: count, noise: sounds.optional(), reverb: sounds.optional() })
    .optional(),
  validation: z
    .looseObject({
      draw: z.enum(['by-fold', 'without-fold']),
      seed: count,
      speakers: z.array(z.string()),
    })
    .nullish(),
  checkpoint: z.looseObject({ sha256, replaces: sha256.nullish() }).nullish(),
  checkpoints: z.record(z.string(), sha256).optional(),
  backbones: z.record(z.string(), identity).optional(),
  prompt: prompt.nullable(),
  parameters: z.looseObject({ trainable: count, frozen: count }),
  steps: count,
  selected: z
    .looseObject({ epoch: count, metric: metricName.nullable(), value: z.number().nullable() })
    .nullable(),
  trained: z.looseObject({ epochs: count, steps: count }).nullish(),
  device: z.string(),
  precision: z.enum(['float32', 'bfloat16', 'float16']).optional(),
  threads: z.int().min(1).nullish(),
  versions: z.record(z.string(), z.string()),
};

/** Runs of EmoQ name their phase by a number, and the checkpoint they started from by its stage. */
const emoqSchema = z.looseObject({
  ...metadataKeys,
  stage: z.union([z.literal(1), z.literal(2)], { error: 'must be 1 or 2' }),
  stage1: sha256.nullable(),
});
const systemSchema = z.looseObject({
  ...metadataKeys,
  system: z
    .string()
    .refine((kind) => systemNamed(kind) !== undefined, { error: 'is not a system of this version of emoq' }),
  phase: z.string(),
  started_from: sha256.nullable(),
});

/** run.json of a folder; undefined if there is none. @throws InputError when it is damaged or not a run's */
export async function readMetadata({ metadata: path }: RunFolder): Promise<RunMetadata | undefined> {
  if (!(await pathExists(path))) return undefined;
  return checkedMetadata(await readJson(path, 'run'), path);
}

/** Writes run.json. */
export function writeMetadata({ metadata: path }: RunFolder, metadata: RunMetadata): Promise<void> {
  return writeJsonAtomic(path, storedMetadata(metadata));
}

/**
 * Validates the content of a run.json.
 * @throws InputError, one line with file and key, when it is not a run's or is incomplete
 */
export function checkedMetadata(value: unknown, path: string): RunMetadata {
  if (!isObject(value) || value.format !== 'emoq-run') throw new InputError(`${path} is not an emoq run`);
  const schema = Object.hasOwn(value, 'system') ? systemSchema : emoqSchema;
  const result = schema.safeParse(value, {
    error: (issue) => (issue.input === undefined ? 'is missing' : undefined),
  });
  // Not `result.data`, because the key order must be kept when it is written back.
  if (result.success) return loadedMetadata(value);
  const [issue] = result.error.issues;
  throw new InputError(
    oneLine(
      `run ${path} is damaged, key ${issue!.path.join('.')}: ${issue!.message}; restore a good copy, or delete the run and train again`,
    ),
  );
}

/** Keys with different names in run.json. */
function loadedMetadata(stored: Readonly<Record<string, unknown>>): RunMetadata {
  const entries = Object.entries(stored).flatMap(([key, value]): [string, unknown][] => {
    if (key === 'stage')
      return [
        ['system', DEFAULT_SYSTEM],
        ['phase', `stage${value}`],
      ];
    if (key === 'stage1' || key === 'started_from') return [['startedFrom', value]];
    return [[key, value]];
  });
  return Object.fromEntries(entries) as unknown as RunMetadata;
}

/** The content of run.json for some metadata. */
export function storedMetadata(metadata: RunMetadata): Record<string, unknown> {
  const isEmoq = metadata.system === DEFAULT_SYSTEM;
  const entries = Object.entries(metadata).flatMap(([key, value]): [string, unknown][] => {
    if (key === 'startedFrom') return [[isEmoq ? 'stage1' : 'started_from', value]];
    if (key === 'system') return Object.entries(phaseKeys(metadata));
    return key === 'phase' ? [] : [[key, value]];
  });
  return Object.fromEntries(entries);
}

/** How files and JSON name the phase of a run: `stage` 1 or 2 for EmoQ, `system` and `phase` for other systems. */
export function phaseKeys({
  system,
  phase,
}: Pick<RunMetadata, 'system' | 'phase'>): Readonly<Record<string, string | number>> {
  return system === DEFAULT_SYSTEM ? { stage: Number(phase.slice('stage'.length)) } : { system, phase };
}

/** Describes how the recordings that variants are made from differ from those a run was trained with. */
export function augmentationDifferences(
  before: RunAugmentation | undefined,
  now: RunAugmentation | undefined,
): string[] {
  if (before === undefined || now === undefined) return []; // the recipes differ
  return (['noise', 'reverb'] as const).flatMap((key) =>
    before[key]?.sha256 === now[key]?.sha256 ? [] : [`the recordings of augment.${key} have changed`],
  );
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Describes how backbones differ from those a run was trained with. Values that only one side has are not compared,
 * because older versions did not record them.
 */
export function backboneDifferences(before: BackboneIdentities = {}, now: BackboneIdentities = {}): string[] {
  const parts = Object.keys(before).map((part) => {
    const [was, is] = [before[part], now[part]];
    if (was === undefined || is === undefined) return undefined;
    const differences = identityDifferences(was, is);
    return differences.length === 0 ? undefined : `backbones.${part}: ${differences.join(', ')}`;
  });
  return parts.filter((part) => part !== undefined);
}
