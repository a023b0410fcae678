/** @file What the config readers share: field types, and one line that names the file and every key at fault. */

import { z } from 'zod';
import { InputError } from '../../base/index.js';

/** A size: a positive integer. */
export const size = z.int().positive();

/** A probability or rate in [0, 1]. */
export const rate = z.number().min(0).max(1);

/** A positive number, such as a norm's epsilon. */
export const positive = z.number().positive();

/** A setting of which the model builders know one value. */
export function only<const T extends string | number | boolean | null>(value: T) {
  return z.literal(value, {
    error: ({ input }) => `${JSON.stringify(input)} is not supported, only ${JSON.stringify(value)} is`,
  });
}

/**
 * Reads a Hugging Face JSON object by a schema; keys that the schema does not name are ignored.
 * @throws InputError naming `path`, and each key with its fault.
 */
export function parseFields<T>(schema: z.ZodType<T>, raw: unknown, path: string): T {
  const result = schema.safeParse(raw);
  if (result.success) return result.data;
  const faults = result.error.issues.map(({ path: keys, message }) =>
    keys.length > 0 ? `${keys.join('.')}: ${message}` : message,
  );
  throw new InputError(`model config ${path}: ${faults.join('; ')}`);
}

/** @throws InputError when the config is not of a `modelType` model, or its weights are quantised. */
export function checkModelType(
  raw: Readonly<Record<string, unknown>>,
  modelType: string,
  path: string,
): void {
  if (raw.model_type !== modelType) {
    const given =
      raw.model_type === undefined
        ? 'has no model_type'
        : `is of model_type ${JSON.stringify(raw.model_type)}`;
    throw new InputError(`model config ${path} ${given}; a "${modelType}" checkpoint is needed here`);
  }
  if (raw.quantization_config) {
    throw new InputError(
      `model config ${path} has a quantization_config; quantised checkpoints cannot be read, take the original weights`,
    );
  }
}

/** @throws InputError when `whole` is not a multiple of `part`. */
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
