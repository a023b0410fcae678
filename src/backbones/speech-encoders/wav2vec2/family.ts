/** @file wav2vec 2.0 (Baevski et al., 2020), base and large. */

import { normalizesWaveforms } from '../preprocessor.js';
import type { SpeechEncoderFamily } from '../speech-encoder.js';
import { parseWav2Vec2Config } from './config.js';
import { transformerLayers, wav2vec2Encoder } from './encoder.js';
import { convFraming } from './feature-encoder.js';

/** Heads and quantizers for training and other tasks, which do not affect the hidden states. */
export const harmlessHeads: readonly RegExp[] = [
  /^(?:lm_head|classifier|projector|quantizer|project_q|project_hid|final_proj)\./,
  /^(?:layer_weights|label_embs_concat)$/,
];

export const wav2vec2: SpeechEncoderFamily = {
  modelType: 'wav2vec2',
  title: 'wav2vec 2.0',
  parseConfig: parseWav2Vec2Config,
  prefixes: ['wav2vec2.', ''],
  encoder: wav2vec2Encoder,
  layers: transformerLayers,
  framing: convFraming,
  normalizes: normalizesWaveforms,
  harmless: [
    /^(?:wav2vec2\.)?masked_spec_embed$/, // for masking in training
    ...harmlessHeads,
    /^(?:tdnn\.\d+|feature_extractor|objective)\.(?:kernel\.)?(?:weight|bias)$/, // Wav2Vec2ForXVector
  ],
  published: {
    'facebook/wav2vec2-base': { model_type: 'wav2vec2' },
    'facebook/wav2vec2-base-960h': { model_type: 'wav2vec2', vocab_size: 32 },
  },
};
