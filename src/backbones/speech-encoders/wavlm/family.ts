/**
 * @file WavLM (Chen et al., 2021), base and large: the network of wav2vec 2.0 with a gated relative position bias in its
 * attention, trained to predict the clusters of clean speech from noisy and overlapping speech.
 */

import type { Value } from '../../../engine/onnx/index.js';
import type { Weights } from '../../../nn/index.js';
import type { LayerFrames, LayerRange, SpeechEncoderFamily } from '../speech-encoder.js';
import {
  transformerLayers,
  type Wav2Vec2Inputs,
  type Wav2Vec2Options,
  type Wav2Vec2Outputs,
  wav2vec2Encoder,
} from '../wav2vec2/encoder.js';
import { wav2vec2 } from '../wav2vec2/family.js';
import { parseWavLMConfig, type WavLMConfig } from './config.js';
import { gatedPositionBias } from './position-bias.js';

/** Waveforms to hidden states, as {@link wav2vec2Encoder}. */
export function wavlmEncoder(
  weights: Weights,
  config: WavLMConfig,
  inputs: Wav2Vec2Inputs,
  options?: Wav2Vec2Options,
): Wav2Vec2Outputs {
  return wav2vec2Encoder(weights, config, inputs, options, (frames) =>
    gatedPositionBias(weights, config, frames),
  );
}

/** Some of its layers, as {@link transformerLayers}; the table of the position bias is theirs too. */
function wavlmLayers(weights: Weights, config: WavLMConfig, frames: LayerFrames, range: LayerRange): Value[] {
  return transformerLayers(weights, config, frames, range, (states) =>
    gatedPositionBias(weights, config, states),
  );
}

export const wavlm: SpeechEncoderFamily = {
  modelType: 'wavlm',
  title: 'WavLM',
  parseConfig: parseWavLMConfig,
  prefixes: ['wavlm.', ''],
  encoder: wavlmEncoder,
  layers: wavlmLayers,
  framing: wav2vec2.framing,
  normalizes: wav2vec2.normalizes,
  harmless: [
    /^(?:wavlm\.)?masked_spec_embed$/, // for masking in training
    ...wav2vec2.harmless, // its heads have the same names
  ],
  published: {
    'microsoft/wavlm-base': { model_type: 'wavlm' },
    'microsoft/wavlm-base-plus': { model_type: 'wavlm' },
    'microsoft/wavlm-large': {
      model_type: 'wavlm',
      hidden_size: 1024,
      num_hidden_layers: 24,
      num_attention_heads: 16,
      intermediate_size: 4096,
      feat_extract_norm: 'layer',
      do_stable_layer_norm: true,
    },
  },
};
