/** @file preprocessor_config.json of a speech encoder: what waveforms it is made for. */

import { join } from 'node:path';
import { z } from 'zod';
import { pathExists, readJson } from '../../base/index.js';
import { only, parseFields } from '../backbone-family.js';

/** The object in preprocessor_config.json, and its path. */
export interface Preprocessor {
  readonly raw: unknown;
  readonly path: string;
}

const waveformFields = z.object({
  do_normalize: z.boolean().default(true),
  sampling_rate: only(16_000).default(16_000),
  feature_size: only(1).default(1),
});

/**
 * Whether Wav2Vec2FeatureExtractor normalises waveforms to zero mean and unit variance with these settings.
 * @throws InputError if they are not for one channel at 16 kHz
 */
export function normalizesWaveforms({ raw, path }: Preprocessor): boolean {
  return parseFields(waveformFields, raw, path).do_normalize;
}

/** undefined if a folder has no preprocessor_config.json. @throws InputError if it is not valid JSON */
export async function readPreprocessor(dir: string): Promise<Preprocessor | undefined> {
  const path = join(dir, 'preprocessor_config.json');
  return (await pathExists(path)) ? { raw: await readJson(path, 'preprocessor config'), path } : undefined;
}
