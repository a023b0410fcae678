/** @file Registry of the decoder language model families, and parsing of their configs. */

import { join } from 'node:path';
import { findCheckpointFolder, readConfig } from '../../checkpoints/index.js';
import { familyOf, type RawConfig } from '../backbone-family.js';
import type { DecoderConfig, DecoderFamily, Projection } from './decoder-config.js';
import { llama } from './llama/family.js';
import { mistral } from './mistral/family.js';
import { qwen2 } from './qwen2/family.js';
import { qwen3 } from './qwen3/family.js';

export const decoderFamilies: readonly DecoderFamily[] = [qwen2, llama, qwen3, mistral];

/** LoRA targets of all families: the names a recipe may use before its model is known. */
export const allLoraTargets: readonly Projection[] = [
  ...new Set(decoderFamilies.flatMap(({ loraTargets }) => loraTargets)),
];

/** The family of a parsed config. */
export function decoderFamilyOf({ family }: Pick<DecoderConfig, 'family'>): DecoderFamily {
  return decoderFamilies.find(({ modelType }) => modelType === family)!;
}

/** Parses config.json. @throws InputError naming `path` and the key of anything that is not supported */
export function parseDecoderConfig(raw: RawConfig, path: string): DecoderConfig {
  return familyOf(decoderFamilies, raw, path).parseConfig(raw, path);
}

/** Reads the config of a folder, or of a model id in the Hugging Face cache. @throws InputError */
export async function readDecoderConfig(nameOrPath: string): Promise<DecoderConfig> {
  const dir = await findCheckpointFolder(nameOrPath);
  return parseDecoderConfig(await readConfig(dir), join(dir, 'config.json'));
}
