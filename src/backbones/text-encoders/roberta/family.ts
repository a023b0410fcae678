/** @file RoBERTa (Liu et al., 2019), used to initialise the EmoQ-Former. */

import { z } from 'zod';
import { InputError } from '../../../base/index.js';
import type { RobertaConfig } from '../../../nn/index.js';
import type { EncoderFamily, RawConfig } from '../../backbone-family.js';
import {
  checkDivides,
  checkModelType,
  epsilon,
  headCount,
  layerCount,
  only,
  parseFields,
  positionCount,
  rate,
  vocabulary,
  width,
} from '../../backbone-family.js';

const robertaFields = z.object({
  vocab_size: vocabulary.default(50265),
  hidden_size: width.default(768),
  num_hidden_layers: layerCount.default(12),
  num_attention_heads: headCount.default(12),
  intermediate_size: width.default(3072),
  hidden_act: only('gelu').default('gelu'),
  hidden_dropout_prob: rate.default(0.1),
  attention_probs_dropout_prob: rate.default(0.1),
  max_position_embeddings: positionCount.default(512),
  type_vocab_size: vocabulary.default(2),
  layer_norm_eps: epsilon.default(1e-12),
  pad_token_id: z.int().nonnegative().default(1),
  position_embedding_type: only('absolute').default('absolute'),
  is_decoder: only(false).default(false),
  add_cross_attention: only(false).default(false),
});

/** Parses config.json. @throws InputError naming `path` and the key of anything that is not supported */
export function parseRobertaConfig(raw: RawConfig, path: string): RobertaConfig {
  checkModelType(raw, 'roberta', path);
  const fields = parseFields(robertaFields, raw, path);
  checkDivides(path, 'hidden_size', fields.hidden_size, 'num_attention_heads', fields.num_attention_heads);
  const { pad_token_id: padding, vocab_size: words, max_position_embeddings: positions } = fields;
  if (padding >= words) {
    throw new InputError(`model config ${path}: pad_token_id ${padding} is not under vocab_size ${words}`);
  }
  // Positions begin after the padding's, and a text has at least <s> and </s>.
  if (positions < padding + 3) {
    throw new InputError(
      `model config ${path}: max_position_embeddings ${positions} leaves no positions for text; they begin at pad_token_id + 1 = ${padding + 1}`,
    );
  }
  return {
    vocabSize: fields.vocab_size,
    hiddenSize: fields.hidden_size,
    numHiddenLayers: fields.num_hidden_layers,
    numAttentionHeads: fields.num_attention_heads,
    intermediateSize: fields.intermediate_size,
    maxPositionEmbeddings: fields.max_position_embeddings,
    typeVocabSize: fields.type_vocab_size,
    padTokenId: fields.pad_token_id,
    layerNormEps: fields.layer_norm_eps,
    hiddenDropoutProb: fields.hidden_dropout_prob,
    attentionProbsDropoutProb: fields.attention_probs_dropout_prob,
  };
}

export const roberta: EncoderFamily<RobertaConfig> = {
  modelType: 'roberta',
  title: 'RoBERTa',
  parseConfig: parseRobertaConfig,
  prefixes: ['roberta.', ''],
  harmless: [
    /^(?:roberta\.)?pooler\./,
    /^(?:roberta\.)?embeddings\.(?:position_ids|token_type_ids)$/, // computed, not learned
    /^(?:lm_head|classifier|qa_outputs|cls)(?:\.|$)/,
  ],
  published: {
    'FacebookAI/roberta-base': {
      model_type: 'roberta',
      vocab_size: 50265,
      max_position_embeddings: 514,
      type_vocab_size: 1,
      layer_norm_eps: 1e-5,
    },
  },
};
