/** @file Qwen3 (Yang et al., 2025): Qwen2 with norms of the query and key heads instead of biases. */

import { z } from 'zod';
import type { ChatPiece, ChatTemplate } from '../../../data/text/index.js';
import type { RawConfig } from '../../backbone-family.js';
import { checkModelType, parseFields } from '../../backbone-family.js';
import { chatMl, chatOf, findChatTemplate } from '../chat-kinds.js';
import {
  attentionProjections,
  checkWindows,
  type DecoderConfig,
  type DecoderFamily,
  decoderConfig,
  decoderFields,
  harmlessDecoderWeights,
  projections,
  windowFields,
} from '../decoder-config.js';

const qwen3Fields = decoderFields({
  vocab_size: 151936,
  intermediate_size: 22016,
  num_key_value_heads: 32,
  head_dim: 128,
  max_position_embeddings: 32768,
}).extend({ attention_bias: z.boolean().default(false), ...windowFields });

/** Parses config.json. @throws InputError naming `path` and the key of anything that is not supported */
export function parseQwen3Config(raw: RawConfig, path: string): DecoderConfig {
  checkModelType(raw, 'qwen3', path);
  const fields = parseFields(qwen3Fields, raw, path);
  checkWindows(fields, path);
  const biases = fields.attention_bias ? attentionProjections : [];
  return decoderConfig(fields, { family: 'qwen3', biases, queryKeyNorm: true }, path);
}

/** The empty thinking block before an answer. */
const NO_THOUGHT: readonly ChatPiece[] = [
  { kind: 'mark', text: '<think>' },
  { kind: 'text', text: '\n\n' },
  { kind: 'mark', text: '</think>' },
  { kind: 'text', text: '\n\n' },
];

/**
 * ChatML. With `enable_thinking=False` the published template writes an empty thinking block before the answer
 * (https://huggingface.co/Qwen/Qwen3-0.6B, "Switching Between Thinking and Non-Thinking Mode"), since the emotion word
 * must follow at once. Templates without that option, such as that of Qwen3-4B-Instruct-2507, write none.
 * @throws InputError if the checkpoint's template is of another kind
 */
async function qwen3Chat(dir: string): Promise<ChatTemplate> {
  const found = await findChatTemplate(dir);
  const chat = { ...(found === undefined ? chatMl : chatOf(found)), model: 'Qwen3' };
  const canThink = found === undefined || /\benable_thinking\b/.test(found.source);
  return canThink ? { ...chat, answer: [...chat.answer, ...NO_THOUGHT] } : chat;
}

export const qwen3: DecoderFamily = {
  modelType: 'qwen3',
  title: 'Qwen3',
  parseConfig: parseQwen3Config,
  loraTargets: projections,
  chatTemplate: qwen3Chat,
  harmless: harmlessDecoderWeights,
  published: {
    'Qwen/Qwen3-0.6B': {
      model_type: 'qwen3',
      vocab_size: 151936,
      hidden_size: 1024,
      num_hidden_layers: 28,
      num_attention_heads: 16,
      num_key_value_heads: 8,
      head_dim: 128,
      intermediate_size: 3072,
      tie_word_embeddings: true,
      rms_norm_eps: 1e-6,
      rope_theta: 1_000_000,
      max_position_embeddings: 40960,
    },
  },
};
