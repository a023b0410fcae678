/**
 * @file Interface of a backbone family, lookup of a checkpoint's family, and config parsing that reports the file and
 * every invalid key in one line.
 */

import { z } from 'zod';
import { InputError, quoted } from '../base/index.js';
import { QUANTIZATION_KEY, QUANTIZATION_METHOD } from '../checkpoints/index.js';

/** The object in config.json. */
export type RawConfig = Readonly<Record<string, unknown>>;

/** One architecture and its checkpoints: an entry in the registry of its kind. */
export interface BackboneFamily<Config> {
  /** `model_type` of its config.json. */
  readonly modelType: string;
  /** Its display name: "HuBERT". */
  readonly title: string;
  /** Parses config.json. @throws InputError naming `path` and the key of anything that is not supported */
  parseConfig(raw: RawConfig, path: string): Config;
  /** Keys of weights found in published checkpoints that do not affect the model's output. */
  readonly harmless: readonly RegExp[];
  /**
   * config.json of published models by hub id, so that a dry run can size them before downloading anything. Values from
   * the files on the Hugging Face hub; only those that differ from the defaults.
   */
  readonly published: Readonly<Record<string, RawConfig>>;
}

/** A family of encoders. */
export interface EncoderFamily<Config> extends BackboneFamily<Config> {
  /** Possible prefixes of its weight keys in a checkpoint, the most likely first. */
  readonly prefixes: readonly string[];
}

/**
 * The family of a config.
 * @throws InputError listing the supported families, for a model of another type
 */
export function familyOf<F extends Pick<BackboneFamily<unknown>, 'modelType'>>(
  families: readonly F[],
  raw: RawConfig,
  path: string,
): F {
  const family = families.find(({ modelType }) => modelType === raw.model_type);
  if (family !== undefined) return family;
  throw otherModel(
    raw,
    path,
    families.map(({ modelType }) => modelType),
  );
}

/** The error for a config whose model_type is not one of those wanted. */
export function otherModel(raw: RawConfig, path: string, wanted: readonly string[]): InputError {
  const given =
    raw.model_type === undefined ? 'has no model_type' : `is of model_type ${quoted(raw.model_type)}`;
  const types = listed(wanted.map((modelType) => `"${modelType}"`));
  return new InputError(`model config ${path} ${given}; a ${types} checkpoint is needed here`);
}

/** The titles of families as a phrase: "HuBERT or wav2vec 2.0". */
export function familyTitles(families: readonly Pick<BackboneFamily<unknown>, 'title'>[]): string {
  return listed(families.map(({ title }) => title));
}

/** "a", "a or b", "a, b or c". */
function listed(names: readonly string[]): string {
  const last = names.at(-1) ?? '';
  return names.length < 2 ? last : `${names.slice(0, -1).join(', ')} or ${last}`;
}

/**
 * Limits are far above every published model but small enough to build. A larger number means a damaged file, and a
 * graph with that many layers, or a table with that many rows, could run for hours before anything failed.
 */
const upTo = (largest: number) => z.int().positive().max(largest);

/** Transformer layers; Qwen2.5-72B has 80. */
export const layerCount = upTo(256);

/** Features of a hidden state, of a layer's inner state or of a convolution; Qwen2.5-72B has 8,192 and 29,568. */
export const width = upTo(1 << 17);

/** Attention heads, or groups of a convolution; Qwen2.5-72B has 64 heads. */
export const headCount = upTo(1024);

/** Rows of an embedding table; Qwen2.5 has 152,064. */
export const vocabulary = upTo(1 << 22);

/** Positions of a text; Qwen2.5-1M has 1,010,000. */
export const positionCount = upTo(1 << 24);

/** Kernel size or stride of a convolution; HuBERT's largest are 128 and 5. */
export const kernelSize = upTo(1024);

/** A probability or rate in [0, 1]. */
export const rate = z.number().min(0).max(1);

/** A norm's epsilon: at least the smallest normal float32, since 0 would divide by 0. */
export const epsilon = z
  .number()
  .min(2 ** -126)
  .max(1);

/** A setting for which the model builders support only these values. */
export function only<const T extends string | number | boolean | null>(...values: readonly [T, ...T[]]) {
  return z.literal([...values], {
    error: ({ input }) =>
      `${quoted(input)} is not supported, only ${values.map(quoted).join(' and ')} ${values.length === 1 ? 'is' : 'are'}`,
  });
}

/** Faults listed in a message; a list with the wrong element type would give one for each. */
const MAX_FAULTS = 8;

/**
 * Parses a Hugging Face JSON object by a schema; keys that are not in the schema are ignored.
 * @throws InputError naming `path`, and each key with its fault
 */
export function parseFields<T>(schema: z.ZodType<T>, raw: unknown, path: string): T {
  const result = schema.safeParse(raw);
  if (result.success) return result.data;
  const faults = result.error.issues.map(({ path: keys, message }) =>
    keys.length > 0 ? `${keys.join('.')}: ${message}` : message,
  );
  const rest = faults.length > MAX_FAULTS ? [`and ${faults.length - MAX_FAULTS} more faults`] : [];
  throw new InputError(`model config ${path}: ${[...faults.slice(0, MAX_FAULTS), ...rest].join('; ')}`);
}

/** @throws InputError when the config is not of a `modelType` model, or its weights were quantized by another program */
export function checkModelType(raw: RawConfig, modelType: string, path: string): void {
  if (raw.model_type !== modelType) throw otherModel(raw, path, [modelType]);
  const quantization = raw[QUANTIZATION_KEY] as { readonly quant_method?: unknown } | null | undefined;
  if (quantization && quantization.quant_method !== QUANTIZATION_METHOD) {
    throw new InputError(
      `model config ${path} has a quantization_config of another program; take the original weights, and quantize them with emoq quantize`,
    );
  }
}

/** @throws InputError when `whole` is not a multiple of `part` */
export function checkDivides(
  path: string,
  wholeKey: string,
  whole: number,
  partKey: string,
  part: number,
): void {
  if (whole % part !== 0) {
    throw new InputError(
      `model config ${path}: ${wholeKey} ${whole} is not a multiple of ${partKey} ${part}`,
    );
  }
}
