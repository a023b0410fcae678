/** @file The encoder of Whisper (Radford et al., 2022), tiny to large-v3. */

import type { SpeechEncoderFamily } from '../speech-encoder.js';
import { normalizesNothing, parseWhisperConfig } from './config.js';
import { whisperEncoder, whisperFraming } from './encoder.js';

/** Published sizes: layers, width and heads; feed-forward layers are four times as wide. */
const size = (layers: number, width: number, heads: number) => ({
  model_type: 'whisper',
  d_model: width,
  encoder_layers: layers,
  encoder_attention_heads: heads,
  encoder_ffn_dim: 4 * width,
});

export const whisper: SpeechEncoderFamily = {
  modelType: 'whisper',
  title: 'Whisper',
  parseConfig: parseWhisperConfig,
  prefixes: ['model.encoder.', 'encoder.', ''],
  encoder: whisperEncoder,
  framing: whisperFraming,
  normalizes: normalizesNothing,
  harmless: [
    /^(?:model\.)?decoder\./,
    /^proj_out\.weight$/, // WhisperForConditionalGeneration
    /^(?:projector|classifier)\.(?:weight|bias)$/, // WhisperForAudioClassification
    /^layer_weights$/,
  ],
  published: {
    'openai/whisper-tiny': size(4, 384, 6),
    'openai/whisper-base': size(6, 512, 8),
    'openai/whisper-small': size(12, 768, 12),
    'openai/whisper-medium': size(24, 1024, 16),
    'openai/whisper-large-v3': { ...size(32, 1280, 20), num_mel_bins: 128 },
  },
};
