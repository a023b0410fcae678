/** @file RoBERTa built from the EmoQ-Former's text components, to compare with transformers. */

import { unsqueeze, type Value } from '../../../src/engine/onnx/index.js';
import type { FormerConfig } from '../../../src/nn/former/former-config.js';
import { attentionBlock, feedForward, textEmbeddings } from '../../../src/nn/former/former-layers.js';
import type { RobertaConfig } from '../../../src/nn/index.js';
import { attentionBias, noDropout, under, type Weights } from '../../../src/nn/weights.js';

/** The last hidden states [N, L, d] for token ids int64 [N, L] and a mask int64 [N, L]. */
export function robertaEncoder(
  weights: Weights,
  roberta: RobertaConfig,
  inputIds: Value,
  attentionMask: Value,
): Value {
  const config: FormerConfig = {
    roberta,
    ...{ audioWidth: 0, queries: 0, crossAttentionEvery: 1, poolingHeads: 1 },
    ...{ dropout: 0, attentionDropout: 0, trainWordEmbeddings: false },
  };
  const shape = {
    width: roberta.hiddenSize,
    heads: roberta.numAttentionHeads,
    layerNormEps: roberta.layerNormEps,
    ...{ dropout: 0, attentionDropout: 0 },
  };
  const bias = unsqueeze(attentionBias(attentionMask), [1, 2]);
  let hidden = textEmbeddings(weights, config, inputIds, noDropout);
  for (let layer = 0; layer < roberta.numHiddenLayers; layer++) {
    const own = under(weights, `encoder.layer.${layer}.`);
    const inputs = { queries: hidden, keys: hidden, residual: hidden, bias };
    const attended = attentionBlock(under(own, 'attention.'), shape, inputs, noDropout, 'attention');
    hidden = feedForward(own, '', config, attended, noDropout, 'ffn');
  }
  return hidden;
}
