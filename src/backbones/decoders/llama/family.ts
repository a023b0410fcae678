/** @file Llama (Touvron et al., 2023; Grattafiori et al., 2024) and the many models with its architecture. */

import { z } from 'zod';
import type { RawConfig } from '../../backbone-family.js';
import { checkModelType, parseFields } from '../../backbone-family.js';
import { readChatTemplate } from '../chat-kinds.js';
import {
  attentionProjections,
  type DecoderConfig,
  type DecoderFamily,
  decoderConfig,
  decoderFields,
  feedForwardProjections,
  harmlessDecoderWeights,
  projections,
} from '../decoder-config.js';

const llamaFields = decoderFields(
  {
    vocab_size: 32000,
    intermediate_size: 11008,
    num_key_value_heads: null,
    head_dim: null,
    max_position_embeddings: 2048,
  },
  ['default', 'llama3'],
).extend({
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
});

/** Parses config.json. @throws InputError naming `path` and the key of anything that is not supported */
export function parseLlamaConfig(raw: RawConfig, path: string): DecoderConfig {
  checkModelType(raw, 'llama', path);
  const fields = parseFields(llamaFields, raw, path);
  const biases = [
    ...(fields.attention_bias ? attentionProjections : []),
    ...(fields.mlp_bias ? feedForwardProjections : []),
  ];
  return decoderConfig(fields, { family: 'llama', biases, queryKeyNorm: false }, path);
}

export const llama: DecoderFamily = {
  modelType: 'llama',
  title: 'Llama',
  parseConfig: parseLlamaConfig,
  loraTargets: projections,
  chatTemplate: readChatTemplate,
  harmless: harmlessDecoderWeights,
  published: {
    'TinyLlama/TinyLlama-1.1B-Chat-v1.0': {
      model_type: 'llama',
      vocab_size: 32000,
      hidden_size: 2048,
      num_hidden_layers: 22,
      num_attention_heads: 32,
      num_key_value_heads: 4,
      intermediate_size: 5632,
      rms_norm_eps: 1e-5,
      rope_theta: 10_000,
      max_position_embeddings: 2048,
    },
    'meta-llama/Llama-3.2-1B-Instruct': {
      model_type: 'llama',
      vocab_size: 128256,
      hidden_size: 2048,
      num_hidden_layers: 16,
      num_attention_heads: 32,
      num_key_value_heads: 8,
      head_dim: 64,
      intermediate_size: 8192,
      tie_word_embeddings: true,
      rms_norm_eps: 1e-5,
      rope_theta: 500_000,
      rope_scaling: {
        rope_type: 'llama3',
        factor: 32,
        low_freq_factor: 1,
        high_freq_factor: 4,
        original_max_position_embeddings: 8192,
      },
      max_position_embeddings: 131072,
    },
  },
};
