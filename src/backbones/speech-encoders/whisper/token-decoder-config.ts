/** @file The config of a Whisper checkpoint as far as its decoder goes. */

import { z } from 'zod';
import type { RawConfig } from '../../backbone-family.js';
import {
  checkDivides,
  headCount,
  layerCount,
  only,
  parseFields,
  vocabulary,
  width,
} from '../../backbone-family.js';

/** Config of the decoder. */
export interface WhisperDecoderConfig {
  readonly hiddenSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  readonly intermediateSize: number;
  readonly vocabSize: number;
  /** Tokens of the longest text, those before it included. */
  readonly maxTargetPositions: number;
}

/** Far above the published models, which have 448. */
const targetPositions = z
  .int()
  .min(2)
  .max(1 << 14);

const fields = z.object({
  d_model: width.default(384),
  decoder_layers: layerCount.default(4),
  decoder_attention_heads: headCount.default(6),
  decoder_ffn_dim: width.default(1536),
  vocab_size: vocabulary.default(51_865),
  max_target_positions: targetPositions.default(448),
  tie_word_embeddings: only(true).default(true),
});

/** @throws InputError naming the file and key of anything that is not supported */
export function parseWhisperDecoderConfig(raw: RawConfig, path: string): WhisperDecoderConfig {
  const own = parseFields(fields, raw, path);
  const heads = own.decoder_attention_heads;
  checkDivides(path, 'd_model', own.d_model, 'decoder_attention_heads', heads);
  return {
    hiddenSize: own.d_model,
    numHiddenLayers: own.decoder_layers,
    numAttentionHeads: heads,
    intermediateSize: own.decoder_ffn_dim,
    vocabSize: own.vocab_size,
    maxTargetPositions: own.max_target_positions,
  };
}
