/** @file The families of decoder language models, one row for each, and the config of a checkpoint of any of them. */

import { join } from 'node:path';
import { findCheckpointFolder, readConfig } from '../../checkpoints/index.js';
import { familyOf, type RawConfig } from '../backbone-family.js';
import type { DecoderConfig, DecoderFamily, Projection } from './decoder-config.js';
import { llama } from './llama/family.js';
import { mistral } from './mistral/family.js';
import { qwen2 } from './qwen2/family.js';
import { qwen3 } from './qwen3/family.js';

export const decoderFamilies: readonly DecoderFamily[] = [qwen2, llama, qwen3, mistral];

/** LoRA targets of all families together: what a recipe may name before its model is known. */
export const allLoraTargets: readonly Projection[] = [
  ...new Set(decoderFamilies.flatMap(({ loraTargets }) => loraTargets)),
];

/** The family of a config that was read. */
export function decoderFamilyOf({ family }: Pick<DecoderConfig, 'family'>): DecoderFamily {
  return decoderFamilies.find(({ modelType }) => modelType === family)!;
}

/** Reads config.json's object. @throws InputError naming `path` and the key of anything that cannot be built */
export function parseDecoderConfig(raw: RawConfig, path: string): DecoderConfig {
  return familyOf(decoderFamilies, raw, path).parseConfig(raw, path);
}

/** Reads the config of a folder or of a model id in the Hugging Face cache. @throws InputError */
export async function readDecoderConfig(nameOrPath: string): Promise<DecoderConfig> {
  const dir = await findCheckpointFolder(nameOrPath);
  return parseDecoderConfig(await readConfig(dir), join(dir, 'config.json'));
}
