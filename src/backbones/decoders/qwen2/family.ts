/** @file Qwen2 and Qwen2.5 (Yang et al., 2024). */

import type { RawConfig } from '../../backbone-family.js';
import { checkModelType, parseFields } from '../../backbone-family.js';
import { chatMl } from '../chat-kinds.js';
import {
  checkWindows,
  type DecoderConfig,
  type DecoderFamily,
  decoderConfig,
  decoderFields,
  harmlessDecoderWeights,
  projections,
  windowFields,
} from '../decoder-config.js';

const qwen2Fields = decoderFields({
  vocab_size: 151936,
  intermediate_size: 22016,
  num_key_value_heads: 32,
  head_dim: null,
  max_position_embeddings: 32768,
}).extend(windowFields);

/** Parses config.json. @throws InputError naming `path` and the key of anything that is not supported */
export function parseQwen2Config(raw: RawConfig, path: string): DecoderConfig {
  checkModelType(raw, 'qwen2', path);
  const fields = parseFields(qwen2Fields, raw, path);
  checkWindows(fields, path);
  const biases = ['q_proj', 'k_proj', 'v_proj'] as const;
  return decoderConfig(fields, { family: 'qwen2', biases, queryKeyNorm: false }, path);
}

export const qwen2: DecoderFamily = {
  modelType: 'qwen2',
  title: 'Qwen2',
  parseConfig: parseQwen2Config,
  loraTargets: projections,
  chatTemplate: async () => chatMl,
  harmless: harmlessDecoderWeights,
  published: {
    'Qwen/Qwen2.5-0.5B-Instruct': published(896, 24, 14, 2, 4864, true),
    'Qwen/Qwen2.5-1.5B-Instruct': published(1536, 28, 12, 2, 8960, true),
    'Qwen/Qwen2.5-3B-Instruct': published(2048, 36, 16, 2, 11008, true),
    'Qwen/Qwen2.5-7B-Instruct': { ...published(3584, 28, 28, 4, 18944, false), vocab_size: 152064 },
  },
};

function published(
  hidden: number,
  layers: number,
  heads: number,
  keyValueHeads: number,
  inner: number,
  tied: boolean,
): RawConfig {
  return {
    model_type: 'qwen2',
    vocab_size: 151936,
    hidden_size: hidden,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: keyValueHeads,
    intermediate_size: inner,
    tie_word_embeddings: tied,
    rms_norm_eps: 1e-6,
    rope_theta: 1_000_000,
    max_position_embeddings: 32768,
    hidden_act: 'silu',
  };
}
