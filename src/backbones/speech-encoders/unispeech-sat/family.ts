/**
 * @file UniSpeech-SAT (Chen et al., 2021), base and large: the network of wav2vec 2.0, trained to predict frame clusters
 * and to distinguish speakers.
 */

import type { RawConfig } from '../../backbone-family.js';
import { checkModelType, only, parseFields } from '../../backbone-family.js';
import type { Preprocessor } from '../preprocessor.js';
import type { SpeechEncoderFamily } from '../speech-encoder.js';
import { networkConfig, networkFields, type Wav2Vec2Config } from '../wav2vec2/config.js';
import { transformerLayers, wav2vec2Encoder } from '../wav2vec2/encoder.js';
import { wav2vec2 } from '../wav2vec2/family.js';

/** The model in transformers ignores add_adapter; a config that sets it expects a different output, and is refused. */
const fieldsOfConfig = networkFields.extend({ add_adapter: only(false).default(false) });

/**
 * Parses config.json, and preprocessor_config.json if present.
 * @throws InputError naming the file and key of anything that is not supported
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
  layers: transformerLayers,
  framing: wav2vec2.framing,
  normalizes: wav2vec2.normalizes,
  harmless: [
    /^unispeech_sat\.masked_spec_embed$/,
    ...wav2vec2.harmless, // its heads have the same names
    /^(?:speaker_proj|layer_norm_for_extract)\./,
    /^label_embeddings_concat$/,
  ],
  published: {},
};
