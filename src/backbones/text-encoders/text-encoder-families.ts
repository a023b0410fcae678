/** @file Registry of the text encoder families, and opening a checkpoint of any of them. */

import { join } from 'node:path';
import {
  type Checkpoint,
  findCheckpointFolder,
  openCheckpoint,
  readConfig,
  weightsUnder,
} from '../../checkpoints/index.js';
import type { RobertaConfig } from '../../nn/index.js';
import { type EncoderFamily, familyOf, type RawConfig } from '../backbone-family.js';
import { roberta } from './roberta/family.js';

/** The EmoQ-Former is their graph: it has the layers and keys of RoBERTa. */
export const textEncoderFamilies: readonly EncoderFamily<RobertaConfig>[] = [roberta];

/** An opened text encoder. */
export interface TextEncoder {
  readonly family: EncoderFamily<RobertaConfig>;
  readonly config: RobertaConfig;
  /** Its weights by key without prefix. */
  readonly checkpoint: Checkpoint;
}

/** Interprets an opened checkpoint as a text encoder. @throws InputError if it is broken or not supported */
export function asTextEncoder(checkpoint: Checkpoint): TextEncoder {
  const path = join(checkpoint.dir, 'config.json');
  const family = familyOf(textEncoderFamilies, checkpoint.config, path);
  return {
    family,
    config: family.parseConfig(checkpoint.config, path),
    checkpoint: weightsUnder(checkpoint, family.prefixes),
  };
}

/**
 * Opens a folder, or a model id in the Hugging Face cache. @throws InputError when it is missing, broken or not
 * supported
 */
export async function openTextEncoder(nameOrPath: string): Promise<TextEncoder> {
  return asTextEncoder(await openCheckpoint(nameOrPath));
}

/** Parses config.json. @throws InputError naming `path` and the key of anything that is not supported */
export function parseTextEncoderConfig(raw: RawConfig, path: string): RobertaConfig {
  return familyOf(textEncoderFamilies, raw, path).parseConfig(raw, path);
}

/** Reads the config of a folder, or of a model id in the Hugging Face cache. @throws InputError */
export async function readTextEncoderConfig(nameOrPath: string): Promise<RobertaConfig> {
  const dir = await findCheckpointFolder(nameOrPath);
  return parseTextEncoderConfig(await readConfig(dir), join(dir, 'config.json'));
}
