/** @file HuBERT (Hsu et al., 2021), base and large: the network of wav2vec 2.0 with another training objective. */

import { z } from 'zod';
import type { RawConfig } from '../../backbone-family.js';
import { checkModelType, only, parseFields } from '../../backbone-family.js';
import { normalizesWaveforms, type Preprocessor } from '../preprocessor.js';
import type { SpeechEncoderFamily } from '../speech-encoder.js';
import { networkConfig, networkFields, type Wav2Vec2Config } from '../wav2vec2/config.js';
import { transformerLayers, wav2vec2Encoder } from '../wav2vec2/encoder.js';
import { harmlessHeads } from '../wav2vec2/family.js';
import { convFraming } from '../wav2vec2/feature-encoder.js';

const hubertFields = networkFields.extend({
  feat_proj_layer_norm: z.boolean().default(true),
  conv_pos_batch_norm: only(false).default(false),
});

/**
 * Parses config.json, and preprocessor_config.json if present.
 * @throws InputError naming the file and key of anything that is not supported
 */
export function parseHubertConfig(
  raw: RawConfig,
  path: string,
  preprocessor: Preprocessor = { raw: {}, path },
): Wav2Vec2Config {
  checkModelType(raw, 'hubert', path);
  return networkConfig(parseFields(hubertFields, raw, path), path, preprocessor);
}

const large: RawConfig = {
  model_type: 'hubert',
  hidden_size: 1024,
  num_hidden_layers: 24,
  num_attention_heads: 16,
  intermediate_size: 4096,
  conv_bias: true,
  feat_extract_norm: 'layer',
  do_stable_layer_norm: true,
};

export const hubert: SpeechEncoderFamily = {
  modelType: 'hubert',
  title: 'HuBERT',
  parseConfig: parseHubertConfig,
  prefixes: ['hubert.', ''],
  encoder: wav2vec2Encoder,
  layers: transformerLayers,
  framing: convFraming,
  normalizes: normalizesWaveforms,
  harmless: [
    /^(?:hubert\.)?masked_spec_embed$/, // for masking in training
    ...harmlessHeads,
  ],
  published: {
    'facebook/hubert-base-ls960': { model_type: 'hubert' },
    'facebook/hubert-large-ll60k': large,
    'facebook/hubert-large-ls960-ft': { ...large, vocab_size: 32 },
  },
};
