/**
 * @file UniSpeech-SAT (Chen et al., 2021), base and large: the network of wav2vec 2.0, trained on clusters of its
 * frames and on telling speakers apart.
 */

import type { RawConfig } from '../../backbone-family.js';
import { checkModelType, only, parseFields } from '../../backbone-family.js';
import type { SpeechEncoderFamily } from '../speech-encoder.js';
import { networkConfig, networkFields, type Preprocessor, type Wav2Vec2Config } from '../wav2vec2/config.js';
import { wav2vec2Encoder } from '../wav2vec2/encoder.js';
import { wav2vec2 } from '../wav2vec2/family.js';

/** Its model in transformers builds no adapter, whatever the config says; who set one expects another output. */
const fieldsOfConfig = networkFields.extend({ add_adapter: only(false).default(false) });

/**
 * Reads config.json's object, and preprocessor_config.json's where there is one.
 * @throws InputError naming the file and key of anything that cannot be built.
 */
export function parseUniSpeechSatConfig(
  raw: RawConfig,
  path: string,
  preprocessor: Preprocessor = { raw: {}, path },
): Wav2Vec2Config {
  checkModelType(raw, 'unispeech-sat', path);
  const fields = parseFields(fieldsOfConfig, raw, path);
  return networkConfig({ ...fields, feat_proj_layer_norm: true }, path, preprocessor);
}

export const unispeechSat: SpeechEncoderFamily = {
  modelType: 'unispeech-sat',
  title: 'UniSpeech-SAT',
  parseConfig: parseUniSpeechSatConfig,
  prefixes: ['unispeech_sat.', ''],
  encoder: wav2vec2Encoder,
  harmless: [
    /^unispeech_sat\.masked_spec_embed$/,
    ...wav2vec2.harmless, // its heads bear the same names
    /^(?:speaker_proj|layer_norm_for_extract)\./,
    /^label_embeddings_concat$/,
  ],
  published: {},
};
