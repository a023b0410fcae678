/** @file The config of a WavLM checkpoint (Chen et al., 2021): wav2vec 2.0's, and the buckets of relative positions. */

import { z } from 'zod';
import { InputError } from '../../../base/index.js';
import { checkModelType, only, parseFields, type RawConfig } from '../../backbone-family.js';
import type { Preprocessor } from '../preprocessor.js';
import { networkConfig, networkFields, type Wav2Vec2Config } from '../wav2vec2/config.js';

/** Config of the network. */
export interface WavLMConfig extends Wav2Vec2Config {
  /** Rows of the table of relative positions, half of them for frames to come. */
  numBuckets: number;
  /** Frames this far apart or farther share a bucket. */
  maxBucketDistance: number;
}

/** Far above the published models, which have 320 and 800; the graph has an entry for each distance up to the largest. */
const MOST = 1 << 16;

/** The model in transformers has an adapter if add_adapter is set, which shortens the encoder's output. */
const fieldsOfConfig = networkFields.extend({
  num_buckets: z.int().min(4).max(MOST).default(320),
  max_bucket_distance: z.int().positive().max(MOST).default(800),
  add_adapter: only(false).default(false),
});

/**
 * Parses config.json, and preprocessor_config.json if present.
 * @throws InputError naming the file and key of anything that is not supported
 */
export function parseWavLMConfig(
  raw: RawConfig,
  path: string,
  preprocessor: Preprocessor = { raw: {}, path },
): WavLMConfig {
  checkModelType(raw, 'wavlm', path);
  const fields = parseFields(fieldsOfConfig, raw, path);
  const { num_buckets: numBuckets, max_bucket_distance: maxBucketDistance } = fields;
  const exact = exactBuckets(numBuckets);
  if (maxBucketDistance <= exact) {
    throw new InputError(
      `model config ${path}: max_bucket_distance ${maxBucketDistance} must be more than ${exact}, a quarter of num_buckets ${numBuckets}: nearer frames have a bucket for each distance`,
    );
  }
  return {
    ...networkConfig({ ...fields, feat_proj_layer_norm: true }, path, preprocessor),
    numBuckets,
    maxBucketDistance,
  };
}

/** How many distances from 0 on have a bucket to themselves. */
export function exactBuckets(numBuckets: number): number {
  return Math.floor(Math.floor(numBuckets / 2) / 2);
}
