/** @file bundle.json: what a bundle consists of, and the check that its files are those that were written. */

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import {
  InputError,
  mapConcurrently,
  oneLine,
  pathExists,
  readJson,
  sha256OfFile,
} from '../../base/index.js';
import type { ChatTemplate } from '../../data/text/index.js';
import type { Precision } from '../../nn/index.js';
import type { BackboneIdentities, Prompt, Views } from '../../systems/index.js';
import type { RunMetadata } from '../../training/runs/index.js';
import type { IntegerType } from '../export/index.js';

/** Name of the file that makes a folder a bundle. */
export const BUNDLE_FILE = 'bundle.json';
const VERSION = 1;

/** One of the models of a bundle. */
export interface BundleModel {
  readonly file: string;
  /** As in the ONNX file; strings are the names of dynamic axes. */
  readonly inputs: readonly {
    readonly name: string;
    readonly dtype: string;
    readonly shape: readonly (string | number)[];
  }[];
  readonly outputs: readonly string[];
}

/** Products of integers, and what they changed. */
export interface QuantizationNotes {
  readonly type: IntegerType;
  /** With the run in float32, on utterances of its corpus; null if the corpus was not there. */
  readonly compared: {
    readonly manifest_sha256: string;
    readonly utterances: number;
    /** How many have the same label. */
    readonly same_labels: number;
    /** The largest and the mean difference of a probability. */
    readonly largest_difference: number;
    readonly mean_difference: number;
  } | null;
}

/** The content of bundle.json. */
export interface BundleDescription {
  readonly format: 'emoq-bundle';
  readonly version: typeof VERSION;
  readonly name: string;
  readonly system: string;
  readonly phase: string;
  readonly labels: readonly string[];
  /** The word that stands for each label in the answer; absent without a language model. */
  readonly label_words?: readonly string[];
  /** The longest part of a recording that is judged at once. */
  readonly max_audio_sec: number;
  readonly sampling_rate_hz: number;
  readonly views: Views;
  /** Whether tags such as [LAUGHTER] are taken out of transcripts. */
  readonly strip_tags: boolean;
  /** Tokens of a transcript that the Former reads, with its <s> and </s>; absent if it reads none. */
  readonly max_text_tokens?: number;
  /** Of the products of the encoder and the language model. */
  readonly precision: Precision;
  /** Type of the weights with a merged LoRA. */
  readonly merged_dtype: string;
  /** Absent if all products are of floats. */
  readonly quantization?: QuantizationNotes;
  /** The template of the prompt, with unfilled slots; null without a language model. */
  readonly prompt: Prompt | null;
  /** What surrounds the texts of the prompt; null without a language model. */
  readonly chat: ChatTemplate | null;
  /** The speech encoder; null for a model of transcripts only. */
  readonly encoder: { readonly file: string; readonly normalize: boolean } | null;
  /** The other models, in the order in which they run. Outputs are inputs of later ones by name. */
  readonly models: readonly BundleModel[];
  /** Folders of configs and tokenizers by backbone, as the recipe calls them. */
  readonly backbones: Readonly<Record<string, string>>;
  /** The run that it was written from. */
  readonly run: {
    readonly name: string;
    readonly seed: number;
    readonly fold: number | null;
    readonly selected: RunMetadata['selected'];
    readonly checkpoint_sha256: string;
    readonly manifest_sha256: string;
  };
  /** Identities of the backbones that the run was trained with. */
  readonly trained_on: BackboneIdentities | null;
  readonly versions: Readonly<Record<string, string>>;
  /** Every file but this one. */
  readonly files: Readonly<Record<string, { readonly bytes: number; readonly sha256: string }>>;
}

/** The keys without which a bundle cannot be opened; what it says about itself besides is not checked. */
const schema = z.looseObject({
  format: z.literal('emoq-bundle'),
  version: z.literal(VERSION),
  phase: z.string(),
  labels: z.array(z.string()).min(2),
  precision: z.enum(['float32', 'bfloat16', 'float16']),
  prompt: z.looseObject({ system: z.string(), user: z.string(), answer: z.string() }).nullable(),
  encoder: z.looseObject({ file: z.string() }).nullable(),
  models: z.array(z.looseObject({ file: z.string() })).min(1),
  backbones: z.record(z.string(), z.string()),
  run: z.looseObject({ checkpoint_sha256: z.string() }),
  files: z.record(z.string(), z.looseObject({ bytes: z.int().min(0), sha256: z.string() })),
});

/** @throws InputError when the folder is no bundle, or one of another version, or bundle.json is damaged */
export async function readBundleDescription(dir: string): Promise<BundleDescription> {
  const path = join(dir, BUNDLE_FILE);
  if (!(await pathExists(path))) {
    throw new InputError(
      `${dir} is no bundle (it has no ${BUNDLE_FILE}); write one with "emoq export bundle --run RUN -o DIR"`,
    );
  }
  const raw = await readJson(path, 'bundle');
  const version = (raw as { version?: unknown } | null)?.version;
  if (typeof version === 'number' && version !== VERSION) {
    throw new InputError(
      `bundle ${path} is of version ${version}, and this emoq reads version ${VERSION}; export it again with this emoq`,
    );
  }
  const parsed = schema.safeParse(raw);
  if (parsed.success) return raw as BundleDescription;
  const [issue] = parsed.error.issues;
  throw new InputError(
    `bundle ${path} is damaged (${oneLine(`${issue!.path.join('.')}: ${issue!.message}`)}); copy it again`,
  );
}

/** What tells the model of a bundle from others: the checksum of what it says of itself and of its files. */
export function bundleIdentity(dir: string): Promise<string> {
  return sha256OfFile(join(dir, BUNDLE_FILE));
}

/** Files that are compared at a time: one keeps a core busy. */
const AT_ONCE = 2;

/**
 * Compares every file of a bundle with its size and SHA-256. Other files in the folder are left alone.
 * @throws InputError naming the first file that is missing or has changed
 */
export async function verifyBundle(dir: string, { files }: BundleDescription): Promise<void> {
  await mapConcurrently(Object.entries(files), AT_ONCE, async ([name, { bytes, sha256 }]) => {
    const path = join(dir, name);
    const found = await stat(path).catch(() => undefined);
    if (found === undefined) throw new InputError(`bundle ${dir}: ${name} is missing; copy the whole folder`);
    const isSame = found.size === bytes && (await sha256OfFile(path)) === sha256;
    if (!isSame) {
      throw new InputError(`bundle ${dir}: ${name} is not the file that was written; copy the bundle again`);
    }
  });
}
