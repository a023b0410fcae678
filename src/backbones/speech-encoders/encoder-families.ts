/** @file The families of speech encoders, one row for each, and the config of a checkpoint of any of them. */

import { join } from 'node:path';
import { type Checkpoint, findCheckpointFolder, readConfig } from '../../checkpoints/index.js';
import { familyOf, familyTitles, type RawConfig } from '../backbone-family.js';
import type { SpeechEncoderConfig, SpeechEncoderFamily } from './encoder-family.js';
import { hubert } from './hubert/family.js';
import { type Preprocessor, readPreprocessor } from './wav2vec2/config.js';
import { wav2vec2 } from './wav2vec2/family.js';

export const encoderFamilies: readonly SpeechEncoderFamily[] = [hubert, wav2vec2];

/** Which encoders there are, for messages: "HuBERT or wav2vec 2.0". */
export const encoderTitles = familyTitles(encoderFamilies);

/** The family of an encoder's checkpoint. @throws InputError where it is of none */
export function encoderFamilyOf({ dir, config }: Pick<Checkpoint, 'dir' | 'config'>): SpeechEncoderFamily {
  return familyOf(encoderFamilies, config, join(dir, 'config.json'));
}

/**
 * Reads config.json's object, and preprocessor_config.json's where there is one.
 * @throws InputError naming the file and key of anything that cannot be built, or a model of no family
 */
export function parseEncoderConfig(
  raw: RawConfig,
  path: string,
  preprocessor?: Preprocessor,
): SpeechEncoderConfig {
  return familyOf(encoderFamilies, raw, path).parseConfig(raw, path, preprocessor);
}

/** Reads the config of a folder or of a model id in the Hugging Face cache. @throws InputError */
export async function readEncoderConfig(nameOrPath: string): Promise<SpeechEncoderConfig> {
  const dir = await findCheckpointFolder(nameOrPath);
  const preprocessor = await readPreprocessor(dir);
  return parseEncoderConfig(await readConfig(dir), join(dir, 'config.json'), preprocessor);
}
