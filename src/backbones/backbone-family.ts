/** @file What every family of backbones says of itself, and how a checkpoint's config finds its family. */

import { InputError, quoted } from '../base/index.js';

/** config.json as it is. */
export type RawConfig = Readonly<Record<string, unknown>>;

/** One architecture with its checkpoints: a row of the registry of its kind. */
export interface BackboneFamily<Config> {
  /** `model_type` of its config.json. */
  readonly modelType: string;
  /** Its name in sentences: "HuBERT". */
  readonly title: string;
  /** Reads config.json's object. @throws InputError naming `path` and the key of anything that cannot be built */
  parseConfig(raw: RawConfig, path: string): Config;
  /** Keys of weights that published checkpoints hold and the model's output does not depend on. */
  readonly harmless: readonly RegExp[];
  /**
   * config.json of published models by their hub ids, so that a dry run can size them before anything is downloaded. Facts
   * from the files on the Hugging Face hub; only what differs from the defaults.
   */
  readonly published: Readonly<Record<string, RawConfig>>;
}

/**
 * The family of a config.
 * @throws InputError naming the families that there are, for a model of another type
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

/** The refusal of a config whose model_type is none of those that are wanted. */
export function otherModel(raw: RawConfig, path: string, wanted: readonly string[]): InputError {
  const given =
    raw.model_type === undefined ? 'has no model_type' : `is of model_type ${quoted(raw.model_type)}`;
  const types = listed(wanted.map((modelType) => `"${modelType}"`));
  return new InputError(`model config ${path} ${given}; a ${types} checkpoint is needed here`);
}

/** The titles of families, as a sentence has them: "HuBERT or wav2vec 2.0". */
export function familyTitles(families: readonly Pick<BackboneFamily<unknown>, 'title'>[]): string {
  return listed(families.map(({ title }) => title));
}

/** "a", "a or b", "a, b or c". */
function listed(names: readonly string[]): string {
  const last = names.at(-1) ?? '';
  return names.length < 2 ? last : `${names.slice(0, -1).join(', ')} or ${last}`;
}
