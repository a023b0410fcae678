/** @file Mistral (Jiang et al., 2023): Llama without biases, and in its first versions with a sliding window. */

import type { RawConfig } from '../../backbone-family.js';
import { checkModelType, parseFields, positionCount } from '../../backbone-family.js';
import { readChatTemplate } from '../chat-kinds.js';
import {
  type DecoderConfig,
  type DecoderFamily,
  decoderConfig,
  decoderFields,
  harmlessDecoderWeights,
  projections,
  windowFields,
} from '../decoder-config.js';

const mistralFields = decoderFields({
  vocab_size: 32000,
  intermediate_size: 14336,
  num_key_value_heads: 8,
  head_dim: null,
  max_position_embeddings: 131072,
}).extend({
  sliding_window: positionCount.nullable().default(4096),
  layer_types: windowFields.layer_types,
});

/**
 * Parses config.json. Attention is full only within the sliding window, so the window limits the length of a text:
 * `maxPositionEmbeddings` is the smaller of the two.
 * @throws InputError naming `path` and the key of anything that is not supported
 */
export function parseMistralConfig(raw: RawConfig, path: string): DecoderConfig {
  checkModelType(raw, 'mistral', path);
  const fields = parseFields(mistralFields, raw, path);
  const { sliding_window: window, max_position_embeddings: positions } = fields;
  const fitting = { ...fields, max_position_embeddings: Math.min(positions, window ?? positions) };
  return decoderConfig(fitting, { family: 'mistral', biases: [], queryKeyNorm: false }, path);
}

export const mistral: DecoderFamily = {
  modelType: 'mistral',
  title: 'Mistral',
  parseConfig: parseMistralConfig,
  loraTargets: projections,
  chatTemplate: readChatTemplate,
  harmless: harmlessDecoderWeights,
  published: {},
};
